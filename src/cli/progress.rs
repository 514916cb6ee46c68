//! A bar with the time left, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Set by the first Ctrl-C; the second ends the process at once. Where no handler can be set, the first does, as always.
pub fn stop_on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let _ = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    stop
}

/// A bar over `steps` of what `doing` says; hidden when standard error is not a terminal or the user wants none.
pub fn bar(doing: &str, steps: u64, wanted: bool) -> ProgressBar {
    let target = if wanted && io::stderr().is_terminal() {
        ProgressDrawTarget::term_like_with_hz(Box::new(Narrowed), 10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(steps), target);
    if !bar.is_hidden() {
        let style = ProgressStyle::with_template(&format!(
            "{doing} {{wide_bar:.cyan/dim}} {{percent:>3}} %  {{eta}} left"
        ));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─"));
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
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
