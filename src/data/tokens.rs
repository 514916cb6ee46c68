//! Tokens of a language model: whole numbers, or the bytes of a text.

use super::{DataError, Format, format, npy, open, short};
use std::io::Read;
use std::path::Path;

/// Bytes of a text at most, unpacked.
const MOST_TEXT: u64 = 1 << 30;

/// Numbers of tokens, in the order of their file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// All of them, sample after sample.
    pub numbers: Vec<u32>,
    /// Tokens of a sample, where the file tells samples apart; else it is one text, of which any part is a sample.
    pub row: Option<usize>,
}

impl Tokens {
    /// Samples of so many tokens that can be taken from it.
    pub fn samples(&self, length: usize) -> usize {
        match self.row {
            Some(row) => self.numbers.len() / row.max(1),
            None => (self.numbers.len() + 1).saturating_sub(length),
        }
    }

    /// A sample of so many tokens.
    pub fn sample(&self, number: usize, length: usize) -> &[u32] {
        let start = number * self.row.unwrap_or(1);
        &self.numbers[start..start + length]
    }

    /// The largest of them.
    pub fn largest(&self) -> u32 {
        self.numbers.iter().copied().max().unwrap_or(0)
    }
}

/// Reads NPY of integers, one axis or samples × length; or whole numbers as text, where lines of equal length, if there are several, are
/// samples; or any other text, whose bytes are its tokens. Each plain or gzipped.
///
/// # Errors
/// A file that cannot be read, holds nothing, or NPY of what is no token.
pub fn read_tokens(path: &Path) -> Result<Tokens, DataError> {
    let mut reader = open(path)?;
    let tokens = match format(&mut reader)? {
        Format::Npy => npy::tokens(reader)?,
        _ => {
            let mut bytes = Vec::new();
            reader.take(MOST_TEXT + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > MOST_TEXT {
                return Err(DataError::TooMuch { most: MOST_TEXT });
            }
            numbers(&bytes).unwrap_or_else(|| Tokens {
                numbers: bytes.iter().map(|byte| u32::from(*byte)).collect(),
                row: None,
            })
        }
    };
    if tokens.numbers.is_empty() { Err(DataError::Empty) } else { Ok(tokens) }
}

/// Whole numbers and nothing else, between spaces, commas and ends of lines.
fn numbers(bytes: &[u8]) -> Option<Tokens> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut numbers = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let before = numbers.len();
        for word in line.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty()) {
            numbers.push(word.parse::<u32>().ok()?);
        }
        lines.extend(Some(numbers.len() - before).filter(|count| *count > 0));
    }
    let first = lines.first().copied()?;
    let row = (first > 1 && lines.len() > 1 && lines.iter().all(|count| *count == first)).then_some(first);
    Some(Tokens { numbers, row })
}

/// A number that is one of a token.
pub fn number(value: i128) -> Result<u32, DataError> {
    u32::try_from(value).map_err(|_| DataError::Token { text: short(&value.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Tokens, DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read_tokens(file.path())
    }

    fn npy(descr: &str, shape: &str, fortran: bool, data: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let head = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({shape}), }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((head.len() as u16).to_le_bytes());
        bytes.extend(head.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn texts_are_bytes_and_numbers_are_numbers() {
        assert_eq!(of(b"ab\n").unwrap(), Tokens { numbers: vec![97, 98, 10], row: None });
        assert_eq!(of(b"1 2\n3\n").unwrap(), Tokens { numbers: vec![1, 2, 3], row: None });
        assert_eq!(of(b"1, 2\n3, 4\n\n").unwrap(), Tokens { numbers: vec![1, 2, 3, 4], row: Some(2) });
        assert_eq!(of(b"50256\n7\n").unwrap(), Tokens { numbers: vec![50256, 7], row: None });
        // One word that is no number makes it a text.
        assert_eq!(of(b"1 -2").unwrap().numbers.len(), 4);
        assert!(matches!(of(b"").unwrap_err(), DataError::Empty));
        assert!(matches!(of(b"PK\x03\x04").unwrap_err(), DataError::Zip));
    }

    #[test]
    fn arrays_have_one_axis_or_two() {
        let data: Vec<u8> = [5u16, 6, 7, 8, 9, 10].iter().flat_map(|n| n.to_le_bytes()).collect();
        let flat = of(&npy("<u2", "6,", false, &data)).unwrap();
        assert_eq!(flat, Tokens { numbers: vec![5, 6, 7, 8, 9, 10], row: None });
        let rows = of(&npy("<u2", "2, 3", false, &data)).unwrap();
        assert_eq!((rows.row, rows.samples(3), rows.sample(1, 3)), (Some(3), 2, &[8, 9, 10][..]));
        let columns = of(&npy("<u2", "2, 3", true, &data)).unwrap();
        assert_eq!(columns.numbers, [5, 7, 9, 6, 8, 10]);
        // Single precision would round it.
        let large = of(&npy(">i8", "1,", false, &16_777_217i64.to_be_bytes())).unwrap();
        assert_eq!(large.largest(), 16_777_217);
        for (descr, shape, data) in [
            ("<f4", "1,", &1f32.to_le_bytes()[..]),
            ("<i4", "1,", &(-1i32).to_le_bytes()),
            ("<u8", "1,", &u64::MAX.to_le_bytes()),
            ("<i4", "1, 1, 1", &1i32.to_le_bytes()),
            ("<i4", "2,", &1i32.to_le_bytes()),
        ] {
            let fault = of(&npy(descr, shape, false, data)).unwrap_err().to_string();
            assert!(!fault.is_empty(), "{descr} {shape}");
        }
    }

    #[test]
    fn any_part_of_a_text_is_a_sample() {
        let text = Tokens { numbers: vec![1, 2, 3, 4], row: None };
        assert_eq!((text.samples(3), text.samples(4), text.samples(5)), (2, 1, 0));
        assert_eq!(text.sample(1, 3), [2, 3, 4]);
    }
}
