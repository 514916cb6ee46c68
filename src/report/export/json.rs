//! JSON: the whole result in one file.

use super::{ExportError, Exporter, File, Rendering};

/// The exporter.
pub struct Json;

impl Exporter for Json {
    fn export(&self, rendering: &Rendering) -> Result<Vec<File>, ExportError> {
        let name = format!("{}.json", rendering.result.name());
        Ok(vec![File::new(name, rendering.result.json())])
    }
}
