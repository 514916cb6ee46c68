//! SVG: one file a figure.

use super::{ExportError, Exporter, File, Rendering};

/// The exporter.
pub struct Svg;

impl Exporter for Svg {
    fn export(&self, rendering: &Rendering) -> Result<Vec<File>, ExportError> {
        let figures = rendering.figures().iter();
        Ok(figures.map(|figure| File::new(format!("{}.svg", figure.name), figure.svg.as_str())).collect())
    }
}
