//! PNG: the same figures as SVG, rasterized.

use super::{ExportError, Exporter, File, Rendering};
use crate::report::figure::png;

/// The exporter.
pub struct Png;

impl Exporter for Png {
    fn export(&self, rendering: &Rendering) -> Result<Vec<File>, ExportError> {
        let figures = rendering.figures().iter();
        figures.map(|figure| Ok(File::new(format!("{}.png", figure.name), png(&figure.svg)?))).collect()
    }
}
