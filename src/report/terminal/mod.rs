//! Results as tables for a terminal, one file a result, with ANSI styles that the writer strips where they do not belong.

mod phase;
mod recommend;
mod roles;
mod run;
mod scaling;
mod theory;
mod train;
pub mod wrap;

use super::export::Presentation;
use super::run::Illustrated;
use crate::diagnose::recommend::Recommendation;
use crate::result::{Flag, Report};
use crate::study::scaling::Scaling;
use crate::study::train::outcome::Trained;
use crate::theory::phase::Diagram;
use crate::theory::survey::Survey;
use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
/// What names a thing, in every table.
pub const BOLD: Style = Style::new().bold();
/// What is said beside it.
pub const DIM: Style = Style::new().dimmed();

/// A result that people read on a terminal.
pub trait Shown: Presentation {
    /// A table with ANSI styles that fits so many columns; without a number of columns, each line is left whole.
    fn terminal(&self, columns: Option<usize>) -> String;
}

impl Shown for Report {
    fn terminal(&self, columns: Option<usize>) -> String {
        run::render(self, columns)
    }
}

impl Shown for Illustrated<'_> {
    fn terminal(&self, columns: Option<usize>) -> String {
        run::render(self.report, columns)
    }
}

impl Shown for Survey {
    fn terminal(&self, columns: Option<usize>) -> String {
        theory::terminal(self, columns)
    }
}

impl Shown for Diagram {
    fn terminal(&self, columns: Option<usize>) -> String {
        phase::terminal(self, columns)
    }
}

impl Shown for Recommendation {
    fn terminal(&self, columns: Option<usize>) -> String {
        recommend::terminal(self, columns)
    }
}

impl Shown for Trained {
    fn terminal(&self, columns: Option<usize>) -> String {
        train::table(self, columns)
    }
}

impl Shown for Scaling {
    fn terminal(&self, columns: Option<usize>) -> String {
        scaling::render(self, columns)
    }
}

/// Padded by display width, not by characters.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// The names of flags, one after another.
fn joined(flags: &[Flag]) -> String {
    flags.iter().map(|flag| flag.name()).collect::<Vec<_>>().join(" ")
}
