//! The table of hostile inputs: each command runs in a process of its own, bounded in memory and time, and ends with one line or a
//! result: no panic, no abort, no work without end.
#![cfg(target_os = "linux")]

#[path = "common/bounded.rs"]
mod bounds;

use bounds::{Bounds, Ended, run};
use std::path::Path;
use std::process::Command;

/// Runs the tool in a folder with so many mebibytes of address space; `None` when it takes longer than so many seconds.
fn bounded(place: &Path, arguments: &[&str], mebibytes: u64, seconds: u64) -> Option<Ended> {
    let patience = seconds as f64;
    let ended = run(place, arguments, &Bounds { limit: 'v', bytes: mebibytes << 20, patience, grace: 0.0 });
    (ended.seconds <= patience).then_some(ended)
}

/// A name and what is in the file; the arguments; the exit code, and words of the one line, or none for a result.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], i32, &'a str);

const PLACES: &str = "input = { shape = [8] }\n[[layer]]\ntype = \"linear\"\nout = 4\n";

fn check(rows: &[Row], mebibytes: u64, seconds: u64) {
    for (files, arguments, code, words) in rows {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in *files {
            std::fs::write(place.path().join(name), text).unwrap();
        }
        let ended = bounded(place.path(), arguments, mebibytes, seconds);
        let Ended { status, said, printed, peak, .. } =
            ended.unwrap_or_else(|| panic!("{arguments:?} takes more than {seconds} s"));
        assert!(peak <= (mebibytes << 20) as f64, "{arguments:?} takes {peak} bytes");
        assert_eq!(status.code(), Some(*code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("backtrace"), "{arguments:?}: {said}");
        if *code == 1 || *code == 2 {
            assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
            assert!(said.len() < 2000, "{arguments:?} echoes {} bytes", said.len());
        }
        for word in ["NaN", "inf"] {
            let is_word = |text: &str| {
                text.split(|c: char| !c.is_alphanumeric()).any(|w| w == word || w.starts_with("NaN"))
            };
            assert!(!is_word(&printed) && !is_word(&said), "{arguments:?} says {word}: {printed}{said}");
        }
    }
}

#[test]
fn networks_that_nobody_can_build_are_refused_in_one_line() {
    let image = |shape: &str, layer: &str| {
        format!("input = {{ shape = {shape} }}\n[[layer]]\ntype = \"conv2d\"\nout = 1\n{layer}\n")
    };
    let wide = image("[52932632, 1, 1]", "kernel = [464227, 750699]\npadding = [232113, 375349]");
    let center = image("[67108864, 1, 1]", "kernel = 524289\npadding = \"same\"\ninit = \"identity\"");
    let large = image("[18446745, 1, 1]", "kernel = 1000000\npadding = 500000\ninit = \"identity\"");
    let groups = image("[1000000000000, 1, 1]", "kernel = 1\ngroups = 7");
    let most = "input = { shape = [8] }\n[[layer]]\ntype = \"linear\"\nout = 18446744073709551615\n";
    let nothing = "input = { shape = [8] }\n[[layer]]\ntype = \"repeat\"\ntimes = 1000000000000\nlayers = []\n[[layer]]\ntype = \"linear\"\nout = 2\n";
    let own = format!("init = \"normal(0, -1)\"\n{PLACES}");
    let gated = "input = { shape = [24, 8] }\n[[layer]]\ntype = \"repeat\"\ntimes = 4\nlayers = [{ type = \"lstm\", out = 32 }]\n";
    let named = format!("{PLACES}name = \"{}\"\n", "a".repeat(100_000));
    let twice = format!(
        "{PLACES}name = \"a2\"\n[[layer]]\ntype = \"linear\"\nout = 4\nname = \"a\"\n[[layer]]\ntype = \"linear\"\nout = 4\nname = \"a\"\n"
    );
    let inside = format!(
        "{PLACES}name = \"a/linear1\"\n[[layer]]\ntype = \"residual\"\nname = \"a\"\nlayers = [{{ type = \"linear\", out = 4 }}]\n"
    );
    let save = ["train", "--net", "n.toml", "--init", "he", "--save-init", "s", "--epochs", "1"];
    let net = ["--net", "n.toml", "--trials", "1", "--batch", "2"];
    check(
        &[
            (&[("n.toml", &wide)], &net, 2, "more than any machine holds"),
            (&[("n.toml", &center)], &net, 2, "more than any machine holds"),
            (&[("n.toml", &large)], &net, 2, "more than any machine holds"),
            (&[("n.toml", &groups)], &net, 2, "groups = 7 does not divide"),
            (&[("n.toml", most)], &net, 2, "line 4: a whole number is too large"),
            (&[("n.toml", nothing)], &net, 0, ""),
            (&[("n.toml", gated)], &[&net[..], &["--bias", "normal(1e200, 1)"]].concat(), 0, ""),
            (&[("n.toml", &named)], &net, 2, "name has 100000 characters"),
            (&[("n.toml", &twice)], &save, 2, "two layers have this path"),
            (&[("n.toml", &inside)], &save, 2, "two layers have this path"),
            (&[("n.toml", "")], &net, 2, "--net"),
            (&[("n.toml", PLACES)], &[&net[..], &["--init", "normal(0, -1)"]].concat(), 2, "--init: linear1"),
            (&[("n.toml", PLACES)], &[&net[..], &["--bias", "normal(0, -1)"]].concat(), 2, "--bias: linear1"),
            (
                &[("n.toml", PLACES)],
                &["train", "--net", "n.toml", "--init", "normal(0, -1)"],
                2,
                "--init: linear1",
            ),
            (&[("n.toml", &own)], &net, 2, "--net: linear1"),
            (&[("n.toml", PLACES)], &["--net", "."], 1, "this is a directory"),
            (&[("n.toml", PLACES)], &["--net", "m.toml"], 1, "there is no such file"),
        ],
        3000,
        20,
    );
}

#[test]
fn figures_of_what_leaves_every_scale_take_little_memory() {
    let rows: [Row; 3] = [
        (&[], &["--depth", "60", "--width", "8", "--init", "he,xavier", "--act", "x^3,x^2"], 0, ""),
        (
            &[],
            &[
                "--depth",
                "4",
                "--width",
                "64",
                "--init",
                "he,xavier",
                "--act",
                "exp(x),sinh(x)",
                "--trials",
                "2",
            ],
            0,
            "",
        ),
        (&[], &["--depth", "6", "--width", "16", "--bias", "constant(1e160)", "--trials", "2"], 0, ""),
    ];
    check(&rows, 3000, 60);
}

#[test]
fn what_would_not_fit_is_told_and_a_limit_of_the_process_counts() {
    let implicit =
        ["--depth", "3", "--width", "4", "--batch", "20000", "--trials", "1", "--engine", "implicit"];
    let dense = ["--depth", "20", "--width", "30000", "--batch", "64", "--trials", "1", "--engine", "dense"];
    check(&[(&[], &implicit, 1, "of memory and"), (&[], &dense, 1, "of memory and")], 3000, 20);
}

#[test]
fn no_search_and_no_wait_is_without_end() {
    let long = "a".repeat(100_000);
    check(
        &[
            (&[], &["theory", "--act", "tanh", "--sigma-w2", "0.5", "--sigma-b2", "5e-324"], 0, ""),
            (&[], &["--threads", "4096", "--depth", "3", "--width", "8", "--trials", "5000"], 0, ""),
            (&[], &["train", "--threads", "4096", "--epochs", "1", "--seeds", "1", "--init", "he"], 0, ""),
            (&[], &["--init", &long], 2, "unknown initializer"),
            (&[], &["--act", &long], 2, "--act"),
        ],
        6000,
        20,
    );
}

#[test]
fn theory_of_expressions_is_a_matter_of_seconds() {
    let sum = (0..110).map(|k| format!("x*{}.{k}", k % 7)).collect::<Vec<_>>().join("+");
    let small = ["--depth", "20", "--width", "256"];
    let recommend = |act| [&["recommend", "--act", act], &small[..]].concat();
    let phase = |act| vec!["phase", "--act", act];
    let all: Vec<Vec<&str>> =
        ["x^2", "exp(x)", "x+1e10", &sum].into_iter().flat_map(|a| [recommend(a), phase(a)]).collect();
    let rows: Vec<Row> = all.iter().map(|arguments| (&[][..], &arguments[..], 0, "")).collect();
    check(&rows, 3000, 40);
}

#[test]
fn words_blame_what_is_wrong() {
    let data = "0.1,0.2,0\n0.3,-0.1,1\n";
    let exploding = [
        "train",
        "--net",
        "n.toml",
        "--data",
        "d.csv",
        "--test",
        "t.csv",
        "--init",
        "he",
        "--lr",
        "1e20",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--fail-on",
        "diverged",
    ];
    let net = "input = { shape = [2] }\n[[layer]]\ntype = \"linear\"\nout = 2\n";
    check(
        &[
            (&[("d.csv", data)], &["train", "--data", "d.csv", "--test", "no.csv"], 1, "--test: `no.csv`"),
            (
                &[("n.toml", net), ("d.csv", data), ("t.csv", "1e30,1e30,0\n-1e30,1e30,1\n")],
                &exploding,
                3,
                "diverged",
            ),
            (&[], &["train", "--optimizer", "foo"], 2, "there are sgd, momentum"),
            (&[], &["theory", "--act", "tanh", "--init", "critical(q=1e10)"], 2, "Var(b) ="),
            (&[("d.csv", "NA\nNA\n1\n")], &["--input", "d.csv"], 1, "line 1, column 1: `NA`"),
        ],
        6000,
        30,
    );
    // The bias variance of a ReLU's critical point is none at any q.
    let place = tempfile::tempdir().unwrap();
    let arguments = ["theory", "--act", "relu", "--init", "critical(q=1e20)", "--json"];
    let ended = bounded(place.path(), &arguments, 3000, 20).unwrap();
    let value: serde_json::Value = serde_json::from_str(&ended.printed).unwrap();
    assert_eq!((ended.status.code(), value["sigma_b2"].as_f64()), (Some(0), Some(0.0)));
    assert!(ended.seconds < 20.0);
}

#[test]
fn a_network_may_come_through_a_pipe_and_have_any_name() {
    let place = tempfile::tempdir().unwrap();
    let script = "printf '%s' \"$NET\" | \"$0\" --net /dev/stdin --trials 1 --batch 2 --json";
    let output = Command::new("sh")
        .current_dir(place.path())
        .args(["-c", script, env!("CARGO_BIN_EXE_initdiag")])
        .env("NET", PLACES)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"n\xff.toml");
    std::fs::write(place.path().join(name), PLACES).unwrap();
    let data = std::ffi::OsStr::from_bytes(b"d\xfe.csv");
    std::fs::write(place.path().join(data), "1,2,3,4,5,6,7,8\n2,1,0,3,4,5,1,2\n").unwrap();
    let run = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_initdiag"));
        let more = ["--trials", "1", "--batch", "2", "--out"];
        let out = std::ffi::OsStr::from_bytes(b"o\xfd");
        command.current_dir(place.path()).args(arguments).args(more).arg(out).output().unwrap()
    };
    let output = run(&["--net".as_ref(), name, "--input".as_ref(), data]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = run(&["train".as_ref(), "--net".as_ref(), name, "--data".as_ref(), data]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_small_file_that_unpacks_to_one_long_line_is_told() {
    use std::io::Write;
    let place = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(place.path().join("bomb.csv.gz")).unwrap();
    let mut zipped = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    for _ in 0..1 << 10 {
        zipped.write_all(&b"1,".repeat(1 << 19)).unwrap();
    }
    zipped.finish().unwrap();
    let ended = bounded(place.path(), &["--input", "bomb.csv.gz"], 2000, 30).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.said);
    assert!(ended.said.contains("line 1 is longer than 64 MiB"), "{}", ended.said);
}

#[test]
fn standard_output_that_is_closed_is_no_success_of_json() {
    let script = "\"$0\" --depth 2 --width 4 --trials 2 --json >&-; echo $?";
    let output = Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_initdiag")]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "1",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
