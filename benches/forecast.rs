//! What a long run says beforehand that it will take beside what it takes: seconds, and the most memory at once.
//!
//!     cargo bench --bench forecast [-- OPTIONS of one run]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs of some ten seconds on two cores: shorter ones say nothing.
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
];

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

/// `12 seconds` or `3 minutes`, and `1.2 GiB` or `700 MiB`.
fn announced(text: &str) -> Option<(f64, f64)> {
    let (_, said) = text.split_once("this will take about ")?;
    let (time, rest) = said.split_once(" and up to ")?;
    let (memory, _) = rest.split_once(" on ")?;
    let value = |text: &str, units: &[(&str, f64)]| {
        let (number, unit) = text.split_once(' ')?;
        let scale = units.iter().find(|(name, _)| unit.starts_with(name))?.1;
        Some(number.parse::<f64>().ok()? * scale)
    };
    let seconds = value(time, &[("second", 1.0), ("minute", 60.0), ("hour", 3600.0)])?;
    let bytes = value(memory, &[("KiB", 1024.0), ("MiB", 1048576.0), ("GiB", 1073741824.0)])?;
    Some((seconds, bytes))
}

#[expect(clippy::print_stdout, reason = "the result")]
fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let one = asked.join(" ");
    let runs = if asked.is_empty() { RUNS.to_vec() } else { vec![one.as_str()] };
    println!("said s  took s  said/took   said MB  took MB  said/took");
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
        let Some((said, bytes)) = announced(&notes) else {
            println!("{:>14.2}  {:>28.0}  nothing was said   {run}", seconds, peak / 1e6);
            continue;
        };
        let (bytes, peak) = (bytes / 1e6, peak / 1e6);
        println!(
            "{said:>6.1}  {seconds:>6.1}  {:>9.2}  {bytes:>8.0} {peak:>8.0}  {:>9.2}   {run}",
            said / seconds,
            bytes / peak
        );
    }
}
