//! A recommendation: the names of its files.

use super::export::{Files, Format, Presentation, Source, pretty};
use crate::diagnose::recommend::Recommendation;
use std::io::{self, Write};

/// The files that a recommendation may be written to.
pub const FILES: &Files = &[
    (Format::Json, "recommend.json"),
    (Format::Code, "recommend_pytorch.py"),
    (Format::Code, "recommend_keras.py"),
    (Format::Code, "recommend_jax.py"),
    (Format::Code, "recommend_burn.rs"),
    (Format::Code, "recommend_candle.rs"),
];

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
