//! Lines of code: one file a framework.

use super::{Content, ExportError, Exporter, File, Rendering, Source};

/// The exporter.
pub struct Code;

impl Exporter for Code {
    fn export<'a>(&self, rendering: &'a Rendering) -> Result<Vec<File<'a>>, ExportError> {
        let sources = rendering.result.sources().into_iter();
        let file = |Source { name, text }: Source<'a>| File {
            name: name.into(),
            content: Content::Borrowed(text.as_bytes()),
        };
        Ok(sources.map(file).collect())
    }
}
