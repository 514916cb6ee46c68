//! What a run says beforehand that it will take beside what it takes: seconds, where it is long, and the most memory at once.
//!
//!     cargo bench --bench forecast [-- OPTIONS of one run]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs of some ten seconds on two cores, and shorter ones, which say nothing of their time.
const RUNS: &[&str] = &[
    "--depth 50 --width 512 --batch 256 --trials 200 --engine dense",
    "--depth 50 --width 512 --batch 64 --trials 1500",
    "--depth 20 --width 4096 --batch 64 --trials 10 --engine dense",
    "--depth 100 --width 4096 --batch 128 --trials 20",
    "--depth 50 --width 1M --batch 16 --trials 6",
    "--depth 20 --width 1024 --batch 64 --trials 40 --init orthogonal --engine dense",
    "--depth 20 --width 1024 --batch 256 --trials 100 --act tanh --init xavier-uniform",
    "--depth 10000 --width 256 --batch 32 --trials 20",
    "--net resnet18 --batch 32 --trials 8",
    "--net resnet50 --batch 8 --trials 8",
    "--net gpt2-small --batch 2 --trials 20",
    "--net vgg16 --batch 4 --trials 12",
    "--net rnn-100 --batch 64 --trials 400",
    "--net lenet5-1998 --batch 256 --trials 150",
    "--net cnn-10000 --batch 4 --trials 40",
    "--depth 200000 --width 1 --batch 1 --trials 4",
    "--depth 1000 --width 4000 --batch 64 --trials 2 --engine implicit",
    "--depth 3 --width 4 --batch 2000 --trials 2 --engine implicit",
    "--depth 28 --width 7 --batch 1500 --trials 2 --engine implicit",
    "--depth 8 --width 100 --batch 2000 --trials 2 --engine implicit",
    "--depth 50 --width 32 --batch 8 --trials 4000 --trace",
    "--depth 50 --width 64 --batch 16 --trials 4 --init he,xavier,lecun,orthogonal --act relu,tanh,gelu,selu",
    "--depth 30 --width 512 --batch 64 --trials 4 --precision double",
];

/// Bytes that a run says it needs, where the process may have no more than a little.
fn needed(run: &str) -> Option<f64> {
    let script = "ulimit -v 98304; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_initdiag")])
        .args(run.split_whitespace())
        .args(["--json", "--no-progress"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stderr).ok()?;
    let (_, said) = text.split_once("this run needs ")?;
    bytes(said.split_once(" of memory")?.0)
}

/// Whatever a child process writes.
fn reader(mut output: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text).unwrap_or_default()
    })
}

/// Seconds and most bytes of a child process.
fn watched(child: &mut Child) -> (f64, f64) {
    let start = Instant::now();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0f64;
    while child.try_wait().expect("it is our child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(1024.0 * kib.unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(5));
    }
    (start.elapsed().as_secs_f64(), peak)
}

fn value(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let scale = units.iter().find(|(name, _)| unit.starts_with(name))?.1;
    Some(number.parse::<f64>().ok()? * scale)
}

/// `1.2 GiB` or `700 MiB`.
fn bytes(text: &str) -> Option<f64> {
    value(text, &[("KiB", 1024.0), ("MiB", 1048576.0), ("GiB", 1073741824.0)])
}

/// `12 seconds` or `3 minutes`, in seconds, and bytes.
fn announced(text: &str) -> Option<(f64, f64)> {
    let (_, said) = text.split_once("this will take about ")?;
    let (time, rest) = said.split_once(" and up to ")?;
    let (memory, _) = rest.split_once(" on ")?;
    Some((value(time, &[("second", 1.0), ("minute", 60.0), ("hour", 3600.0)])?, bytes(memory)?))
}

#[expect(clippy::print_stdout, reason = "the result")]
fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let one = asked.join(" ");
    let runs = if asked.is_empty() { RUNS.to_vec() } else { vec![one.as_str()] };
    println!(" said s  took s  ratio   said MB took MB  ratio");
    for run in runs {
        let mut child = Command::new(env!("CARGO_BIN_EXE_initdiag"))
            .args(run.split_whitespace())
            .args(["--json", "--no-progress"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let result = reader(child.stdout.take().expect("it is piped"));
        let notes = reader(child.stderr.take().expect("it is piped"));
        let (seconds, peak) = watched(&mut child);
        let (_, notes) = (result.join(), notes.join().unwrap_or_default());
        let (time, memory) = announced(&notes).unzip();
        let memory = memory.or_else(|| needed(run));
        let beside = |said: Option<f64>, took: f64, width: usize, digits: usize| match said {
            Some(said) => format!("{said:>width$.digits$} {took:>width$.digits$} {:>6.2}", said / took),
            None => format!("{:>width$} {took:>width$.digits$} {:>6}", "-", "-"),
        };
        let (time, memory) =
            (beside(time, seconds, 7, 1), beside(memory.map(|bytes| bytes / 1e6), peak / 1e6, 7, 0));
        println!("{time}   {memory}   {run}");
    }
}
