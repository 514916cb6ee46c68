//! CSV: one file a table.

use super::{ExportError, Exporter, File, Rendering};

/// The exporter.
pub struct Csv;

impl Exporter for Csv {
    fn export(&self, rendering: &Rendering) -> Result<Vec<File>, ExportError> {
        let tables = rendering.result.tables()?.into_iter();
        Ok(tables.map(|table| File::new(format!("{}.csv", table.name), table.csv)).collect())
    }
}
