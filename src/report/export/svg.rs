//! SVG: one file a figure.

use super::{Content, ExportError, Exporter, File, Rendering};

/// The exporter.
pub struct Svg;

impl Exporter for Svg {
    fn export<'a>(&self, rendering: &'a Rendering) -> Result<Vec<File<'a>>, ExportError> {
        let files = rendering.figures().iter().map(|figure| File {
            name: format!("{}.svg", figure.name),
            content: Content::Borrowed(figure.svg.as_bytes()),
        });
        Ok(files.collect())
    }
}
