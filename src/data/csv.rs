//! Tables of numbers as text.

use super::{DataError, short};
use nalgebra::DMatrix;
use std::io::{self, BufRead, Read};

/// What a table holds.
pub struct Table {
    /// Columns × lines.
    pub values: DMatrix<f32>,
    /// The first line, where it names the columns.
    pub header: Option<Vec<String>>,
}

/// How programs write a number that is missing.
const MISSING: [&str; 6] = ["", "na", "n/a", "nan", "null", "none"];

/// Bytes of a line at most: a whole one is held.
const LONGEST: usize = 1 << 26;

/// A reader that ends with a fault at a line that is too long.
struct Lines<R> {
    inner: R,
    line: u64,
    length: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(to)?;
        let read = &to[..count];
        match read.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => {
                self.line += read.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.length = count - last - 1;
            }
            None => self.length += count,
        }
        if self.length > LONGEST {
            let fault = DataError::Line { line: self.line, most: LONGEST };
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, fault));
        }
        Ok(count)
    }
}

/// Numbers, one sample a line, between commas, semicolons or tabs; a first line of names is a header.
pub fn csv(mut reader: impl BufRead) -> Result<Table, DataError> {
    let first = reader.fill_buf()?;
    let first = first.split(|b| *b == b'\n').next().unwrap_or_default();
    let delimiter = [b';', b'\t'].into_iter().find(|d| first.contains(d)).unwrap_or(b',');
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .trim(::csv::Trim::All)
        .from_reader(Lines { inner: reader, line: 1, length: 0 });
    // `1 2 3` is no name: a line of numbers with an unknown separator must not pass for a header.
    // A line of nothing but what stands for missing numbers is no header either.
    let is_missing = |field: &str| MISSING.iter().any(|word| field.eq_ignore_ascii_case(word));
    let is_name =
        |field: &str| field.split_whitespace().next().is_none_or(|word| word.parse::<f32>().is_err());
    let (mut values, mut features, mut header) = (Vec::new(), 0, None);
    for (row, record) in reader.records().enumerate() {
        let record = record?;
        let line = record.position().map_or(row as u64 + 1, ::csv::Position::line);
        if record.iter().any(|field| field.contains('\n')) {
            return Err(DataError::Quote { line });
        }
        if row == 0 && record.iter().all(is_name) && !record.iter().all(is_missing) {
            header = Some(record.iter().map(str::to_string).collect());
            continue;
        }
        features = record.len();
        for (column, field) in record.iter().enumerate() {
            match field.parse::<f32>() {
                Ok(value) if value.is_finite() => values.push(value),
                _ => return Err(DataError::Number { line, column: column + 1, text: short(field) }),
            }
        }
    }
    if header.is_some() && features == 0 {
        return Err(DataError::HeaderOnly);
    }
    let samples = values.len().checked_div(features).unwrap_or(0);
    Ok(Table { values: DMatrix::from_vec(features, samples, values), header })
}
