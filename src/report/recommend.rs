//! A recommendation: the names of its files.

use super::export::{Format, Presentation, Source, pretty};
use crate::diagnose::recommend::Recommendation;
use std::io::{self, Write};

/// The formats that a recommendation can be written in.
pub const FORMATS: &[Format] = &[Format::Json, Format::Code];

impl Presentation for Recommendation {
    fn name(&self) -> &'static str {
        "recommend"
    }

    fn json(&self, to: &mut dyn Write) -> io::Result<()> {
        pretty(self, to)
    }

    fn sources(&self) -> Vec<Source<'_>> {
        self.code.all().into_iter().map(|(_, name, text)| Source { name, text }).collect()
    }
}
