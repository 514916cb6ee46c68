//! A bar with the time left, on a terminal only; and the end that a user or the system asks for.

use super::delivery::OutputOptions;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

/// An end that the user or the system asks for. The first signal lets the command keep what is complete; the second ends the
/// process at once.
#[derive(Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
    searching: Arc<AtomicBool>,
}

/// Said where there is nothing to keep; behind the `^C` of a terminal a new line begins.
const NOTHING: &[u8] = b"\ninitdiag: interrupted before the theory was complete; there are no results\n";

/// What Ctrl-C sends.
const INTERRUPT: i32 = 2;

impl Stop {
    /// Asked for by Ctrl-C; where the system has signals, by SIGTERM and SIGHUP too. What the parent has told the process to ignore,
    /// as `nohup` does, stays ignored; where no handler can be set, the first signal ends the process, as always.
    #[cfg(unix)]
    pub fn on_signals() -> Self {
        let stop = Self::default();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            if is_ignored(signal) {
                continue;
            }
            let this = stop.clone();
            let nothing = if io::stderr().is_terminal() { NOTHING } else { &NOTHING[1..] };
            let act = move || {
                if this.searching.load(Ordering::SeqCst) {
                    // SAFETY: `write` may be called from a signal handler, and reads bytes that live as long as the program.
                    let _ =
                        unsafe { libc::write(libc::STDERR_FILENO, nothing.as_ptr().cast(), nothing.len()) };
                    signal_hook::low_level::exit(128 + signal);
                }
                if this.asked.swap(true, Ordering::SeqCst) {
                    signal_hook::low_level::exit(128 + signal);
                }
                this.signal.store(signal, Ordering::SeqCst);
            };
            // SAFETY: the action stores two numbers, or writes bytes and ends the process, as a signal handler may.
            let _ = unsafe { signal_hook::low_level::register(signal, act) };
        }
        stop
    }

    /// Asked for by Ctrl-C; where no handler can be set, the first one ends the process, as always.
    #[cfg(not(unix))]
    pub fn on_signals() -> Self {
        let stop = Self::default();
        let this = stop.clone();
        let _ = ctrlc::set_handler(move || {
            if this.searching.load(Ordering::SeqCst) {
                let _ = io::stderr().write_all(NOTHING);
                std::process::exit(128 + INTERRUPT);
            }
            if this.asked.swap(true, Ordering::SeqCst) {
                std::process::exit(128 + INTERRUPT);
            }
        });
        stop
    }

    /// Set from the first signal on.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// Begins a search: shown where that is wanted.
    pub fn search(&self, output: &OutputOptions) -> Search<'_> {
        self.searching.store(true, Ordering::SeqCst);
        let bar = ProgressBar::with_draw_target(None, target(output.shows_progress()));
        if !bar.is_hidden() {
            let style = ProgressStyle::with_template("integrating theory {spinner:.cyan} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        Search { stop: self, bar }
    }

    /// The exit code of a command that has done all of its work: `code`, unless a signal came meanwhile.
    pub fn code_after(&self, code: ExitCode) -> ExitCode {
        if self.asked.load(Ordering::SeqCst) { self.code() } else { code }
    }

    /// The exit code of a process that the signal has ended.
    pub fn code(&self) -> ExitCode {
        let signal = match self.signal.load(Ordering::SeqCst) {
            0 => INTERRUPT,
            signal => signal,
        };
        ExitCode::from(128u8.saturating_add(signal.clamp(0, 127) as u8))
    }
}

/// The process was started with the signal ignored.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeros are a valid value of this structure of numbers and pointers.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the call only reads what is set, into a structure that is ours.
    let known = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } == 0;
    known && action.sa_sigaction == libc::SIG_IGN
}

/// A bar over `steps` of what `doing` says; hidden when standard error is not a terminal or the user wants none.
pub fn bar(doing: &str, steps: u64, wanted: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(steps), target(wanted));
    if !bar.is_hidden() {
        let style = ProgressStyle::with_template(&format!(
            "{doing} {{wide_bar:.cyan/dim}} {{percent:>3}} %  {{eta}} left"
        ));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─"));
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

/// A search that has no units to count: its time is shown once it takes one. While it is on, a signal ends the process, and says
/// that there are no results.
pub struct Search<'a> {
    stop: &'a Stop,
    bar: ProgressBar,
}

impl Search<'_> {
    /// What is shown is taken away, and signals ask for an end again.
    pub fn end(self) {}
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.stop.searching.store(false, Ordering::SeqCst);
    }
}

/// Where bars are drawn; nowhere, when standard error is not a terminal or the user wants none.
fn target(wanted: bool) -> ProgressDrawTarget {
    if wanted && io::stderr().is_terminal() {
        ProgressDrawTarget::term_like_with_hz(Box::new(Narrowed), 10)
    } else {
        ProgressDrawTarget::hidden()
    }
}

/// Standard error, as a terminal a little narrower than it is: a bar that fills the line would leave the `^C` of an
/// interrupt to the next one, and itself behind when it is cleared.
#[derive(Debug)]
struct Narrowed;

/// Room for `^C`, twice.
const RESERVED: u16 = 4;

impl TermLike for Narrowed {
    fn width(&self) -> u16 {
        let size = terminal_size::terminal_size_of(io::stderr());
        size.map_or(80, |(width, _)| width.0).saturating_sub(RESERVED).max(1)
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        moved(lines, 'A')
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        moved(lines, 'B')
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        moved(columns, 'C')
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        moved(columns, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(&format!("{line}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        io::stderr().write_all(text.as_bytes())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn moved(count: usize, way: char) -> io::Result<()> {
    if count == 0 { Ok(()) } else { io::stderr().write_all(format!("\x1b[{count}{way}").as_bytes()) }
}
