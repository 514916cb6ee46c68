//! The writer of every CSV file.

use super::export::BUFFER;
use std::io::{self, Write};

/// The writer of the rows.
pub(super) type Rows<'a> = csv::Writer<&'a mut dyn Write>;

/// Writes the table whose rows `rows` writes.
pub(super) fn written(
    to: &mut dyn Write,
    rows: impl FnOnce(&mut Rows) -> Result<(), csv::Error>,
) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(to);
    rows(&mut writer)?;
    writer.flush()
}
