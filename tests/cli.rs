//! The binary as a user runs it.

use assert_cmd::Command;
use initdiag::result::{Flag, Quantity, Report, Verdict};
use initdiag::study::scaling::Scaling;
use std::path::Path;
use std::process::Output;

fn tool(arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("initdiag").unwrap();
    command.args(arguments).env_remove("NO_COLOR").output().unwrap()
}

fn small(extra: &[&str]) -> Vec<String> {
    let base = ["--depth", "4", "--width", "8", "--batch", "4", "--trials", "2", "--json"];
    base.iter().chain(extra).map(ToString::to_string).collect()
}

fn json(arguments: &[&str]) -> Report {
    let output = tool(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit code and the only line on standard error.
fn complaint(arguments: &[&str]) -> (i32, String) {
    let output = tool(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{arguments:?} says more or less than one line:\n{text}");
    assert!(text.starts_with("initdiag: error: "), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    assert!(output.stdout.is_empty(), "{arguments:?} prints a result");
    (output.status.code().unwrap(), text)
}

/// log₁₀ Var H, layer by layer; every number of the run is finite and no gradient is lost.
fn decades_of_activation(act: &str, init: &str, depth: &str) -> Vec<f64> {
    let size = ["--depth", depth, "--width", "64", "--batch", "4", "--trials", "2", "--json"];
    let report = json(&[&["--act", act, "--init", init], size.as_slice()].concat());
    let layers = &report.cells[0].layers;
    let lost = layers.iter().find(|l| l.activation.zero_trials + l.gradient.zero_trials > 0);
    assert_eq!(lost.map(|l| l.layer), None, "{act}: a false zero");
    assert!(layers.iter().all(|l| l.gradient.log10_variance.median.is_some()), "{act}");
    layers.iter().map(|l| l.activation.log10_variance.median.unwrap()).collect()
}

#[test]
fn a_power_goes_to_zero_and_never_gets_there() {
    // Far from one H ~ |Z|^p, so each layer multiplies the decades by p and adds what the width leaves to chance.
    for (act, init, p) in [
        ("abs(x)^1.5", "normal(0, 0.05)", 1.5),
        ("tanh(x)^2", "he", 2.0),
        ("x*abs(x)", "normal(0, 0.05)", 2.0),
        ("sqrt(abs(x))", "normal(0, 1e-15)", 0.5),
    ] {
        let decades = decades_of_activation(act, init, "14");
        let weights = if p < 1.0 { -28.2 } else { 0.0 };
        for pair in decades.windows(2).skip(8) {
            let step = pair[1] - p * (pair[0] + weights);
            assert!(step.abs() < 5.0, "{act}: {decades:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn names_from_outside_cannot_steer_a_terminal_or_break_a_figure() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("e\u{1b}[31m数.csv");
    std::fs::write(&data, "1,2\n3,4\n").unwrap();
    let out = place.path().join("out");
    let size = ["--depth", "2", "--width", "4", "--batch", "2", "--trials", "2", "--color", "always"];
    let files = ["--input", data.to_str().unwrap(), "--act", "x\n+1", "--out", out.to_str().unwrap()];
    let output = tool(&[size.as_slice(), &files].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("e\\u{1b}[31m数.csv") && !text.contains("\u{1b}[31m数"), "{text}");
    assert!(text.contains("xavier-normal × x +1"), "{text}");
    let svg = std::fs::read_to_string(out.join("signal.svg")).unwrap();
    assert!(svg.contains("e\\u{1b}[31m?.csv") && !svg.contains('\u{1b}'));
    assert!(std::fs::read(out.join("signal.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn wrong_input_gets_one_clear_line_and_the_right_exit_code() {
    let data = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = data.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    };
    let labels = path("labels.idx", &[0, 0, 8, 1, 0, 0, 0, 1, 7]);
    let cut = path("cut.idx", &[0, 0, 8, 2, 0, 0, 0, 9, 0, 0, 0, 9, 1, 2]);
    let ragged = path("ragged.csv", b"1,2\n3\n");
    let words = path("words.csv", b"1,2\nx,3\n");
    let few = path("few.csv", b"1,2\n3,4\n");
    let one = path("one.csv", b"1,2\n");
    let empty = path("empty.csv", b"");
    let plain_file = path("plain", b"");
    let beneath = format!("{plain_file}/out");
    let rows: &[(&[&str], i32, &str)] = &[
        (&["--depth", "0"], 2, "--depth"),
        (
            &["phase", "--seed", "-1", "--simulate"],
            2,
            "a whole number from 0 to 18446744073709551615 is needed",
        ),
        (&["recommend", "--seed", "x"], 2, "a whole number from 0 to 18446744073709551615 is needed"),
        (&["--threads", " 5000"], 2, "a whole number from 1 to 4096 is needed"),
        (&["theory", "--sigma-w2", "-1"], 2, "a number from 0 to 1e6 is needed"),
        (&["phase", "--resolution", "3"], 2, "a whole number from 4 to 400 is needed"),
        (&["train", "--lr", "0"], 2, "a number above 0 is needed"),
        (&["train", "--weight-decay", "-1"], 2, "a number from 0 on is needed"),
        (&["train", "--target", "1.5"], 2, "a number above 0, at most 1, is needed"),
        (&["train", "--snapshots", "101"], 2, "a whole number from 0 to 100 is needed"),
        (&["--depth", "-5"], 2, "whole number from 1"),
        (&["--depth", "2.5"], 2, "'2.5'"),
        (&["--depth", "ten"], 2, "whole number"),
        (&["--depth", ""], 2, "--depth"),
        (&["--depth", "99999999999999999999999"], 2, "whole number"),
        (&["--depth", "1G"], 2, "from 1 to 10M"),
        (&["--depth", "-inf"], 2, "--depth"),
        (&["--widths", "-8,8"], 2, "--widths"),
        (&["--bias", "-1"], 2, "constant(-1)"),
        (&["--set", "layer1"], 2, "PATTERN=LAW is needed"),
        (&["--set", "=he"], 2, "PATTERN=LAW is needed"),
        (&["--set", "layer1=hee"], 2, "--set `layer1=hee`: unknown initializer `hee`"),
        (
            &["--depth", "3", "--set", "layer9=zeros"],
            2,
            "there are layer1/weight, layer2/weight, layer3/weight",
        ),
        (&["--set", "layer1=fixup"], 2, "--set: layer1/weight: fixup"),
        (&["--net", "gpt2-small", "--set", "embedding*=orthogonal"], 2, "as a table needs"),
        (&["--set", "layer1.bias=orthogonal"], 2, "does not draw its entries independently"),
        (&["--init", "zero-gamma"], 2, "is defined for residual branches"),
        (&["--net", "gpt2-small", "--init", "zero-gamma"], 2, "needs a norm with a gain"),
        (&["--net", "resnet18", "--init", "deepnorm(0)"], 2, "layers = 0 is not positive"),
        (&["--net", ""], 2, "--net"),
        (&["--input", "uniform(1, 0)"], 2, "the lower one first"),
        (&["--input", "uniform(1)"], 2, "the lower one first"),
        (&["--input", "uniform(a=0, hi=1)"], 2, "the lower one first"),
        (&["--input", "uniform(0, nan)"], 2, "the lower one first"),
        (&["--net", "gpt2-small", "--input", "uniform(0, 1)"], 2, "a file of tokens fits"),
        (&["--init", "0.02"], 2, "constant(0.02)"),
        (&["--width", "0"], 2, "--width"),
        (&["--width", "nan"], 2, "--width"),
        (&["--width", "18446744073709551616"], 2, "--width"),
        (&["--width", "1G", "--depth", "2", "--engine", "dense"], 1, "memory"),
        (&["--width", "1G", "--depth", "2", "--init", "glorot"], 1, "--engine implicit"),
        (&["--batch", "1G"], 1, "--batch"),
        (&["--batch", "-1"], 2, "--batch"),
        (&["--trials", "0"], 2, "--trials"),
        (&["--seed", "-1"], 2, "from 0 to 18446744073709551615"),
        (&["--seed", "1.5"], 2, "from 0 to 18446744073709551615"),
        (&["--seed", ""], 2, "--seed"),
        (&["--threads", "0"], 2, "--threads"),
        (&["--threads", "99999"], 2, "4096"),
        (&["--threshold", "nan"], 2, "--threshold"),
        (&["--threshold", "-1"], 2, "--threshold"),
        (&["--widths", "784"], 2, "at least one layer"),
        (&["--widths", "784,,10"], 2, "--widths"),
        (&["--widths", "784,0"], 2, "`0`"),
        (&["--widths", "8,8", "--width", "3"], 2, "cannot be used with"),
        (&["--init", "xavierr"], 2, "did you mean `xavier`?"),
        (&["--init", ""], 2, "--init"),
        (&["--init", "he,"], 2, "empty"),
        (&["--init", "normal(0"], 2, "missing"),
        (&["--init", "normal(0, 1, 2)"], 2, "2 parameters"),
        (&["--init", "normal(0, 1/0)"], 2, "no finite value"),
        (&["--init", "normal(0, sqrt(0-1))"], 2, "no finite value"),
        (&["--init", "normal(0, -1)"], 2, "negative"),
        (&["--init", "normal(0, 1/abs(layer-3))"], 2, "layer 3"),
        (&["--init", "normal(0, fanin)"], 2, "fan_in"),
        (&["--init", "uniform(1, -1)"], 2, "empty"),
        (&["--init", "normal(0, 1)) + ("], 2, "--init"),
        (&["--init", "he(mode=fan_both)"], 2, "fan_out"),
        (&["--init", "xavier(gain=torch)", "--act", "gelu"], 2, "no gain for gelu"),
        (&["--init", "delta-orthogonal"], 2, "orthogonal"),
        (&["--init", "critical", "--act", "softplus"], 2, "no critical point"),
        (&["--init", "normal(foo=3)"], 2, "there are mean and std"),
        (&["--act", "rellu"], 2, "did you mean `relu`?"),
        (&["--act", "X*tanh(X)"], 2, "lower-case"),
        (&["--act", "X"], 2, "lower-case"),
        (&["--act", "relu(3)"], 2, "no parameters"),
        (&["--act", "leaky-relu(a=1e99)"], 2, "not between"),
        (&["--act", "1/x"], 2, "finite"),
        (&["--act", "x*)"], 2, "--act"),
        (&["--act", "foo(x)"], 2, "not a function"),
        (&["--bias", "hee"], 2, "did you mean `he`?"),
        (&["--bias", "orthogonal"], 2, "independently"),
        (&["--input", "norml"], 2, "did you mean `normal`?"),
        (&["--input", "correlated(2)"], 2, "between 0 and 1"),
        (&["--input", "correlated"], 2, "between 0 and 1"),
        (&["--input", "correlated(0.5"], 2, "`)` is missing"),
        (&["--input", "correlated(d=0.5)"], 2, "no parameter `d`"),
        (&["--input", "normal(0,1)"], 2, "takes no parameters"),
        (&["--input", "/no/such/file.csv"], 1, "no such file"),
        (&["--input", &labels], 1, "labels"),
        (&["--input", &cut], 1, "2 of 81 bytes"),
        (&["--input", &ragged], 1, "CSV"),
        (&["--input", &words], 1, "line 2, column 1"),
        (&["--input", &few], 2, "2 samples, fewer than a batch"),
        (&["--input", &one], 2, "1 sample, fewer than a batch"),
        (&["--input", &empty], 1, "no samples"),
        (&["--input", &few, "--batch", "2", "--widths", "3,4"], 2, "2 features"),
        (&["--input", "."], 1, "--input"),
        (&["--loss", "hinge"], 2, "cross-entropy"),
        (&["--engine", "fast"], 2, "--engine"),
        (&["--format", "gif"], 2, "--format"),
        (&["--fail-on", "explodng"], 2, "did you mean `exploding`?"),
        (&["--fail-on", "vanish"], 2, "one of stable, vanishing, exploding"),
        (&["--fail-on", "vanishing:midl"], 2, "did you mean `mild`?"),
        (&["--saturation", "0"], 2, "above 0"),
        (&["--facet", "layer"], 2, "init, role"),
        (&["--facet", "role"], 2, "--facet `role`: needs --net"),
        (&["--figure-width", "3"], 2, "a width from 8 to 100 cm is needed"),
        (&["--figure-width", "8.5cm"], 2, "a width from 8 to 100 cm is needed"),
        (&["--panels", "gradients"], 2, "activation, gradient, weight-gradient, samples"),
        (&["--panels", ""], 2, "--panels"),
        (&["--title", "t", "--widths-sweep", "8,16,32"], 2, "cannot be used with"),
        (&["--color", "blue"], 2, "--color"),
        (&["--colour", "always"], 2, "--color"),
        (&["--depht", "3"], 2, "--depth"),
        (&["frobnicate"], 2, "frobnicate"),
        (&["--out", &beneath], 1, "--out"),
        (&["--out", "/proc/initdiag"], 1, "--out"),
        (&["catalog", "things"], 2, "inits"),
        (&["catalog", "--fan-in", "1G"], 2, "--fan-in"),
        (&["catalog", "--depth", "3"], 2, "'--depth' found\n"),
        (&["completions", "cmd"], 2, "bash"),
        (&["completions"], 2, "not provided: <bash|elvish|fish|powershell|zsh>"),
    ];
    assert!(rows.len() >= 40);
    for (arguments, code, words) in rows {
        let (got, text) = complaint(arguments);
        assert_eq!(got, *code, "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_said_and_the_table_still_comes() {
    let out = tempfile::tempdir().unwrap();
    let binary = assert_cmd::cargo::cargo_bin!("initdiag");
    // Files of at most one block: the figure does not fit, as on a full disk.
    let script = format!(
        "trap '' XFSZ; ulimit -f 1; exec '{}' --depth 20 --width 8 --batch 4 --trials 2 --out '{}'",
        binary.display(),
        out.path().display()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("cannot write") && text.contains("result.json"), "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("verdict"));
    let left: Vec<_> = std::fs::read_dir(out.path()).unwrap().collect();
    assert!(left.is_empty(), "half a file was left: {left:?}");
}

#[cfg(unix)]
#[test]
fn a_closed_standard_output_is_no_fault_and_a_full_one_is() {
    let binary = assert_cmd::cargo::cargo_bin!("initdiag");
    let run = |script: &str| {
        let script = script.replace("TOOL", &format!("'{}'", binary.display()));
        std::process::Command::new("bash").args(["-o", "pipefail", "-c", &script]).output().unwrap()
    };
    for script in [
        "TOOL --depth 40 --width 8 --trials 2 --json | head -1",
        "TOOL catalog | head -1",
        "TOOL --help | head -1",
        "TOOL completions bash | head -1",
        "TOOL --depth 3 --width 8 --trials 2 --json | true",
    ] {
        let output = run(script);
        assert_eq!(output.status.code(), Some(0), "{script}");
        assert!(output.stderr.is_empty(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
    if Path::new("/dev/full").exists() {
        let output = run("TOOL --depth 3 --width 8 --trials 2 --json > /dev/full");
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_threads() {
    let run = |threads: &str, seed: &str, extra: &[&str]| {
        let mut all = vec![
            "--depth",
            "6",
            "--width",
            "40",
            "--batch",
            "8",
            "--json",
            "--trace",
            "--threads",
            threads,
            "--seed",
            seed,
        ];
        all.extend(extra);
        let output = tool(&all);
        assert!(output.status.success());
        output.stdout
    };
    for extra in [
        &["--trials", "5", "--init", "xavier,orthogonal,torch-linear,lsuv,sparse", "--act", "relu,tanh"][..],
        // One trial: threads work inside the products and the draws.
        &["--trials", "1", "--width", "300", "--init", "normal"],
    ] {
        let mut extra = extra.to_vec();
        if let Some(place) = extra.iter().position(|a| *a == "--width") {
            extra.drain(place..place + 2);
            extra.extend(["--bias", "normal(0, 0.1)"]);
        }
        let one = run("1", "3", &extra);
        assert_eq!(one, run("2", "3", &extra));
        assert_eq!(one, run("3", "3", &extra));
        assert_ne!(one, run("1", "4", &extra));
    }
    // A matrix of several blocks of draws, on threads that outnumber the trials.
    let large = |threads: &str| {
        tool(&[
            "--depth",
            "2",
            "--width",
            "400",
            "--batch",
            "16",
            "--trials",
            "1",
            "--json",
            "--threads",
            threads,
        ])
        .stdout
    };
    assert_eq!(large("1"), large("2"));
}

#[test]
fn the_main_command_writes_its_files_and_says_its_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("initdiag").unwrap();
    let output = command
        .current_dir(directory.path())
        .args(["--depth", "50", "--act", "relu", "--init", "xavier", "--width", "64", "--trials", "4"])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "initdiag: wrote result.json, layers.csv, signal.svg, signal.png to `initdiag-out`\n"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.trim_end().ends_with("verdict: forward vanishing (fatal), backward vanishing (fatal)"),
        "{text}"
    );
    assert!(text.contains("n·Var(W) = 1 and relu halves it: each layer keeps 1/2"));
    assert!(!text.contains('\u{1b}'), "color where there is no terminal");
    let out = directory.path().join("initdiag-out");
    let read = |name: &str| std::fs::read(out.join(name)).unwrap();
    assert!(read("signal.png").starts_with(b"\x89PNG"));
    let svg = String::from_utf8(read("signal.svg")).unwrap();
    assert!(svg.contains("<svg") && svg.contains("xavier-normal × relu") && svg.contains("@font-face"));
    let table = String::from_utf8(read("layers.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 50 * 9);
    let report: Report = serde_json::from_slice(&read("result.json")).unwrap();
    assert_eq!(report.schema, "initdiag/1");
    assert_eq!(report.cells[0].layers.len(), 50);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 4);
}

#[test]
fn options_do_what_they_say() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("a/b");
    let out = out.to_str().unwrap();
    // --json alone writes nothing; with --out it does; --format picks.
    let arguments = small(&["--out", out, "--format", "csv,json"]);
    let report = json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(report.spec.depth, 4);
    let mut names: Vec<_> = std::fs::read_dir(out).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["layers.csv", "result.json"]);
    // The spec is enough to run again.
    assert_eq!((report.spec.widths.as_slice(), report.spec.batch), (&[8, 8, 8, 8, 8][..], 4));
    let quiet = tool(&["--depth", "2", "--width", "8", "--quiet", "--out", out]);
    assert!(quiet.status.success() && quiet.stdout.is_empty() && quiet.stderr.is_empty());
    let colored = tool(&["--depth", "2", "--width", "8", "--color", "always", "--out", out]);
    assert!(String::from_utf8_lossy(&colored.stdout).contains('\u{1b}'));
    // Nothing is written and that is said.
    let nothing = tool(&["--depth", "2", "--width", "8", "--json", "--format", "csv"]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("--format has no effect"));
    let nothing = tool(&["--depth", "2", "--width", "8", "--json", "--title", "t", "--panels", "gradient"]);
    let said = String::from_utf8_lossy(&nothing.stderr).to_string();
    assert!(said.contains("--title, --panels have no effect: no figure is written"), "{said}");
    // Words of options in any case; a parameter by its name; no biases; more threads than anything can use.
    let easy = ["--loss", "MSE", "--engine", "Dense", "--input", "correlated(c=0.5)", "--bias", "none"];
    let easy = json(
        &small(&[&easy[..], &["--threads", "4096"]].concat()).iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!((easy.spec.input.as_str(), easy.spec.bias.as_deref()), ("correlated(0.5)", Some("zeros")));
    // Exit 3 by verdict and by flag, and one line that says which, whatever else is wanted.
    for (fail_on, init, met) in [
        (
            "vanishing",
            "normal(0, 0.01)",
            "normal(0, 0.01) × relu: forward vanishing (severe), backward vanishing (severe)",
        ),
        ("exploding,symmetric-units", "constant", "constant × relu: symmetric-units"),
        ("exploding", "normal(0, 0.01)", ""),
        ("zero-signal", "zeros", "zeros × relu: zero-signal"),
        // What is mild fails where that is asked for, and what is severe is not fatal.
        ("vanishing", "normal(0, 0.1)", ""),
        (
            "vanishing:mild",
            "normal(0, 0.1)",
            "normal(0, 0.1) × relu: forward vanishing (mild), backward vanishing (mild)",
        ),
        ("vanishing:fatal", "normal(0, 0.01)", ""),
        (
            "vanishing,zero-signal",
            "he,zeros,normal(0, 0.01)",
            "zeros × relu: forward vanishing (fatal), backward vanishing (fatal), zero-signal; \
             normal(0, 0.01) × relu: forward vanishing (severe), backward vanishing (severe)",
        ),
    ] {
        for quiet in [&["--no-progress"][..], &["--quiet"]] {
            let extra = [&["--init", init, "--fail-on", fail_on], quiet].concat();
            let arguments = small(&extra);
            let output = tool(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            let code = if met.is_empty() { 0 } else { 3 };
            assert_eq!(output.status.code(), Some(code), "{init} {fail_on}");
            let said =
                if met.is_empty() { String::new() } else { format!("initdiag: --fail-on met: {met}\n") };
            assert_eq!(String::from_utf8(output.stderr).unwrap(), said, "{init} {fail_on}");
        }
    }
    let widths = json(&["--widths", "20,30,10", "--trials", "2", "--batch", "4", "--json"]);
    let fans: Vec<_> = widths.cells[0].layers.iter().map(|l| (l.fan_in, l.fan_out)).collect();
    assert_eq!(fans, [(20, 30), (30, 10)]);
    let trace = json(&small(&["--trace"]).iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(trace.cells[0].layers[0].gradient.trials.as_ref().unwrap().len(), 2);
    for loss in ["mse", "cross-entropy"] {
        let report = json(&small(&["--loss", loss]).iter().map(String::as_str).collect::<Vec<_>>());
        assert!(report.cells[0].layers[0].gradient.log10_variance.median.is_some());
    }
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits.csv.gz");
    let data = json(&["--input", digits, "--depth", "3", "--width", "16", "--trials", "2", "--json"]);
    assert_eq!(data.cells[0].layers[0].fan_in, 64);
    for (input, low, high) in [("correlated(0.9)", 0.8, 0.97), ("uniform", -0.1, 0.1)] {
        let report = json(&["--input", input, "--depth", "1", "--width", "256", "--json", "--act", "linear"]);
        let cosine = report.cells[0].layers[0].correlation.unwrap();
        assert!((low..high).contains(&cosine), "{input}: {cosine}");
        let variance = report.cells[0].layers[0].preactivation.log10_variance.median.unwrap();
        assert!(variance.abs() < 0.1, "{input}: {variance}");
    }
}

#[test]
fn signals_far_beyond_floating_point_are_finite_and_right() {
    let ends = |report: &Report| {
        let cell = &report.cells[0];
        let (first, last) = (&cell.layers[0], &cell.layers[cell.layers.len() - 1]);
        (last.activation.log10_variance.median.unwrap(), first.gradient.log10_variance.median.unwrap())
    };
    // ReLU, N(0, 1), width 64: each layer multiplies by 32 on average; 2000 layers of width 64 have a log norm of mean
    // 2000·(log10 32 − 5/(2·64)·log10 e) and spread √(5·2000/64)·log10 e = 5.4 decades.
    let report = json(&[
        "--init",
        "normal(0, 1)",
        "--depth",
        "2000",
        "--width",
        "64",
        "--batch",
        "4",
        "--trials",
        "3",
        "--json",
    ]);
    let expected = 2000.0 * (32f64.log10() - 5.0 / 128.0 * std::f64::consts::LOG10_E);
    let (forward, backward) = ends(&report);
    assert!(
        (forward - expected).abs() < 40.0 && (backward - expected).abs() < 40.0,
        "{forward} {backward} {expected}"
    );
    assert_eq!(report.cells[0].forward.verdict, Verdict::Exploding);
    // Sigmoid under Xavier: χ₁ = 0.0557207 a layer at infinite width.
    let report = json(&[
        "--act", "sigmoid", "--depth", "10000", "--width", "64", "--batch", "4", "--trials", "1", "--json",
    ]);
    let (forward, backward) = ends(&report);
    let expected = 10_000.0 * 0.055_720_7f64.log10();
    assert!(
        forward.abs() < 10.0 && (backward / expected - 1.0).abs() < 0.02,
        "{forward} {backward} {expected}"
    );
    // Every activation, vanishing and exploding.
    for act in [
        "relu",
        "elu",
        "selu",
        "gelu",
        "gelu-tanh",
        "silu",
        "mish",
        "softplus",
        "tanh",
        "sigmoid",
        "hard-tanh",
        "hard-sigmoid",
        "relu6",
        "hard-swish",
        "softsign",
        "erf",
        "sine",
        "linear",
        "leaky-relu",
        "x^3",
        "x*tanh(x)",
        "exp(x)-1",
    ] {
        for init in ["normal(0, 1e-30)", "normal(0, 1e30)", "normal(1e20, 1)"] {
            let arguments = [
                "--act", act, "--init", init, "--depth", "30", "--width", "12", "--batch", "3", "--trials",
                "2", "--json",
            ];
            let output = tool(&arguments);
            assert!(output.status.success(), "{act} {init}");
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{act} {init}");
            serde_json::from_str::<Report>(&text).unwrap();
        }
    }
}

#[test]
fn known_pathologies_are_named() {
    let base = ["--depth", "30", "--width", "100", "--trials", "4", "--json"];
    for (extra, flag) in [
        (&["--init", "zeros"][..], "zero-signal"),
        (&["--init", "constant-0.02"], "symmetric-units"),
        (&["--init", "normal(0, 1)", "--act", "tanh"], "saturated"),
        (&["--init", "he", "--depth", "200", "--width", "300"], "correlation-collapse"),
        (
            &["--init", "normal(0, 4/sqrt(fan_in))", "--act", "tanh", "--input", "correlated(0.9)"],
            "decorrelated",
        ),
        (&["--init", "normal(0, 0.1)", "--bias", "constant(-1)"], "dead-units"),
    ] {
        let mut arguments: Vec<&str> = base.to_vec();
        if extra.contains(&"--depth") {
            arguments = vec!["--trials", "4", "--json"];
        }
        arguments.extend(extra);
        let cell = &json(&arguments).cells[0];
        assert!(cell.flags.iter().any(|f| f.name() == flag), "{extra:?}: {:?}", cell.flags);
    }
    let clean = json(&["--act", "tanh", "--init", "orthogonal", "--depth", "10", "--json"]);
    assert!(clean.cells[0].flags.is_empty(), "{:?}", clean.cells[0].flags);
}

#[test]
fn weights_that_are_not_drawn_need_no_memory() {
    let size = ["--width", "1M", "--batch", "4", "--depth", "2", "--trials", "1", "--json", "--init"];
    for (init, engine) in [("constant-0.02", "implicit"), ("zeros", "implicit"), ("identity", "dense")] {
        assert_eq!(json(&[size.as_slice(), &[init]].concat()).cells[0].engine.name(), engine, "{init}");
    }
}

#[test]
fn zero_weights_make_units_alike_on_every_engine() {
    for engine in ["dense", "lazy"] {
        let size = ["--width", "20000", "--batch", "16", "--depth", "2", "--trials", "1", "--json"];
        let report = json(&[size.as_slice(), &["--init", "zeros", "--engine", engine]].concat());
        assert!(report.cells[0].flags.iter().any(|f| f.name() == "symmetric-units"), "{engine}");
    }
}

#[test]
fn the_catalog_lists_everything() {
    let output = tool(&["catalog", "--json", "--fan-in", "300", "--fan-out", "100"]);
    let catalog: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for row in catalog["inits"].as_array().unwrap() {
        let (Some(exact), Some(realized)) = (row["exact_n_var"].as_f64(), row["realized_n_var"].as_f64())
        else {
            assert!(row["note"].is_string(), "{row}");
            continue;
        };
        // One matrix of 30 000 entries.
        assert!((realized - exact).abs() <= 0.06 * exact + 1e-9, "{row}");
        assert_eq!(row["group"] == "folklore", row["nearest"].is_string(), "{row}");
    }
    let text = String::from_utf8(tool(&["catalog"]).stdout).unwrap();
    for name in [
        "xavier-normal",
        "torch-linear",
        "xavier-limit-as-std",
        "delta-orthogonal",
        "gelu-tanh",
        "hard-sigmoid",
    ] {
        assert!(text.contains(name), "{name}");
    }
    let acts = String::from_utf8(tool(&["catalog", "acts"]).stdout).unwrap();
    assert!(acts.contains("relu") && !acts.contains("torch-linear"));
}

#[cfg(unix)]
/// One layer of a stack and its biases: the spec says it, and the figures show it.
#[test]
fn a_single_layer_may_have_a_law_of_its_own() {
    let run = |set: &[&str]| {
        json(&[&["--depth", "3", "--width", "400", "--init", "he", "--trials", "3", "--json"], set].concat())
    };
    let plain = run(&[]);
    let changed = run(&["--set", "layer2 = normal(0, sqrt(8/fan_in))", "--set", "layer3.bias=constant(5)"]);
    assert!(plain.spec.set.is_empty());
    assert_eq!(changed.spec.set, ["layer2=normal(0, sqrt(8/fan_in))", "layer3.bias=constant(5)"]);
    let layers = |report: &Report| {
        let of = |layer: &initdiag::result::Layer| layer.preactivation.clone();
        report.cells[0].layers.iter().map(of).collect::<Vec<_>>()
    };
    let ratios: Vec<f64> = layers(&plain)
        .iter()
        .zip(&layers(&changed))
        .map(|(a, b)| b.log10_variance.median.unwrap() - a.log10_variance.median.unwrap())
        .collect();
    // The same draws, times two and two.
    assert!(ratios[0] == 0.0 && (ratios[1] - 4f64.log10()).abs() < 1e-6, "{ratios:?}");
}

#[test]
fn an_interrupt_before_the_first_trial_says_whose_files_are_there() {
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("result.json"), "{}").unwrap();
    let binary = assert_cmd::cargo::cargo_bin!("initdiag");
    let child = std::process::Command::new(binary)
        .args([
            "--depth", "20k", "--width", "4096", "--trials", "1", "--batch", "1", "--engine", "dense",
            "--out",
        ])
        .arg(out.path())
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("of an earlier run"), "{text}");
}

#[cfg(unix)]
/// Theory of the same laws lies in the JSON, in the CSV and over the measurement, and both agree within its band.
#[test]
fn every_run_carries_its_theory() {
    let size = ["--depth", "30", "--width", "256", "--batch", "16", "--trials", "10", "--json"];
    for (init, act) in [("he", "relu"), ("xavier", "tanh"), ("orthogonal", "tanh"), ("lecun-uniform", "gelu")]
    {
        let report = json(&[size.as_slice(), &["--init", init, "--act", act]].concat());
        let cell = &report.cells[0];
        assert!(!cell.flags.iter().any(|f| f.name() == "off-theory"), "{init} {act}: {:?}", cell.words);
        for layer in &cell.layers {
            let theory = layer.theory.unwrap();
            let gradient = layer.gradient.log10_variance.median.unwrap();
            let [low, high] = theory.gradient_band.unwrap().map(Option::unwrap);
            assert!(low < high && (low - 0.5..high + 0.5).contains(&gradient));
            assert!(theory.band.unwrap()[0].unwrap() < theory.activation_log10_variance.unwrap());
        }
        assert!(cell.forward.threshold > 1.0 && cell.forward.threshold < 2.0);
        assert_eq!(cell.formats.len(), 5);
    }
    // Read-outs of a loss start elsewhere; the course is predicted from there. LSUV has no theory, and says nothing of it.
    let mse = json(&[size.as_slice(), &["--init", "he", "--loss", "mse"]].concat());
    let last = mse.cells[0].layers.last().unwrap();
    let (found, expected) =
        (last.gradient.log10_variance.log10_of_mean, last.theory.unwrap().gradient_log10_variance);
    assert!((found.unwrap() - expected.unwrap()).abs() < 1e-9);
    assert!(json(&[size.as_slice(), &["--init", "lsuv"]].concat()).cells[0].layers[0].theory.is_none());
}

/// Twelve units of an orthogonal matrix are far from independent normal weights, 256 are not; of twelve weights of which ten are
/// zero the sum is far from normal.
#[test]
fn what_theory_does_not_expect_is_flagged_with_a_reason() {
    let run = |init: &str, width: &str| {
        let size = ["--depth", "20", "--batch", "16", "--trials", "100", "--json", "--fail-on", "off-theory"];
        let output = tool(&[size.as_slice(), &["--width", width, "--init", init, "--act", "tanh"]].concat());
        let report: Report = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report.cells[0].words.join("; "))
    };
    let (code, words) = run("orthogonal", "12");
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("12 units are too few for a theory of wide layers"), "{words}");
    let (code, words) = run("sparse(0.9, 0.3)", "12");
    assert!(code == Some(3) && words.contains("trials scatter more than widths explain"), "{words}");
    let (code, words) = run("orthogonal", "256");
    assert_eq!(code, Some(0), "{words}");
}

#[test]
fn formats_are_left_where_the_variance_says() {
    let size = ["--depth", "60", "--width", "256", "--batch", "8", "--trials", "3", "--json"];
    let report = json(&[size.as_slice(), &["--init", "xavier"]].concat());
    // Half a layer from 1: f16's smallest normal 2⁻¹⁴ is the root of 2⁻²⁸, e4m3's 2⁻⁶ of 2⁻¹².
    let leaves =
        |name: &str| report.cells[0].formats.iter().find(|f| f.format.name() == name).unwrap().activation;
    assert!((27..=30).contains(&leaves("f16").unwrap()) && (11..=14).contains(&leaves("fp8-e4m3").unwrap()));
    assert_eq!(leaves("f32"), None);
    assert!(
        report.cells[0]
            .words
            .iter()
            .any(|w| w.starts_with("the signal leaves the range of f16 and fp8-e5m2"))
    );
}

#[test]
fn a_long_run_says_what_it_will_take() {
    let size = ["--width", "1G", "--depth", "4", "--batch", "4", "--trials", "1", "--json", "--no-progress"];
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("initdiag"))
        .args(size)
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0; 40];
    std::io::Read::read_exact(child.stderr.as_mut().unwrap(), &mut first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first.starts_with(b"initdiag: this will take about "), "{}", String::from_utf8_lossy(&first));
    let short = tool(&["--width", "64", "--depth", "3", "--json"]);
    assert!(short.stderr.is_empty());
}

#[test]
fn an_interrupt_ends_cleanly_and_keeps_what_is_complete() {
    let out = tempfile::tempdir().unwrap();
    let binary = assert_cmd::cargo::cargo_bin!("initdiag");
    let child = std::process::Command::new(binary)
        .args(["--depth", "50", "--width", "64", "--trials", "1M", "--batch", "8", "--threads", "2", "--out"])
        .arg(out.path())
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("interrupted"), "{text}");
    let report: Report =
        serde_json::from_slice(&std::fs::read(out.path().join("result.json")).unwrap()).unwrap();
    assert!(report.interrupted && report.cells[0].trials > 0 && report.cells[0].trials < 1_000_000);
}

fn cell(arguments: &[&str]) -> initdiag::result::Cell {
    let mut all = arguments.to_vec();
    all.push("--json");
    json(&all).cells.remove(0)
}

#[test]
fn a_signal_without_variance_is_not_called_zero() {
    let small = ["--depth", "5", "--width", "16"];
    let judged = |extra: &[&str]| cell(&[&small[..], extra].concat());
    let ones = judged(&["--init", "ones", "--act", "linear", "--batch", "1"]);
    assert_eq!((ones.forward.verdict, ones.backward.verdict), (Verdict::Exploding, Verdict::Exploding));
    assert_eq!(ones.forward.quantity, Quantity::SecondMoment);
    // (n·mean)² a layer.
    assert!((ones.forward.log10_per_layer.unwrap() - 256f64.log10()).abs() < 1e-5);
    assert!(ones.words[0].contains("no variation over samples and units"), "{:?}", ones.words);
    for extra in [&["--init", "zeros", "--bias", "constant(1)"][..], &["--init", "zeros", "--act", "sigmoid"]]
    {
        let constant = judged(extra);
        assert_eq!(constant.forward.verdict, Verdict::Stable);
        assert!(!constant.words[0].contains("exactly zero"), "{:?}", constant.words);
        assert!(
            constant.flags.iter().any(|f| f.name() == "symmetric-units"),
            "{extra:?}: {:?}",
            constant.flags
        );
    }
    let zeros = judged(&["--init", "zeros"]);
    assert_eq!((zeros.forward.verdict, zeros.forward.log10_change), (Verdict::Vanishing, None));
    assert!(zeros.words[0].contains("exactly zero from layer 1 on"));
    assert!(zeros.flags.iter().any(|f| f.name() == "symmetric-units"));
    assert_eq!(zeros.layers[0].unit_symmetry, Some(0.0));
    // A signal that died in units of different weights is no symmetry of the weights.
    let died = judged(&["--init", "normal(-1, 0.01)"]);
    assert!(died.flags.iter().any(|f| f.name() == "zero-signal"));
    assert!(!died.flags.iter().any(|f| f.name() == "symmetric-units"), "{:?}", died.words);
}

#[test]
fn causes_name_what_acts_and_agree_with_the_measured_factor() {
    // (run, words of the forward cause, words of the backward cause); nothing is said where theory and measurement part.
    let rows: &[(&[&str], &str, &str)] = &[
        (
            &["--init", "torch-linear", "--width", "128"],
            "n·Var(W) = 1/3 and relu halves it: the weights alone keep 1/6; biases of mean square 0.0026 bring 83 %",
            "n·Var(W)·E φ′² = 1/6",
        ),
        (
            &["--init", "he", "--bias", "normal(0,1)", "--width", "128"],
            "biases of mean square 1 bring",
            "= 1",
        ),
        (
            &["--init", "normal(0.001, 0.05)", "--width", "512", "--depth", "30", "--trials", "4"],
            "(n·mean(W))² = 0.262 brings 8 %",
            "",
        ),
        (
            &["--init", "he", "--widths", "784,512,256,128,10", "--trials", "60"],
            "fan_in·Var(W) = 2 and relu halves it: each layer keeps all",
            "fan_in·Var(W)·E φ′² = 1",
        ),
        (
            &["--init", "xavier", "--widths", "784,512,256,128,10", "--trials", "60"],
            "fan_in·Var(W) between 1.33 and 1.86",
            "fan_in·Var(W)·E φ′² between 2/3 and 0.928",
        ),
        (
            &["--init", "mup", "--width", "64", "--depth", "20"],
            "n·Var(W) between 0.0156 and 1",
            "n·Var(W)·E φ′²",
        ),
        (
            &["--act", "tanh", "--width", "128"],
            "tanh passes E φ²/q = 0.959 on at q = 0.0215 (layer 25)",
            "= 0.96 half-way",
        ),
        (
            &["--init", "unit-mean", "--act", "tanh", "--depth", "10", "--width", "64"],
            "(n·mean(W))² = 4096 outweighs n·Var(W) = 64",
            "",
        ),
        (&["--init", "normal(0,1)", "--depth", "1"], "each layer multiplies it by 256", "meets no weights"),
        (&["--init", "zeros", "--depth", "3", "--width", "8"], "all weights are 0", ""),
    ];
    for (arguments, forward, backward) in rows {
        let cell = cell(arguments);
        assert!(cell.words[0].contains(forward), "{arguments:?}: {}", cell.words[0]);
        assert!(cell.words[1].contains(backward), "{arguments:?}: {}", cell.words[1]);
        assert!(!cell.words[1].is_empty() && !cell.words.concat().contains("10^-0.00"));
    }
    // Products of an identity follow no law of random weights.
    let identity = cell(&["--init", "identity", "--depth", "5", "--width", "16"]);
    assert!(!identity.words[0].contains("Var(W)"), "{:?}", identity.words);
}

#[test]
fn changes_are_counted_between_the_layers_that_are_named() {
    let two = cell(&["--depth", "2", "--trials", "20"]);
    assert!(two.words[0].contains("10^-0.30 from layer 1 to 2;"), "{}", two.words[0]);
    let one = cell(&["--init", "normal(0,1)", "--depth", "1"]);
    assert_eq!(one.forward.verdict, Verdict::Exploding);
    assert!(one.words[0].contains("from the input to layer 1"), "{}", one.words[0]);
    // The gradient falls at the saturated end and grows along the rest.
    let bent = cell(&["--init", "constant-0.02", "--act", "tanh", "--depth", "20", "--width", "64"]);
    assert_eq!(bent.backward.verdict, Verdict::Exploding);
    assert!(bent.words[1].contains("a line through all layers"), "{}", bent.words[1]);
}

#[test]
fn a_bound_is_not_reported_as_a_measurement() {
    let arguments =
        ["--init", "he", "--act", "x^2", "--depth", "200", "--width", "8", "--batch", "4", "--trials", "4"];
    let steep = cell(&arguments);
    assert_eq!((steep.forward.verdict, steep.backward.verdict), (Verdict::Exploding, Verdict::Exploding));
    assert_eq!((steep.forward.log10_change, steep.backward.log10_change), (None, None));
    assert!(steep.words[1].contains("10^+3e17"), "{:?}", steep.words);
    assert_eq!(steep.layers[0].gradient.beyond_trials, 4);
    let flat = cell(&["--init", "normal(0,1e300)", "--act", "tanh", "--depth", "30", "--width", "8"]);
    assert_eq!(flat.backward.verdict, Verdict::Vanishing);
    assert!(flat.words[1].contains("10^-3e17 at layer 30"), "{:?}", flat.words);
}

#[test]
fn half_the_units_dead_is_no_fault_of_a_narrow_stack() {
    // Four cells, each flagged by chance with probability below 1e-7.
    for seed in ["0", "1", "2", "3"] {
        let arguments = ["--depth", "300", "--width", "32", "--batch", "16", "--trials", "1", "--seed", seed];
        let cell = cell(&[&["--init", "he"][..], &arguments].concat());
        assert!(!cell.flags.iter().any(|f| f.name() == "dead-units"), "{:?}", cell.words);
    }
    // Narrow layers that are dead beyond chance only taken together.
    let shifted =
        ["--init", "he", "--bias", "constant(-0.6)", "--depth", "30", "--width", "8", "--trials", "1"];
    let cell = cell(&shifted);
    assert!(cell.flags.iter().any(|f| f.name() == "dead-units"), "{:?}", cell.layers[20].dead_fraction);
}

#[test]
fn narrow_layers_are_no_case_for_a_theory_of_wide_ones() {
    // χ₁ = 1.07 at infinite width, and the gradient of eight units falls.
    let narrow =
        cell(&["--act", "selu", "--init", "lecun", "--depth", "2000", "--width", "8", "--trials", "1"]);
    assert!(narrow.backward.log10_per_layer.unwrap() < 0.0);
    assert!(!narrow.words[1].contains("Var(W)"), "{}", narrow.words[1]);
}

#[test]
fn a_run_is_held_against_an_earlier_one() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
    let size = ["--depth", "6", "--width", "64", "--batch", "16", "--quiet"];
    let old = place("old");
    let made =
        tool(&[&size[..], &["--init", "normal(0, 0.05),he", "--act", "relu,tanh", "--out", &old]].concat());
    assert!(made.status.success());
    let baseline = format!("{old}/result.json");
    let against = |extra: &[&str]| {
        let run = ["--baseline", &baseline, "--fail-on", "drift", "--json"];
        let output = tool(&[&size[..6], &run, extra].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        match output.status.code() {
            Some(3) => {
                assert!(text.starts_with("initdiag: --fail-on met: ") && text.contains(": drift"), "{text}")
            }
            _ => assert!(text.is_empty(), "{text}"),
        }
        assert!(text.lines().count() < 2, "{text}");
        (output.status.code(), serde_json::from_slice::<Report>(&output.stdout).unwrap())
    };
    // Other seeds, trials, threads and engines are the same law.
    for extra in [
        &["--seed", "1"][..],
        &["--seed", "0"],
        &["--seed", "2", "--trials", "20", "--threads", "1", "--engine", "lazy"],
        &["--seed", "3", "--engine", "dense", "--threshold", "3"],
    ] {
        let (code, report) =
            against(&[&["--init", "normal(0, 0.05),he", "--act", "relu,tanh"], extra].concat());
        assert_eq!(code, Some(0), "{extra:?}");
        let about = report.baseline.unwrap();
        assert!(about.new.is_empty() && about.missing.is_empty() && about.file == baseline, "{about:?}");
        assert!(report.cells.iter().all(|c| c.baseline.as_ref().is_some_and(|b| !b.drift && b.trials == 10)));
        assert!(report.cells.iter().all(|c| c.words.iter().any(|w| w.starts_with("baseline: no drift"))));
    }
    // A law by another name stands beside the one in its place; it was cut at two standard deviations and is narrower.
    let (code, report) =
        against(&["--init", "keras-truncated-normal,he-uniform", "--seed", "1", "--act", "relu,tanh"]);
    assert_eq!(code, Some(3));
    let drifted: Vec<bool> = report.cells.iter().map(|c| c.baseline.as_ref().unwrap().drift).collect();
    assert_eq!(drifted, [true, true, false, false]);
    assert_eq!(report.cells[0].baseline.as_ref().unwrap().init.as_deref(), Some("normal"));
    assert!(report.cells[0].flags.contains(&Flag::Drift));
    assert!(
        report.cells[0].words.iter().any(|w| w.starts_with("drift (there normal)")),
        "{:?}",
        report.cells[0].words
    );
    // Cells on one side alone are said, and a guard that cannot judge them does not let them pass, unless it is told to.
    let apart = ["--init", "he,xavier", "--act", "tanh", "--seed", "1"];
    let (code, report) = against(&apart);
    assert_eq!(code, Some(3));
    let lenient = ["--baseline", &baseline, "--fail-on", "drift:tested", "--json"];
    let passed = tool(&[&size[..6], &lenient, &apart].concat());
    assert_eq!((passed.status.code(), passed.stderr.as_slice()), (Some(0), &b""[..]));
    let one = place("one.json");
    let single = tool(&[&size[..6], &["--trials", "1", "--json"]].concat()).stdout;
    std::fs::write(&one, single).unwrap();
    for (guard, code, words) in
        [("drift", 3, "drift could not be tested, for a spread needs two trials"), ("drift:tested", 0, "")]
    {
        let run = tool(&[&size[..6], &["--baseline", &one, "--fail-on", guard, "--json"]].concat());
        let text = String::from_utf8(run.stderr).unwrap();
        assert!(run.status.code() == Some(code) && text.contains(words), "{text}");
    }
    let about = report.baseline.unwrap();
    assert_eq!(about.new, ["xavier-normal × tanh"]);
    assert_eq!(about.missing, ["normal × relu", "normal × tanh", "he-normal × relu"]);
    assert!(report.cells[1].baseline.is_none());
    let new = place("new");
    let table =
        tool(&[&size[..6], &["--init", "he,xavier", "--baseline", &baseline, "--out", &new]].concat());
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(text.contains("not in the baseline: xavier-normal × relu\n"), "{text}");
    assert!(
        text.contains("in the baseline alone: normal × relu, normal × tanh, he-normal × tanh\n"),
        "{text}"
    );
    let (code, text) =
        complaint(&[&size[..6], &["--init", "he", "--baseline", &baseline, "--out", &old]].concat());
    assert!(code == 2 && text.contains("`result.json` there is what --baseline reads"), "{text}");
}

#[test]
fn what_is_no_baseline_gets_one_clear_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    };
    let size = ["--depth", "3", "--width", "8", "--batch", "4", "--trials", "2", "--seed", "1"];
    let whole = tool(&[&size[..], &["--json"]].concat()).stdout;
    let text = String::from_utf8(whole.clone()).unwrap();
    let edited = |name: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        path(name, text.replacen(from, to, 1).as_bytes())
    };
    let good = path("good.json", &whole);
    let mut value: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    value["cells"][0]["layers"].as_array_mut().unwrap().pop();
    let short = path("short.json", value.to_string().as_bytes());
    value["cells"] = serde_json::json!([]);
    let empty = path("no-cells.json", value.to_string().as_bytes());
    let rows: &[(&str, &[&str], i32, &str)] = &[
        ("/no/such.json", &[], 1, "cannot read it"),
        (directory.path().to_str().unwrap(), &[], 1, "cannot read it"),
        (&path("empty.json", b""), &[], 1, "no JSON"),
        (&path("cut.json", &whole[..whole.len() / 2]), &[], 1, "it ends too early"),
        (&path("bytes.json", &[0xff, 0xfe, 0, 1]), &[], 1, "no JSON"),
        (&path("deep.json", "[".repeat(100_000).as_bytes()), &[], 1, "no JSON"),
        (&path("list.json", b"[1, 2]"), &[], 1, "no result of initdiag"),
        (&path("object.json", b"{}"), &[], 1, "no result of initdiag"),
        (&path("bare.json", br#"{"schema": "initdiag/1"}"#), &[], 1, "missing field"),
        (
            &edited("newer.json", "initdiag/1", "initdiag/2"),
            &[],
            1,
            "of a newer initdiag; this one reads initdiag/1",
        ),
        (
            &edited("other.json", "initdiag/1", "initdiag-theory/1"),
            &[],
            1,
            "has the schema initdiag-theory/1",
        ),
        (&edited("trials.json", "\"trials\": 2", "\"trials\": -2"), &[], 1, "whole initdiag/1 result"),
        (&edited("huge.json", "\"zero_trials\": 0", "\"zero_trials\": 1e999"), &[], 1, "no JSON"),
        (&short, &[], 2, "has 2 layers where its depth is 3"),
        (&empty, &[], 2, "no cells"),
        (&good, &["--depth", "4"], 2, "of another experiment: depth 3 there, 4 here\n"),
        (&good, &["--width", "9"], 2, "input width 8 there, 9 here\n"),
        (&good, &["--batch", "5"], 2, "batch 4 there, 5 here"),
        (&good, &["--input", "uniform"], 2, "input normal there, uniform here"),
        (&good, &["--loss", "mse"], 2, "loss random there, mse here"),
        (&good, &["--bias", "normal"], 2, "bias the initializer's own there, normal here"),
        (&good, &["--act", "tanh"], 2, "its activations are relu, this run's tanh"),
        (
            &good,
            &["--init", "he,lecun"],
            2,
            "its initializers are xavier-normal, this run's he-normal, lecun-normal",
        ),
    ];
    for (file, extra, code, words) in rows {
        let mut size: Vec<&str> = size.to_vec();
        // An option given twice is a fault of its own.
        if let Some(place) = extra.first().and_then(|name| size.iter().position(|a| a == name)) {
            size.drain(place..place + 2);
        }
        let (got, text) = complaint(&[&size[..], &["--baseline", file], extra].concat());
        assert!(text.contains("--baseline `"), "{text}");
        assert!(text.contains(words), "{file} {extra:?}: {text}");
        assert_eq!(got, *code, "{file} {extra:?}: {text}");
    }
    let (code, text) = complaint(&["--fail-on", "drift"]);
    assert!(code == 2 && text.contains("needs --baseline"), "{text}");
    // Numbers that nobody measured are refused.
    let original: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    let spread = "/cells/0/layers/1/activation/spread/log10_variance";
    for (place, number, words) in [
        ("/cells/0/trials".to_string(), serde_json::json!(1_000_000_000_000_000_000_u64), "trials"),
        ("/cells/0/trials".to_string(), serde_json::json!(0), "0 trials"),
        (
            "/cells/0/layers/1/gradient/zero_trials".to_string(),
            serde_json::json!(3_000_000_000_u64),
            "more trials",
        ),
        (format!("{spread}/sd"), serde_json::json!(-1.0), "sd -1"),
        (format!("{spread}/sd"), serde_json::json!(1e308), "a spread of mean"),
        (format!("{spread}/mean"), serde_json::json!(-1e308), "a spread of mean"),
        (format!("{spread}/count"), serde_json::json!(3), "count 3"),
    ] {
        let mut value = original.clone();
        *value.pointer_mut(&place).unwrap() = number;
        let edited = path("edited.json", value.to_string().as_bytes());
        let (code, text) = complaint(&[&size[..], &["--baseline", &edited]].concat());
        assert!(
            code == 2 && text.contains("what no run measures") && text.contains(words),
            "{place}: {text}"
        );
    }
    let mut twice = original.clone();
    let cell = twice["cells"][0].clone();
    twice["cells"].as_array_mut().unwrap().push(cell);
    let twice = path("twice.json", twice.to_string().as_bytes());
    let (code, text) = complaint(&[&size[..], &["--baseline", &twice]].concat());
    assert!(code == 2 && text.contains("it has the cell xavier-normal × relu twice"), "{text}");
    // Names that would steer a terminal do no harm, nor do numbers that are not compared.
    let mut value = original;
    value["cells"][0]["init"] = "\u{1b}[31mred".into();
    for layer in value["cells"][0]["layers"].as_array_mut().unwrap() {
        layer["preactivation"]["log10_variance"]["q95"] = serde_json::Value::Null;
    }
    value["cells"][0]["forward"]["log10_per_layer"] = (-1e308).into();
    let hostile = path("hostile.json", value.to_string().as_bytes());
    let output = tool(&[&size[..], &["--baseline", &hostile, "--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}') && !text.contains("inf\"") && !text.contains("NaN"), "{text}");
    serde_json::from_str::<Report>(&text).unwrap();
}

#[test]
fn a_sweep_over_widths_gives_exponents() {
    let out = tempfile::tempdir().unwrap();
    let size = ["--widths-sweep", "64,256,128", "--depth", "3", "--batch", "8", "--trials", "10"];
    let to = ["--out", out.path().to_str().unwrap()];
    let output = tool(&[&size[..], &["--init", "he,normal(0, 0.05)"], &to].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("wrote widths.json, widths.csv, widths.svg, widths.png")
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("normal × relu: not width-stable"), "{text}");
    assert!(text.contains("input width 512"), "{text}");
    let read = |name: &str| std::fs::read(out.path().join(name)).unwrap();
    assert!(read("widths.png").starts_with(b"\x89PNG"));
    assert!(String::from_utf8(read("widths.svg")).unwrap().contains("width"));
    assert_eq!(String::from_utf8(read("widths.csv")).unwrap().lines().count(), 1 + 2 * 3 * 4 * 3);
    let found: Scaling = serde_json::from_slice(&read("widths.json")).unwrap();
    assert_eq!((found.schema.as_str(), found.spec.input_width), ("initdiag-widths/1", 512));
    assert_eq!(found.spec.hidden_widths, [64, 128, 256]);
    assert_eq!(found.cells[1].stable, Some(false));
    assert!((found.cells[1].forward_per_layer.unwrap() - 1.0).abs() < 0.1);
    // The same seed gives the same bytes, whatever the threads; each width has the engine that suits it.
    let again =
        |threads: &str| tool(&[&size[..], &["--init", "he", "--threads", threads, "--json"]].concat()).stdout;
    assert_eq!(again("1"), again("2"));
    let large = tool(&["--widths-sweep", "128,256,1k", "--depth", "2", "--trials", "2", "--json"]).stdout;
    let large: Scaling = serde_json::from_slice(&large).unwrap();
    assert_eq!((large.cells[0].engine[0].name(), large.cells[0].engine[2].name()), ("dense", "implicit"));
    // Data bring their own width; zeros and a single trial have no number where there is none.
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits.csv.gz");
    let extra = ["--input", digits, "--init", "zeros,he", "--trials", "1", "--json"];
    let data = tool(&[&["--widths-sweep", "8,16,32", "--depth", "1"][..], &extra].concat());
    let data: Scaling = serde_json::from_slice(&data.stdout).unwrap();
    assert_eq!(data.spec.input_width, 64);
    assert_eq!(data.cells[0].layers[0].preactivation.exponent, None);
    assert!(data.cells[1].layers[0].preactivation.exponent.is_some());
    for (init, code) in [("he", 0), ("normal(0, 0.05)", 3)] {
        let output =
            tool(&[&size[..], &["--init", init, "--quiet", "--fail-on", "width-unstable"], &to].concat());
        assert_eq!(output.status.code(), Some(code), "{init}");
        let met = match code {
            0 => String::new(),
            _ => "initdiag: --fail-on met: normal × relu: width-unstable\n".into(),
        };
        assert!(output.stdout.is_empty());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), met);
    }
}

#[test]
fn output_options_are_the_same_in_every_command() {
    let section = |command: &[&str]| {
        let output = tool(&[command, &["-h"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let start = text.find("Output options:").unwrap_or_else(|| panic!("{command:?}:\n{text}"));
        let end = text[start..].find("\n\n").map_or(text.len(), |end| start + end);
        text[start..end].to_string()
    };
    let options = section(&[]);
    for name in ["--out", "--format", "--json", "--quiet", "--no-progress", "--color"] {
        assert!(options.contains(name), "{name}:\n{options}");
    }
    // Columns are as wide as a command's longest option, which is no difference of the texts.
    let words = |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
    for command in ["theory", "phase", "recommend", "train"] {
        assert_eq!(words(&section(&[command])), words(&options), "{command}");
    }
}

#[test]
fn a_format_that_a_command_lacks_is_refused_before_anything_is_done() {
    for (command, format, words) in [
        (&["theory", "--sigma-w2", "2"][..], "csv", "this command writes json, svg and png"),
        (&["phase"], "json,csv", "this command writes json, svg and png"),
        (&["recommend"], "png", "this command writes json and code"),
        (&["--depth", "2"], "code", "this command writes json, csv, svg and png"),
        (&["train"], "code", "this command writes json, csv, svg and png"),
    ] {
        let (code, text) = complaint(&[command, &["--format", format]].concat());
        assert!(code == 2 && text.contains(words), "{command:?}: {text}");
    }
}

#[test]
fn a_sweep_that_is_none_gets_one_clear_line() {
    let rows: &[(&[&str], i32, &str)] = &[
        (&[""], 2, "--widths-sweep"),
        (&["512"], 2, "3 widths or more"),
        (&["128,256"], 2, "two are always on a line"),
        (&["128,256,256"], 2, "256 is there twice"),
        (&["1k,256,1000"], 2, "1000 is there twice"),
        (&["128,,256,512"], 2, "whole number"),
        (&["128,0,256"], 2, "`0`"),
        (&["128,-4,256"], 2, "`-4`"),
        (&["128,many,256"], 2, "`many`"),
        (&["128,256,2G"], 2, "from 1 to 1G"),
        (&["8,16,32", "--width", "8"], 2, "cannot be used with"),
        (&["8,16,32", "--widths", "8,8"], 2, "cannot be used with"),
        (&["8,16,32", "--baseline", "x.json"], 2, "cannot be used with"),
        (&["8,16,32", "--trace"], 2, "cannot be used with"),
        (&["8,16,32", "--fail-on", "exploding"], 2, "width-unstable"),
        (&["8,16,32", "--init", "hee"], 2, "did you mean `he`?"),
        (&["8,16,32", "--init", "normal(0, 1/abs(fan_out-16))"], 2, "finite"),
        (&["8,16,1G", "--engine", "dense"], 1, "memory"),
    ];
    for (arguments, code, words) in rows {
        let (got, text) = complaint(&[&["--widths-sweep"], *arguments].concat());
        assert!(got == *code && text.contains(words), "{arguments:?}: {got} {text}");
    }
    let (code, text) = complaint(&["--fail-on", "width-unstable"]);
    assert!(code == 2 && text.contains("needs --widths-sweep"), "{text}");
}

#[test]
fn the_first_loss_stands_beside_that_of_a_guess() {
    let of = |law: &str| {
        let set = format!("head.weight={law}");
        let size =
            ["--net", "mlp-mnist", "--batch", "32", "--trials", "3", "--loss", "cross-entropy", "--json"];
        json(&[&size[..], &["--set", &set]].concat()).cells.remove(0)
    };
    let guess = 10f64.ln();
    let zeros = of("zeros");
    let loss = zeros.initial_loss.unwrap();
    assert!((loss.value - guess).abs() < 1e-12 && loss.uniform == guess, "{loss:?}");
    // A head of zeros is meant: no fault, and the words say how to see behind it.
    assert!(zeros.flags.is_empty() && zeros.backward.verdict == Verdict::Stable, "{:?}", zeros.words);
    assert!(zeros.words[1].contains("begins at zero by design") && zeros.words[1].contains("--set"));
    // Ten logits of variance v under 2·ln 10 cost ln 10 + v/2 in the mean, less what ten values leave of it.
    let small = of("normal(0, 0.05)");
    let variance = 10f64.powf(small.layers[1].preactivation.log10_variance.median.unwrap());
    let excess = small.initial_loss.unwrap().value - guess;
    assert!(excess > 0.0 && excess < variance, "{excess} {variance}");
    let large = of("normal(0, 3)");
    assert!(large.flags.contains(&Flag::LargeLogits), "{:?}", large.words);
    assert!(large.words.iter().any(|words| words.contains("the logits of head")));
    assert!(large.initial_loss.unwrap().value > 3.0 * guess);
}

#[test]
fn a_network_of_an_architecture_file() {
    let report = json(&["--net", "lenet5", "--init", "he,fixup", "--batch", "4", "--trials", "2", "--json"]);
    assert_eq!((report.cells.len(), report.spec.depth, report.spec.widths.len()), (2, 3, 0));
    let layers = &report.cells[0].layers;
    let found: Vec<_> =
        layers.iter().map(|l| (l.path.as_deref().unwrap(), l.kind.as_str(), l.fan_in, l.fan_out)).collect();
    assert_eq!(
        found,
        [("conv1", "conv2d", 9, 54), ("linear1", "linear", 1014, 128), ("head", "linear", 128, 10)]
    );
    assert_eq!(layers[0].units, Some(6));
    assert_eq!(report.cells[0].backward.quantity, Quantity::SquaredNorm);
    // 9·6 + 6 of the convolution, 1014·128 + 128 and 128·10 + 10.
    assert_eq!(report.parameters, Some(131_270));
    // He's law in the convolution: n·Var = 2, and ‖W‖² = 54·2/9; a step's share of the weights, from the mean square of their gradient.
    let conv = &layers[0];
    let size = conv.weight.unwrap();
    assert!((size.n_var - 2.0).abs() < 1e-12 && (size.norm * size.norm - 12.0).abs() < 1e-9, "{size:?}");
    let gradient = conv.weight_gradient.log10_second_moment.median.unwrap();
    let share = 0.5 * (gradient + 54f64.log10()) - size.norm.log10();
    assert!((conv.relative_gradient.unwrap().median.unwrap() - share).abs() < 1e-9);
    // What is followed stands at the places of the body, from the end that it flows from.
    let places: Vec<usize> = report.cells[0].backward.judged.iter().map(|point| point.layer).collect();
    assert_eq!(places, [2, 1]);
    // The spec says everything that is needed to run it again.
    assert_eq!(report.spec.net.as_ref().unwrap().name.as_deref(), Some("lenet5"));
    let threads = |count| {
        let out = tool(&["--net", "lenet5", "--batch", "4", "--trials", "3", "--threads", count, "--json"]);
        assert!(out.status.success());
        out.stdout
    };
    assert_eq!(threads("1"), threads("5"));
}

#[test]
fn residual_sums_and_branches_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mine.toml");
    let text = r#"
        init = "he"
        act = "tanh"
        input = { shape = [8] }
        layer = [
            { type = "linear", out = 8 },
            { type = "repeat", times = 2, layers = [
                { type = "residual", layers = [{ type = "act" }, { type = "linear", out = 8 }] },
            ] },
        ]"#;
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let report = json(&["--net", file, "--batch", "4", "--trials", "2", "--json"]);
    let cell = &report.cells[0];
    assert_eq!((cell.init.as_str(), cell.act.as_str()), ("he-normal", "tanh"));
    let found: Vec<_> = cell.layers.iter().map(|l| (l.path.as_deref().unwrap(), l.branch)).collect();
    assert_eq!(
        found,
        [
            ("linear1", false),
            ("block1/linear1", true),
            ("block1", false),
            ("block2/linear1", true),
            ("block2", false)
        ]
    );
    assert!(cell.words[0].contains("from linear1 to block2"), "{}", cell.words[0]);
    let roles: Vec<_> = cell.layers.iter().map(|l| l.role.as_deref().unwrap()).collect();
    assert_eq!(roles, ["stream", "linear1", "stream", "linear1", "stream"]);
    // The command line wins.
    let other =
        json(&["--net", file, "--init", "zeros", "--act", "relu", "--batch", "4", "--trials", "1", "--json"]);
    assert_eq!((other.cells[0].init.as_str(), other.cells[0].act.as_str()), ("zeros", "relu"));
    let out = directory.path().join("out");
    let ran = tool(&["--net", file, "--batch", "4", "--trials", "2", "--out", out.to_str().unwrap()]);
    assert!(ran.status.success());
    let table = String::from_utf8(ran.stdout).unwrap();
    assert!(table.contains("mine · 5 recorded layers"), "{table}");
    // Roles in a table of their own.
    let roles = table.lines().skip_while(|line| !line.trim_start().starts_with("role ")).skip(1).take(2);
    let mut names: Vec<_> = roles.map(|line| line.split_whitespace().next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["linear1", "stream"], "{table}");
    assert!(out.join("signal.png").exists());
    let csv = std::fs::read_to_string(out.join("layers.csv")).unwrap();
    assert!(
        csv.starts_with("init,act,layer,path,kind,role,")
            && csv.contains(",2,block1/linear1,linear,linear1,"),
        "{csv}"
    );
}

#[test]
fn a_network_that_cannot_be_built_says_where_and_what_would_fit() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("net.toml");
    let path = file.to_str().unwrap().to_string();
    let refused = |layers: &str, extra: &[&str]| {
        std::fs::write(&file, format!("input = {{ shape = [3, 8, 8] }}\nlayer = [{layers}]")).unwrap();
        let (code, text) = complaint(&[&["--net", &path], extra].concat());
        assert_eq!(code, 2, "{text}");
        text
    };
    for (layers, words) in [
        (
            r#"{ type = "linear", out = 3 }"#,
            "linear1: linear takes features, not the image [3, 8, 8]: put a `flatten`",
        ),
        (
            r#"{ type = "conv2d", out = 3, kernel = 9 }"#,
            "conv1: a kernel that spans 9 does not fit the height of 8",
        ),
        (
            r#"{ type = "conv2d", out = 4, kernel = 3, groups = 2 }"#,
            "groups = 2 does not divide both the 3 channels",
        ),
        (
            r#"{ type = "residual", name = "block", layers = [{ type = "conv2d", out = 4, kernel = 2, stride = 2 }] }"#,
            "block: the branch makes [4, 4, 4] of [3, 8, 8] and the identity around it keeps [3, 8, 8]: a shortcut of conv2d \
             with out = 4, kernel = 1, stride = 2 would fit",
        ),
        (r#"{ type = "attention", heads = 2 }"#, "attention1: attention takes a sequence"),
        (r#"{ type = "flatten" }"#, "no layer of it has weights"),
        (
            r#"{ type = "conv2d", out = 3, kernel = 3, init = "heh" }"#,
            "conv1: unknown initializer `heh`: did you mean `he`?",
        ),
        (r#"{ type = "conv2d", out = 3, kernel = 0 }"#, "conv1: kernel is a whole number from 1"),
        (r#"{ type = "repeat", times = 2000000, layers = [{ type = "act" }] }"#, "more than 1000000 layers"),
        (
            r#"{ type = "maxpool", kernal = 2 }"#,
            "layer 1 (maxpool): unknown field `kernal`: did you mean `kernel`?",
        ),
        (r#"{ type = "dropout", p = 1.0 }, { type = "conv2d", out = 1, kernel = 1 }"#, "p = 1 is not"),
    ] {
        let text = refused(layers, &[]);
        assert!(text.contains(words), "{text}");
    }
    let conv = r#"{ type = "conv2d", out = 3, kernel = 3 }"#;
    for (extra, words) in [
        (&["--depth", "3"][..], "--depth"),
        (&["--widths", "3,4"], "--widths"),
        (
            &["--input", "tests/data/digits.csv.gz"],
            "64 features a sample, but the network takes [3, 8, 8], which are 192",
        ),
    ] {
        let text = refused(conv, extra);
        assert!(text.contains(words), "{text}");
    }
    for (name, words) in [("resnet19", "did you mean `resnet18`?"), ("no/such.toml", "no such file")] {
        let (_, text) = complaint(&["--net", name]);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_bundled_network_takes_its_own_initializer_unless_the_user_names_one() {
    use initdiag::frontend::{bundled, toml::Architecture};
    use initdiag::initializer::Initializer;
    for name in bundled::NAMES {
        let source = bundled::source(name).unwrap();
        let own = Architecture::parse(source).unwrap().init.unwrap_or_else(|| panic!("{name} names none"));
        assert!(Initializer::parse_for_net(&own).is_ok(), "{name}: {own}");
        assert!(source.contains("nitialize"), "{name} does not say where it comes from");
    }
    let size = ["--net", "mlp-mnist", "--batch", "4", "--trials", "1", "--json"];
    let own = json(&size);
    assert_eq!(
        (own.cells[0].init.as_str(), &own.spec.init[..]),
        ("keras-dense", &["keras-dense".to_string()][..])
    );
    assert_eq!(json(&[&size[..], &["--init", "he"]].concat()).cells[0].init, "he-normal");
    let text = String::from_utf8(tool(&["--net", "lenet5", "--batch", "4", "--trials", "1"]).stdout).unwrap();
    assert!(text.contains("torch-linear × relu"), "{text}");
}

#[test]
fn a_graph_that_cannot_be_built_says_which_values_do_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("net.toml");
    // `a` is [3, 8, 8] and `b` is [2, 8, 8].
    let before = r#"{ type = "conv2d", out = 3, kernel = 1, name = "a" }, { type = "conv2d", out = 2, kernel = 1, name = "b" }"#;
    for (layers, words) in [
        (
            r#"{ type = "add", from = ["a", "c"], name = "c" }"#,
            "c: `c` is this layer, one around it or a later one: a network has no cycles",
        ),
        (
            r#"{ type = "add", from = ["a", "d"] }, { type = "act", name = "d" }"#,
            "add1: `d` is this layer, one around it or a later one",
        ),
        (
            r#"{ type = "residual", name = "r", layers = [{ type = "act", from = ["r"] }] }"#,
            "r/act1: `r` is this layer, one around it or a later one",
        ),
        (
            r#"{ type = "repeat", times = 2, layers = [{ type = "act", from = ["z"] }, { type = "act", name = "z" }] }"#,
            "act1: `z` is this layer, one around it or a later one",
        ),
        (
            r#"{ type = "conv2d", out = 3, kernel = 1, name = "stem" }, { type = "act", from = ["stern"] }"#,
            "act1: from names `stern`, which no earlier layer is called: did you mean `stem`?",
        ),
        (
            r#"{ type = "act", from = ["frobnicate"] }"#,
            "which no earlier layer is called; there are a, b, input",
        ),
        (
            r#"{ type = "residual", layers = [{ type = "act", name = "in" }] }, { type = "act", from = ["in"] }"#,
            "act1: `in` stands inside another block or branch",
        ),
        (
            r#"{ type = "split", parts = 2, name = "s" }, { type = "add", from = ["s", "a"] }"#,
            "add1: `s` has 2 outputs: name one of them, as in `s[0]`",
        ),
        (
            r#"{ type = "split", parts = 2, name = "s" }, { type = "add", from = ["s[0]", "s[2]"] }"#,
            "add1: `s` has 2 outputs, `s[0]` to `s[1]`, not [2]",
        ),
        (r#"{ type = "act", from = ["a[1]"] }"#, "act1: `a` has one output, so there is no `a[1]`"),
        (
            r#"{ type = "act", from = ["a[99999999999999999999]"] }"#,
            "act1: from names `a[99999999999999999999]`",
        ),
        (r#"{ type = "act", from = [] }"#, "layer 3 (act): from names at least one earlier layer"),
        (r#"{ type = "act", from = "a" }"#, "layer 3 (act) from: text \"a\" where a list is needed"),
        (
            r#"{ type = "add" }"#,
            "add1: add takes two or more inputs, not 1: `from = [\"a\", \"b\"]` names them",
        ),
        (r#"{ type = "act", from = ["a", "b"] }"#, "act1: act takes one input, not 2"),
        (r#"{ type = "matmul", from = ["a", "b", "a"] }"#, "matmul1: matmul takes two inputs, not 3"),
        (
            r#"{ type = "add", from = ["a", "b"] }"#,
            "add1: add takes inputs of one shape, but `a` gives [3, 8, 8] and `b` gives [2, 8, 8]",
        ),
        (
            r#"{ type = "maxpool", kernel = 2, name = "c" }, { type = "concat", from = ["a", "b", "c"] }"#,
            "concat1: concat takes inputs with the same positions, but `a` gives [3, 8, 8] and `c` gives [2, 4, 4]",
        ),
        (
            r#"{ type = "matmul", from = ["a", "b"] }"#,
            "matmul1: matmul multiplies the features of its first input with the positions of its second, but `a` gives [3, 8, 8] \
             and `b` gives [2, 8, 8]",
        ),
        (r#"{ type = "matmul", from = ["a", "a"] }"#, "`a` gives [3, 8, 8]: transposed = true takes them"),
        (
            r#"{ type = "softmax", causal = true }"#,
            "softmax1: causal = true takes as many scores at each position as there are positions, not 2 at each of 64",
        ),
        (r#"{ type = "softmax", heads = 3 }"#, "softmax1: heads = 3 does not divide the 2 features; 2 does"),
        (r#"{ type = "scale", by = inf }"#, "scale1: by = inf is not a finite number"),
        (r#"{ type = "scale" }"#, "layer 3 (scale): missing field `by`"),
        (r#"{ type = "split", parts = 3 }"#, "split1: parts = 3 does not divide the 2 features; 2 does"),
        (r#"{ type = "split", parts = 1 }"#, "split1: split makes at least two outputs"),
        (r#"{ type = "split", sizes = [1, 2] }"#, "split1: its sizes add up to 3, not to the 2 features"),
        (r#"{ type = "split" }"#, "split1: split needs either parts"),
        (
            r#"{ type = "split", parts = 2 }"#,
            "the network: the last layer has 2 outputs, and a network has one",
        ),
        (
            r#"{ type = "split", parts = 2, name = "s" }, { type = "act", from = ["s[0]"] }"#,
            "s: no later layer takes its output [1]: name it in `from` of one",
        ),
        (
            r#"{ type = "conv2d", out = 2, kernel = 1, name = "c" }, { type = "act", from = ["b"] }"#,
            "c: no later layer takes its output: name it in `from` of one, or leave the layer out",
        ),
        (
            r#"{ type = "parallel", join = "add", branches = [[{ type = "split", parts = 2 }], []] }"#,
            "parallel1/branch1: it ends with 2 outputs; one is needed",
        ),
        (
            r#"{ type = "parallel", join = "add", branches = [[{ type = "conv2d", out = 4, kernel = 1 }], []] }"#,
            "parallel1: add takes inputs of one shape, but `parallel1/branch1/conv1` gives [4, 8, 8] and `b` gives [2, 8, 8]",
        ),
        (
            r#"{ type = "parallel", join = "sum", branches = [[], []] }"#,
            "join = \"sum\" is not one of add, mul, concat",
        ),
        (r#"{ type = "parallel", join = "add", branches = [[]] }"#, "branches needs at least two lists"),
        (
            r#"{ type = "conv2d", out = 2, kernel = 1, name = "c/d" }, { type = "residual", name = "c", layers = [
                { type = "conv2d", out = 2, kernel = 1, name = "d" }] }"#,
            "c/d: two layers have this path",
        ),
    ] {
        std::fs::write(&file, format!("input = {{ shape = [3, 8, 8] }}\nlayer = [{before}, {layers}]"))
            .unwrap();
        let (code, text) = complaint(&["--net", file.to_str().unwrap()]);
        assert_eq!(code, 2, "{layers}: {text}");
        assert!(text.contains(words), "{layers}: {text}");
    }
}

#[test]
fn lists_of_sizes_make_a_grid_with_names() {
    let size = ["--depth", "3,5", "--width", "8,16", "--batch", "4", "--trials", "2"];
    let grid = json(&[size.as_slice(), &["--init", "he", "--json"]].concat());
    let sizes: Vec<_> = grid.cells.iter().map(|c| c.stack.map(|s| (s.depth, s.width)).unwrap()).collect();
    assert_eq!(sizes, [(3, 8), (3, 16), (5, 8), (5, 16)]);
    for (cell, (depth, width)) in grid.cells.iter().zip(sizes) {
        assert_eq!(cell.layers.len(), depth);
        assert!(cell.layers.iter().all(|l| (l.fan_in, l.fan_out) == (width, width)));
        // A cell of a grid is the run of its own.
        let (depth, width) = (depth.to_string(), width.to_string());
        let alone =
            ["--depth", &depth, "--width", &width, "--batch", "4", "--trials", "2", "--init", "he", "--json"];
        assert_eq!(cell.layers, json(&alone).cells[0].layers);
    }
    let place = tempfile::tempdir().unwrap();
    let out = place.path().to_str().unwrap();
    let shown = tool(&[size.as_slice(), &["--init", "he,lecun", "--out", out]].concat());
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("he-normal 5×16") && text.contains("lecun-normal 3×8"), "{text}");
    let rows = std::fs::read_to_string(place.path().join("layers.csv")).unwrap();
    assert!(rows.lines().next().unwrap().split(',').any(|column| column == "width"), "{rows:.300}");
    let svg = std::fs::read_to_string(place.path().join("signal.svg")).unwrap();
    assert!(svg.contains("lecun-normal 5×8"));
}

#[test]
fn a_combination_without_a_law_is_left_out_and_named() {
    let size = ["--depth", "3", "--width", "8", "--batch", "4", "--trials", "2", "--json"];
    let wanted = ["--init", "he,critical", "--act", "tanh,softplus"];
    let output = tool(&[size.as_slice(), &wanted].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.lines().any(|line| line.contains("critical") && line.contains("softplus")), "{said}");
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report.cells.len(), report.left_out.len()), (3, 1));
    // Where nothing is left there is no run.
    let (code, line) = complaint(&[size.as_slice(), &["--init", "critical", "--act", "softplus"]].concat());
    assert!(code == 2 && line.contains("softplus"), "{line}");
}

#[test]
fn each_matrix_says_how_it_is_drawn() {
    use initdiag::result::{EngineUsed, Rounding};
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("net.toml");
    let text = "input = { shape = [8] }\nlayer = [\n{ type = \"linear\", out = 8192 },\n{ type = \"act\" },\n\
        { type = \"linear\", out = 8192 },\n{ type = \"act\" },\n{ type = \"linear\", out = 4 },\n]\n";
    std::fs::write(&file, text).unwrap();
    let run = |engine: &str, more: &[&str]| {
        let options =
            ["--net", file.to_str().unwrap(), "--init", "he", "--batch", "4", "--trials", "1", "--json"];
        json(&[options.as_slice(), &["--engine", engine], more].concat()).cells.remove(0)
    };
    let engines = |engine: &str, more: &[&str]| -> Vec<EngineUsed> {
        run(engine, more).layers.iter().map(|l| l.drawing.as_ref().unwrap().engine).collect()
    };
    assert_eq!(engines("dense", &[]), [EngineUsed::Dense; 3]);
    assert_eq!(engines("implicit", &[]), [EngineUsed::Implicit; 3]);
    let auto = run("auto", &[]);
    let drawn: Vec<_> = auto.layers.iter().map(|l| l.drawing.clone().unwrap()).collect();
    assert_eq!(drawn[1].engine, EngineUsed::Implicit, "{drawn:?}");
    assert!(drawn.iter().all(|d| !d.reason.is_empty()));
    for (precision, rounding) in [("single", Rounding::Single), ("double", Rounding::Double)] {
        let cell = run("implicit", &["--precision", precision]);
        assert!(cell.layers.iter().all(|l| l.rounding == rounding), "{precision}");
    }
}

#[test]
fn the_networks_are_listed() {
    for arguments in [&["--net"][..], &["catalog", "nets"], &["train", "--net"], &["recommend", "--net"]] {
        let output = tool(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}");
        assert!(
            text.contains("resnet18") && text.contains("11.7 M") && text.contains("He et al. 2016"),
            "{text}"
        );
    }
    let output = tool(&["catalog", "nets", "--json"]);
    let catalog: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let net = &catalog["nets"].as_array().unwrap()[0];
    assert_eq!((&net["name"], &net["parameters"]), (&"mlp-digits".into(), &9610.into()));
    assert!(catalog.get("inits").is_none());
}

/// U[low, high): its moments at the entrance by theory, and the measured variance of a linear layer behind it.
#[test]
fn inputs_may_be_uniform_between_limits() {
    let size =
        ["--depth", "2", "--width", "256", "--batch", "64", "--trials", "8", "--act", "linear", "--json"];
    for (input, square) in [("uniform(0, 1)", 1.0 / 3.0), ("uniform(lo=-2, hi=4)", 4.0), ("uniform", 1.0)] {
        let report = json(&[&["--init", "lecun", "--input", input], size.as_slice()].concat());
        let layer = &report.cells[0].layers[0];
        let measured = layer.preactivation.log10_variance.median.unwrap();
        // The std of log₁₀ of the variance of 256 units is 0.04 at one sample, and less of several.
        assert!((measured - f64::log10(square)).abs() < 0.1, "{input}: {measured}");
        let theory = layer.theory.as_ref().unwrap().preactivation_log10_variance.unwrap();
        // The mean over all entries, which 256 units share, takes 1/256 of it at most.
        assert!((theory - f64::log10(square)).abs() < 0.0018, "{input}: {theory}");
        assert!(!report.cells[0].flags.iter().any(|flag| matches!(flag, Flag::OffTheory)), "{input}");
    }
}

/// A network of tokens takes those of a file: the same tokens at every position make all positions alike, which random ones do not.
#[test]
fn tokens_come_from_files() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
    write("n.toml", "input = { tokens = 128, length = 4 }\nlayer = [{ type = \"embedding\", out = 32 }]");
    write("same.txt", "aaaaaaaaaaaa");
    write("rows.txt", "1 2 3 4\n5 6 7 8\n");
    write("short.txt", "1 2 3\n5 6 7\n");
    write("large.txt", "1 2 3 128 1 1 1\n");
    write("few.txt", "1 2 3 4\n");
    write("scant.txt", "1 2 3\n");
    let arguments = |input: &str| {
        let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
        let (net, input) = (path("n.toml"), if input.is_empty() { "normal".into() } else { path(input) });
        let all = ["--net", &net, "--batch", "2", "--trials", "2", "--json", "--input", &input];
        all.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let likeness = |input: &str| {
        let arguments = arguments(input);
        let report = json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        report.cells[0].layers[0].position_correlation.unwrap()
    };
    assert!(likeness("same.txt") > 0.999);
    assert!(likeness("rows.txt") < 0.9 && likeness("") < 0.9);
    for (input, words) in [
        ("short.txt", "samples have 3 tokens, and the network takes 4"),
        ("large.txt", "token 128, and the network knows 128, numbered from 0"),
        ("scant.txt", "the input has 3 tokens, and a sample of the network is 4"),
        ("few.txt", "the data has 1 sample, fewer than a batch of 2"),
    ] {
        let arguments = arguments(input);
        let (code, text) = complaint(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(code == 2 && text.contains("--input: ") && text.contains(words), "{input}: {text}");
    }
}

/// A network with several inputs takes each by its name, and pairs the samples of files.
#[test]
fn inputs_have_names() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
    write(
        "n.toml",
        r#"input = { words = { tokens = 128, length = 2 }, x = { shape = [2, 3] } }
        layer = [
            { type = "embedding", from = ["words"], out = 8 }, { type = "layernorm", name = "w" },
            { type = "linear", from = ["x"], out = 8, bias = false, name = "below" },
            { type = "attention", heads = 1, from = ["below", "w"] },
        ]"#,
    );
    // Of both samples of one batch.
    write("x.csv", "1,1,1,1,1,1\n-2,-2,-2,-2,-2,-2\n");
    write("three.csv", "1,1,1,1,1,1\n-2,-2,-2,-2,-2,-2\n3,3,3,3,3,3\n");
    write("words.txt", "1 2\n3 4\n");
    let net = path("n.toml");
    let run = |more: &[&str]| {
        let all = [&["--net", &net, "--batch", "2", "--trials", "2", "--json"], more].concat();
        json(&all)
    };
    let (x, words, three) = (
        format!("x={}", path("x.csv")),
        format!("words={}", path("words.txt")),
        format!("x={}", path("three.csv")),
    );
    let found = run(&["--input", &x, "--input", &words]);
    assert_eq!(found.spec.inputs.len(), 2);
    let below = |report: &Report| {
        report.cells[0].layers.iter().find(|l| l.path.as_deref() == Some("below")).unwrap().clone()
    };
    // Samples that are multiples of each other: the cosine is −1.
    assert!(below(&found).correlation.unwrap() < -0.999);
    // A law without a name is that of every input of numbers.
    let found = run(&["--input", "uniform(1, 1.001)"]);
    assert!(below(&found).correlation.unwrap() > 0.999 && found.spec.inputs.is_empty());
    let found = run(&["--input", "x=uniform(1, 1.001)", "--input", "normal"]);
    assert!(below(&found).correlation.unwrap() > 0.999);
    for (inputs, words) in [
        (vec!["y=normal"], "the network has no input `y`"),
        (vec!["word=normal"], "did you mean `words`?"),
        (vec!["x=normal", "x=uniform"], "this input is given something already"),
        (vec!["normal", "uniform"], "this input is given something already"),
        (vec!["words=uniform"], "input `words`: the network takes tokens"),
        (
            vec![&path("x.csv")],
            "the network has several inputs, words, x: say whose the file is, as in NAME=FILE",
        ),
        (vec![&three, &words], "`words` is given 2 samples and `x` 3"),
    ] {
        let given = inputs.iter().flat_map(|input| ["--input", input]);
        let all: Vec<&str> =
            ["--net", &net, "--batch", "2", "--trials", "1"].into_iter().chain(given).collect();
        let (code, text) = complaint(&all);
        assert!(code == 2 && text.contains("--input") && text.contains(words), "{inputs:?}: {text}");
    }
    // An only input may be called by its name: theory follows what it is given.
    let one = |input: &str| {
        let report = json(&["--net", "mlp-digits", "--trials", "2", "--json", "--input", input]);
        (report.spec.input_in_words(), serde_json::to_string(&report.cells).unwrap())
    };
    let (named, plain) = (one("input=uniform(1, 2)"), one("uniform(1, 2)"));
    assert_eq!([named.0.as_str(), &plain.0], ["input=uniform(1, 2)", "uniform(1, 2)"]);
    assert_eq!(named.1, plain.1);
    let (code, text) = complaint(&["--input", "x=normal"]);
    assert!(code == 2 && text.contains("a plain stack has one input"), "{text}");
}
