//! What a run is said to take beforehand beside what it takes: seconds, and the most memory at once.
//!
//!     cargo bench --bench forecast [-- OPTIONS of one run]

use initdiag::result::Report;
use initdiag::simulate::rates::Rates;
use initdiag::simulate::{Input, Plan, pilot};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const RUNS: &[&str] = &[
    "--depth 50 --width 512 --batch 256 --trials 20 --engine dense",
    "--depth 50 --width 512 --batch 64 --trials 100",
    "--depth 20 --width 4096 --batch 64 --trials 2",
    "--depth 20 --width 4096 --batch 64 --trials 2 --engine dense",
    "--depth 50 --width 1M --batch 16 --trials 1",
    "--depth 20 --width 1024 --batch 64 --trials 4 --init orthogonal --engine dense",
    "--depth 20 --width 1024 --batch 256 --trials 4 --act tanh --init xavier-uniform",
    "--depth 10000 --width 256 --batch 32 --trials 2",
    "--net resnet18 --batch 8 --trials 2",
    "--net resnet18 --batch 32 --trials 1",
    "--net resnet50 --batch 4 --trials 1",
    "--net gpt2-small --batch 2 --trials 2",
    "--net vgg16 --batch 2 --trials 1",
    "--net rnn-100 --batch 64 --trials 4",
    "--net lenet5-1998 --batch 256 --trials 20",
    "--net cnn-10000 --batch 2 --trials 1",
];

/// Seconds and most bytes of a child process, and what it prints.
fn measured(options: &[&str]) -> (f64, u64, Vec<u8>) {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_initdiag"))
        .args(options)
        .args(["--json", "--quiet"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let mut output = child.stdout.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut output, &mut bytes).map(|_| bytes)
    });
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("it is our child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(1024 * kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let seconds = start.elapsed().as_secs_f64();
    (seconds, peak, reader.join().expect("it does not panic").expect("the pipe is read"))
}

#[expect(clippy::print_stdout, reason = "the result")]
fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let one = asked.join(" ");
    let runs = if asked.is_empty() { RUNS.to_vec() } else { vec![one.as_str()] };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("said s  took s  said/took   said MB  took MB  said/took");
    for run in runs {
        let options: Vec<&str> = run.split_whitespace().collect();
        let (seconds, peak, bytes) = measured(&options);
        let Ok(report) = serde_json::from_slice::<Report>(&bytes) else {
            println!("no result: {run}");
            continue;
        };
        let Ok(plan) = Plan::new(&report.spec, Input::Normal) else { continue };
        let said = pilot::seconds(&plan, threads, Rates::measured(), &AtomicBool::new(false));
        let (bytes, peak) = (plan.bytes(threads) as f64 / 1e6, peak as f64 / 1e6);
        println!(
            "{said:>6.2}  {seconds:>6.2}  {:>9.2}  {bytes:>8.0} {peak:>8.0}  {:>9.2}   {run}",
            said / seconds,
            bytes / peak
        );
    }
}
