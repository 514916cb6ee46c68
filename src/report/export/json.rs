//! JSON: the whole result in one file.

use super::{Content, ExportError, Exporter, File, Rendering};

/// The exporter.
pub struct Json;

impl Exporter for Json {
    fn export<'a>(&self, rendering: &'a Rendering) -> Result<Vec<File<'a>>, ExportError> {
        let name = format!("{}.json", rendering.result.name());
        Ok(vec![File { name, content: Content::Made(Box::new(|to| rendering.result.json(to))) }])
    }
}
