//! PNG: the same figures as SVG, rasterized.

use super::{Content, ExportError, Exporter, File, Rendering};
use crate::report::figure::{Figure, png};

/// The exporter.
pub struct Png;

impl Exporter for Png {
    fn export<'a>(&self, rendering: &'a Rendering) -> Result<Vec<File<'a>>, ExportError> {
        let file = |figure: &Figure| {
            let content = Content::Owned(png(&figure.svg)?);
            Ok(File { name: format!("{}.png", figure.name), content })
        };
        rendering.figures().iter().map(file).collect()
    }
}
