//! CSV: one file a table.

use super::{Content, ExportError, Exporter, File, Rendering};

/// The exporter.
pub struct Csv;

impl Exporter for Csv {
    fn export<'a>(&self, rendering: &'a Rendering) -> Result<Vec<File<'a>>, ExportError> {
        let tables = rendering.result.tables().into_iter();
        let file = |(name, csv)| File { name: format!("{name}.csv"), content: Content::Made(csv) };
        Ok(tables.map(|table| file((table.name, table.csv))).collect())
    }
}
