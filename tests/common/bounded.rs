//! A process of the binary that is bounded in memory and time.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a process may take.
pub struct Bounds {
    /// Which limit of `ulimit`: `v`, its address space, or `d`, its data.
    pub limit: char,
    /// That limit in bytes.
    pub bytes: u64,
    /// Seconds after which it is asked to end.
    pub patience: f64,
    /// Seconds after that until it is ended.
    pub grace: f64,
}

/// How a process has ended.
pub struct Ended {
    pub status: ExitStatus,
    /// Standard error.
    pub said: String,
    /// Standard output.
    pub printed: String,
    pub seconds: f64,
    /// Most bytes at once.
    pub peak: f64,
}

/// Runs the tool in a folder.
pub fn run(place: &Path, arguments: &[impl AsRef<OsStr>], bounds: &Bounds) -> Ended {
    let script = format!("ulimit -{} {}; exec \"$0\" \"$@\"", bounds.limit, bounds.bytes >> 10);
    let mut child = Command::new("sh")
        .current_dir(place)
        .args(["-c", &script, env!("CARGO_BIN_EXE_initdiag")])
        .args(arguments)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let printed = reader(child.stdout.take().unwrap());
    let said = reader(child.stderr.take().unwrap());
    let status_of = format!("/proc/{}/status", child.id());
    let (mut peak, mut asked) = (0.0f64, false);
    let status = loop {
        let text = std::fs::read_to_string(&status_of).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(1024.0 * kib.unwrap_or(0.0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let seconds = start.elapsed().as_secs_f64();
        if seconds > bounds.patience && !asked {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            asked = true;
        }
        if seconds > bounds.patience + bounds.grace {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(4));
    };
    let seconds = start.elapsed().as_secs_f64();
    Ended { status, said: said.join().unwrap(), printed: printed.join().unwrap(), seconds, peak }
}

/// All that a process writes.
fn reader(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
