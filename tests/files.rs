//! A user's files: what a command reads it never writes, what it writes is whole, and what was complete outlives the run.

use assert_cmd::Command;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

fn tool(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("initdiag").unwrap();
    command.current_dir(place).args(arguments).timeout(Duration::from_secs(60)).output().unwrap()
}

/// The only line on standard error of a command that ends with this exit code.
fn line(place: &Path, arguments: &[&str], code: i32) -> String {
    let output = tool(place, arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    text
}

const NET: &str = "input = { shape = [2] }\n[[layer]]\ntype = \"linear\"\nout = 2\n";
const DATA: &str = "0.1,0.2,0\n0.3,-0.1,1\n0.5,0.4,0\n-0.3,0.6,1\n0.2,0.9,0\n-0.7,0.1,1\n";
const TRAIN: [&str; 9] = ["train", "--net", "my.toml", "--data", "my.csv", "--init", "he", "--epochs", "2"];
const SMALL: [&str; 8] = ["--depth", "2", "--width", "4", "--batch", "2", "--trials", "2"];

/// A folder with a network and samples.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("my.toml"), NET).unwrap();
    std::fs::write(place.path().join("my.csv"), DATA).unwrap();
    place
}

#[test]
fn no_output_is_an_input_or_another_output() {
    let place = place();
    let at = place.path();
    std::fs::create_dir_all(at.join("o")).unwrap();
    let result = tool(at, &[&SMALL[..], &["--out", "kept", "--format", "json"]].concat());
    assert!(result.status.success());
    std::fs::copy(at.join("kept/result.json"), at.join("o/result.json")).unwrap();
    std::fs::copy(at.join("my.csv"), at.join("o/layers.csv")).unwrap();
    std::fs::copy(at.join("my.toml"), at.join("o/train.json")).unwrap();
    std::fs::write(at.join("o/signal.svg"), "1,2\n3,4\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("my.csv", at.join("link.csv")).unwrap();
    #[cfg(not(unix))]
    std::fs::write(at.join("link.csv"), DATA).unwrap();
    let everything = || {
        let names = ["my.csv", "my.toml", "o/result.json", "o/layers.csv", "o/train.json", "o/signal.svg"];
        names.map(|name| std::fs::read(at.join(name)).unwrap())
    };
    let before = everything();
    let train = |more: &[&'static str]| [&TRAIN[..], more].concat();
    let run = |more: &[&'static str]| [&SMALL[..], more].concat();
    let mut rows = vec![
        (train(&["--save-init", "my.csv"]), "--save-init `my.csv`: this is what --data reads"),
        (train(&["--save-init", "./o/../my.csv"]), "what --data reads"),
        (train(&["--save-init", "my.toml"]), "what --net reads"),
        (train(&["--checkpoint", "my.csv"]), "--checkpoint `my.csv`: this is what --data reads"),
        (train(&["--test", "o/layers.csv", "--save-init", "o/layers.csv"]), "what --test reads"),
        (
            train(&["--checkpoint", "o/train.json", "--out", "o"]),
            "`train.json` there is what --checkpoint writes",
        ),
        (train(&["--save-init", "o/train-curves.csv", "--out", "o"]), "there is what --save-init writes"),
        (train(&["--checkpoint", "c", "--save-init", "c"]), "this is what --checkpoint writes"),
        (run(&["--baseline", "o/result.json", "--out", "o"]), "`result.json` there is what --baseline reads"),
        (run(&["--net", "o/train.json", "--input", "o/signal.svg", "--out", "o"]), "what --input reads"),
        (vec!["train", "--net", "o/train.json", "--data", "my.csv", "--out", "o"], "what --net reads"),
    ];
    #[cfg(unix)]
    rows.push((train(&["--save-init", "link.csv"]), "what --data reads"));
    rows[9].0.drain(..4);
    for (arguments, words) in rows {
        let text = line(at, &arguments, 2);
        assert!(text.contains(words), "{arguments:?}: {text}");
        assert!(everything() == before, "{arguments:?} has changed a file");
    }
}

#[test]
fn a_directory_of_a_bundled_network_s_name_is_no_input() {
    let place = place();
    let run = ["--net", "lenet5", "--batch", "2", "--trials", "1", "--format", "json", "--out", "lenet5"];
    for _ in 0..2 {
        let output = tool(place.path(), &run);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_checkpoint_with_a_wrong_bit_is_refused_or_means_the_same() {
    let place = place();
    let at = place.path();
    let arguments = [&TRAIN[..8], &["40", "--seeds", "2", "--json", "--checkpoint", "c"]].concat();
    // A run under way, which is what has something to lose.
    let whole = tool(at, &arguments[..12]).stdout;
    let kept = interrupted(at, &arguments);
    let mut refused = 0;
    for k in 0..80usize {
        let mut bytes = kept.clone();
        let place = (k * 7919 * 31) % (8 * bytes.len());
        bytes[place / 8] ^= 1 << (place % 8);
        std::fs::write(at.join("c"), bytes).unwrap();
        let output = tool(at, &arguments);
        match output.status.code() {
            Some(0) => assert!(output.stdout == whole, "bit {place} resumes to something else"),
            code => {
                let text = String::from_utf8(output.stderr).unwrap();
                assert!(code == Some(1) && text.lines().count() == 1, "bit {place}: {code:?} {text}");
                assert!(text.contains("--checkpoint `c`"), "{text}");
                refused += 1;
            }
        }
    }
    assert!(refused > 60, "{refused} of 80 are told");
}

/// The bytes of a checkpoint before all steps are done.
fn interrupted(at: &Path, arguments: &[&str]) -> Vec<u8> {
    for _ in 0..50 {
        let _ = std::fs::remove_file(at.join("c"));
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_initdiag"))
            .current_dir(at)
            .args(arguments)
            .args(["--threads", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !at.join("c").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let bytes = std::fs::read(at.join("c")).unwrap();
        if bytes.len() > 100 {
            return bytes;
        }
    }
    panic!("every run ended before it was stopped");
}

#[cfg(unix)]
mod signals {
    use super::*;
    use std::process::Child;

    fn start(at: &Path, arguments: &[&str]) -> Child {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_initdiag"));
        command.current_dir(at).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn send(child: &Child, signal: &str) {
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Waits until something is so.
    fn until(what: &str, is: impl Fn() -> bool) {
        let start = Instant::now();
        while !is() {
            assert!(start.elapsed() < Duration::from_secs(60), "{what} never comes");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Long enough to be stopped, and short trials: one of them is complete soon.
    const LONG: [&str; 10] =
        ["--depth", "10", "--width", "64", "--trials", "200000", "--threads", "1", "--format", "json"];

    #[test]
    fn every_polite_signal_keeps_what_is_complete() {
        for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
            let place = place();
            let at = place.path();
            let child = start(at, &[&LONG[..], &["--out", "o"]].concat());
            until("the directory", || at.join("o").exists());
            std::thread::sleep(Duration::from_millis(700));
            send(&child, signal);
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{signal}: {text}");
            assert!(text.contains("trials were complete, and their results are kept"), "{signal}: {text}");
            let kept = std::fs::read(at.join("o/result.json")).unwrap();
            let report: initdiag::result::Report = serde_json::from_slice(&kept).unwrap();
            assert!(report.interrupted && report.cells[0].trials > 0);
            let names: Vec<_> =
                std::fs::read_dir(at.join("o")).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["result.json"], "{signal}");
        }
    }

    #[test]
    fn an_end_before_the_first_result_writes_nothing_and_says_so() {
        for signal in ["-INT", "-TERM"] {
            let place = place();
            let at = place.path();
            let big = ["--depth", "4000", "--width", "1024", "--batch", "256", "--engine", "dense"];
            let child = start(at, &[&big[..], &["--trials", "16", "--out", "o"]].concat());
            until("the directory", || at.join("o").exists());
            send(&child, signal);
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(text.contains("interrupted before the first trial was complete"), "{text}");
            assert_eq!(std::fs::read_dir(at.join("o")).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_the_parent_ignores_stays_ignored() {
        let place = place();
        let at = place.path();
        let script = format!(
            "trap '' HUP; exec {} --depth 3 --width 16 --trials 3000 --threads 1 --json",
            env!("CARGO_BIN_EXE_initdiag")
        );
        let mut command = std::process::Command::new("sh");
        command.current_dir(at).args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let _ = std::process::Command::new("kill").args(["-HUP", &child.id().to_string()]).status();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    }

    #[test]
    fn what_a_killed_run_leaves_the_next_one_cleans() {
        let place = place();
        let at = place.path();
        std::fs::create_dir(at.join("o")).unwrap();
        std::fs::write(at.join("o/.initdiag-Ab3dEf"), vec![0; 1 << 20]).unwrap();
        std::fs::write(at.join("o/.initdiag-lock"), "").unwrap();
        std::fs::write(at.join(".initdiag-checkp"), "half a checkpoint").unwrap();
        let arguments = [&TRAIN[..], &["--seeds", "1", "--out", "o", "--checkpoint", "c"]].concat();
        assert!(tool(at, &arguments).status.success());
        for folder in [at.to_path_buf(), at.join("o")] {
            let names =
                std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            let left: Vec<String> = names.filter(|name| name.starts_with('.')).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    #[test]
    fn the_second_run_into_a_directory_is_told() {
        let place = place();
        let at = place.path();
        let child = start(at, &[&LONG[..], &["--out", "o"]].concat());
        until("the lock", || at.join("o/.initdiag-lock").exists());
        let text = line(at, &[&SMALL[..], &["--out", "o"]].concat(), 1);
        assert!(text.contains("another run does now"), "{text}");
        // Elsewhere it may go on.
        assert!(tool(at, &[&SMALL[..], &["--out", "other"]].concat()).status.success());
        send(&child, "-KILL");
        child.wait_with_output().unwrap();
        assert!(tool(at, &[&SMALL[..], &["--out", "o"]].concat()).status.success());
    }

    #[test]
    fn a_training_that_is_killed_a_hundred_times_ends_in_the_same_bytes() {
        let place = place();
        let at = place.path();
        let arguments = [&TRAIN[..8], &["100000", "--seeds", "2", "--json", "--threads", "1"]].concat();
        let whole = tool(at, &arguments);
        assert!(whole.status.success());
        let arguments = [&arguments[..], &["--checkpoint", "c"]].concat();
        for round in 0..100u64 {
            let mut child = start(at, &arguments);
            // Some of them see a checkpoint renewed, which is every other second.
            let later = if round % 50 == 49 { 2100 } else { 0 };
            std::thread::sleep(Duration::from_millis(later + 3 + round * 17 % 40));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let output = tool(at, &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == whole.stdout);
    }
}
