//! Lines of code: one file a framework.

use super::{ExportError, Exporter, File, Rendering};

/// The exporter.
pub struct Code;

impl Exporter for Code {
    fn export(&self, rendering: &Rendering) -> Result<Vec<File>, ExportError> {
        let sources = rendering.result.sources().into_iter();
        Ok(sources.map(|source| File::new(source.name, source.text)).collect())
    }
}
