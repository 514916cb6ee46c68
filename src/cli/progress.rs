//! A bar with the time left, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A bar over `steps`; hidden when standard error is not a terminal or the user wants none.
pub fn bar(steps: u64, wanted: bool) -> ProgressBar {
    let target = if wanted { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(steps), target);
    if !bar.is_hidden() {
        // Short of the line's end, or the `^C` of an interrupt begins a new one and leaves the old bar behind.
        let style = ProgressStyle::with_template("simulating {bar:30.cyan/dim} {percent:>3} %  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─"));
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
