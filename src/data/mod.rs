//! Data files as inputs: IDX, NPY and CSV, each plain or gzipped; tokens; and labeled sets to train on.
//!
//! [`read`] gives samples as the columns of a matrix, [`read_labelled`] and [`read_set`] give them with their classes, and
//! [`embedded`] is a small set of digits that needs no file.
//!
//! ```
//! let digits = initdiag::data::embedded();
//! assert_eq!((digits.len(), digits.samples.nrows()), (1797, 64));
//! ```

mod csv;
mod idx;
mod labelled;
mod npy;
mod tokens;

pub use labelled::{Column, Labelled, SetError, embedded, read_labelled, read_set};
pub use tokens::{Tokens, read_tokens};

use nalgebra::DMatrix;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Why a file cannot be an input.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum DataError {
    #[error("{0}")]
    Io(io::Error),
    #[error("a ZIP archive (NPZ?); one IDX, NPY or CSV file is needed, plain or gzipped")]
    Zip,
    #[error("the file ends within its header")]
    Header,
    #[error("an IDX file of {0}")]
    IdxShape(String),
    #[error("an IDX file of element type 0x{0:02x}, which is not known")]
    IdxType(u8),
    #[error("the file ends after {found} of {expected} bytes of data")]
    Truncated { found: usize, expected: usize },
    #[error("there is more in the file than the {expected} bytes of data that its header promises")]
    Trailing { expected: usize },
    #[error("the header promises more data than memory can hold")]
    TooLarge,
    #[error("there is more in it than {} GiB, unpacked", .most >> 30)]
    TooMuch { most: u64 },
    #[error("line {line} is longer than {} MiB", .most >> 20)]
    Line { line: u64, most: usize },
    #[error("cannot read it as NPY: {0}")]
    Npy(String),
    #[error("cannot read it as CSV: {0}")]
    Csv(::csv::Error),
    #[error("line {line}: a quoted text runs over the end of the line; is a quote not closed?")]
    Quote { line: u64 },
    #[error("line {line}, column {column}: `{text}` is not a finite number")]
    Number { line: u64, column: usize, text: String },
    #[error("the entry of sample {sample}, feature {feature} is not a finite number")]
    NotFinite { sample: usize, feature: usize },
    #[error("`{text}` is not the number of a token")]
    Token { text: String },
    #[error("it holds no samples")]
    Empty,
    #[error("it holds a header and no samples")]
    HeaderOnly,
    #[error("its {samples} samples have no features")]
    NoFeatures { samples: usize },
}

/// A bound that a reader has met is told as such, by whichever way it comes.
impl From<io::Error> for DataError {
    fn from(fault: io::Error) -> Self {
        match fault.downcast::<Self>() {
            Ok(bound) => bound,
            Err(other) => Self::Io(other),
        }
    }
}

impl From<::csv::Error> for DataError {
    fn from(fault: ::csv::Error) -> Self {
        match fault.is_io_error() {
            true => Self::from(io::Error::from(fault)),
            false => Self::Csv(fault),
        }
    }
}

/// Reads a file into features × samples, one sample a column. IDX bytes are divided by 255.
///
/// # Errors
/// A file that cannot be read, is cut short or goes on behind its data, has one dimension only (labels, say) or holds what
/// is not a finite number.
pub fn read(path: &Path) -> Result<DMatrix<f32>, DataError> {
    let mut reader = open(path)?;
    let samples = match format(&mut reader)? {
        Format::Idx => idx::samples(reader)?,
        Format::Npy => npy::npy(reader)?,
        Format::Csv => csv::csv(reader)?.values,
    };
    checked(samples)
}

/// What is in a file, by its first bytes.
enum Format {
    Idx,
    Npy,
    Csv,
}

/// Unpacks what is gzipped.
fn open(path: &Path) -> Result<BufReader<Box<dyn Read>>, DataError> {
    unpacked(File::open(path)?)
}

fn unpacked(source: impl Read + 'static) -> Result<BufReader<Box<dyn Read>>, DataError> {
    let mut reader = BufReader::new(source);
    let zipped = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let plain: Box<dyn Read> =
        if zipped { Box::new(flate2::bufread::MultiGzDecoder::new(reader)) } else { Box::new(reader) };
    Ok(BufReader::new(Box::new(Bounded { inner: plain, left: MOST_BYTES })))
}

/// Unpacked bytes of a file at most: a small one may unpack to any size.
const MOST_BYTES: u64 = 1 << 34;

/// A reader of no more than so many bytes.
struct Bounded {
    inner: Box<dyn Read>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(to)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, DataError::TooMuch { most: MOST_BYTES })
        })?;
        Ok(count)
    }
}

fn format(reader: &mut impl BufRead) -> Result<Format, DataError> {
    let head = reader.fill_buf()?.iter().take(6).copied().collect::<Vec<u8>>();
    match head.as_slice() {
        [0, 0, ..] => Ok(Format::Idx),
        [0x93, b'N', b'U', b'M', ..] => Ok(Format::Npy),
        [b'P', b'K', 3 | 5 | 7, ..] => Err(DataError::Zip),
        _ => Ok(Format::Csv),
    }
}

/// There are samples, and all their entries are finite.
fn checked(samples: DMatrix<f32>) -> Result<DMatrix<f32>, DataError> {
    match samples.shape() {
        (_, 0) => return Err(DataError::Empty),
        (0, samples) => return Err(DataError::NoFeatures { samples }),
        _ => {}
    }
    match samples.iter().position(|v| !v.is_finite()) {
        Some(place) => Err(DataError::NotFinite {
            sample: place / samples.nrows() + 1,
            feature: place % samples.nrows() + 1,
        }),
        None => Ok(samples),
    }
}

/// As many bytes as the slice holds, of a header.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> Result<(), DataError> {
    reader.read_exact(bytes).map_err(|fault| match fault.kind() {
        io::ErrorKind::UnexpectedEof => DataError::Header,
        _ => fault.into(),
    })
}

/// The rest of a file, which must have this many bytes. Reading to the end also lets gzip check its sum.
fn rest(reader: impl Read, expected: usize) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    reader.take(expected as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() {
        found if found < expected => Err(DataError::Truncated { found, expected }),
        found if found > expected => Err(DataError::Trailing { expected }),
        _ => Ok(bytes),
    }
}

/// Sizes whose product is this large are a broken header, not data.
const MOST_ENTRIES: usize = 1 << 36;

/// (features, samples) of a shape whose first axis counts samples.
fn shape(sizes: &[usize]) -> Result<(usize, usize), DataError> {
    let features = sizes[1..]
        .iter()
        .try_fold(1usize, |product, s| product.checked_mul(*s))
        .ok_or(DataError::TooLarge)?;
    match features.checked_mul(sizes[0]) {
        Some(entries) if entries <= MOST_ENTRIES => Ok((features, sizes[0])),
        _ => Err(DataError::TooLarge),
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn read_bytes(bytes: &[u8]) -> Result<DMatrix<f32>, DataError> {
        read(file(bytes).path())
    }

    fn idx_head(kind: u8, sizes: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0, 0, kind, sizes.len() as u8];
        sizes.iter().for_each(|s| bytes.extend(s.to_be_bytes()));
        bytes
    }

    #[test]
    fn idx_plain_and_gzipped() {
        let mut bytes = idx_head(8, &[2, 1, 3]);
        bytes.extend([0, 51, 255, 255, 0, 102]);
        let expected = DMatrix::from_column_slice(3, 2, &[0.0, 0.2, 1.0, 1.0, 0.0, 0.4]);
        assert_eq!(read_bytes(&bytes).unwrap(), expected);
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zipped.write_all(&bytes).unwrap();
        assert_eq!(read_bytes(&zipped.finish().unwrap()).unwrap(), expected);
    }

    #[test]
    fn csv_with_and_without_header() {
        let expected = DMatrix::from_column_slice(2, 2, &[1.0, 2.0, 3.0, 4.5]);
        for text in [
            "1,2\n3,4.5\n",
            "a, b\n1, 2\n3, 4.5",
            "1;2\n3;4.5",
            "a\tb\r\n1\t2\r\n3\t4.5\r\n",
            "\"1\",2\n3,4.5",
        ] {
            assert_eq!(read_bytes(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    fn npy_head(descr: &str, fortran: &str, shape: &str) -> Vec<u8> {
        let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.bytes());
        bytes
    }

    fn npy_file(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        [npy_head(descr, fortran, shape), data.to_vec()].concat()
    }

    #[test]
    fn npy_of_every_number_type() {
        let doubles = [0.5f64.to_le_bytes(), (-4f64).to_le_bytes()].concat();
        for (descr, data, expected) in [
            ("<f8", doubles.as_slice(), [0.5, -4.0]),
            (">f4", &[0x3f, 0, 0, 0, 0xc0, 0x80, 0, 0], [0.5, -4.0]),
            // NumPy: np.array([0.5, -4]).astype(np.float16).tobytes()
            ("<f2", &[0x00, 0x38, 0x00, 0xc4], [0.5, -4.0]),
            ("|u1", &[7, 200], [7.0, 200.0]),
            ("|i1", &[7, 200], [7.0, -56.0]),
            ("|b1", &[1, 0], [1.0, 0.0]),
            ("<i2", &[1, 0, 0xff, 0xff], [1.0, -1.0]),
            (">u4", &[0, 0, 1, 0, 0, 0, 0, 3], [256.0, 3.0]),
            ("<i8", &[2, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [2.0, -2.0]),
        ] {
            let got = read_bytes(&npy_file(descr, "False", "(1, 2)", data)).unwrap();
            assert_eq!(got, DMatrix::from_column_slice(2, 1, &expected), "{descr}");
        }
        assert_eq!(npy::half(0x0001), 2f32.powi(-24));
        assert_eq!(npy::half(0x7bff), 65504.0);
        assert!(npy::half(0xfc00) == f32::NEG_INFINITY && npy::half(0x7e00).is_nan());
    }

    #[test]
    fn npy_in_fortran_order() {
        // np.asfortranarray(np.arange(12).reshape(2, 3, 2)): the first axis runs fastest.
        let data: Vec<u8> = vec![0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11];
        let got = read_bytes(&npy_file("|u1", "True", "(2, 3, 2)", &data)).unwrap();
        assert_eq!(got, DMatrix::from_fn(6, 2, |feature, sample| (6 * sample + feature) as f32));
    }

    #[test]
    fn a_damaged_gzip_and_what_follows_the_data_are_refused() {
        let mut bytes = idx_head(8, &[2, 3]);
        bytes.extend([0, 51, 255, 255, 0, 102]);
        let zip = |bytes: &[u8]| {
            let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
            zipped.write_all(bytes).unwrap();
            zipped.finish().unwrap()
        };
        let mut damaged = zip(&bytes);
        let data = damaged.len() - 9;
        damaged[data] ^= 1;
        let fault = read_bytes(&damaged).unwrap_err().to_string();
        assert!(fault.contains("checksum"), "{fault}");
        let numbers = npy_file("|u1", "False", "(2, 3)", &bytes[12..]);
        for file in [bytes, numbers] {
            assert!(read_bytes(&file).is_ok() && read_bytes(&zip(&file)).is_ok());
            let longer = [file, vec![0]].concat();
            for file in [zip(&longer), longer] {
                assert!(read_bytes(&file).unwrap_err().to_string().contains("more in the file"));
            }
        }
    }

    #[test]
    fn faults_are_named() {
        for (bytes, words) in [
            (idx_head(8, &[10]), "labels"),
            (idx_head(8, &[10, 4]), "0 of 40 bytes"),
            (idx_head(7, &[1, 1]), "0x07"),
            (idx_head(8, &[u32::MAX, u32::MAX, u32::MAX]), "more data than memory"),
            (idx_head(8, &[0, 4]), "no samples"),
            (idx_head(8, &[4, 0]), "4 samples have no features"),
            (vec![0, 0, 8], "within its header"),
            (b"".to_vec(), "no samples"),
            (b"a,b\n".to_vec(), "a header and no samples"),
            (b"1,2\n3\n".to_vec(), "CSV"),
            (b"1,2\n3,x\n".to_vec(), "line 2, column 2"),
            (b"1,nan\n".to_vec(), "finite"),
            (b"1 2 3\n4 5 6\n".to_vec(), "line 1, column 1: `1 2 3`"),
            (b"\"1,2\n3,4\n".to_vec(), "line 1: a quoted text"),
            (b"PK\x05\x06\0\0\0\0".to_vec(), "ZIP"),
            (vec![0x1f, 0x8b, 8, 0], ""),
            (b"\x93NUMPY\x09\0\0\0\0\0".to_vec(), "NPY"),
            (b"\x93NUMPY\x01".to_vec(), "within its header"),
            (npy_head("<f8", "False", "(3,)"), "one axis"),
            (npy_head("<f8", "False", "(20, 0)"), "20 samples have no features"),
            (npy_head("<f8", "False", "(-1, 4)"), "shape (-1, 4) is not made of whole numbers"),
            (npy_head("<f4", "False", "(99999999999, 99999999999)"), "more data than memory"),
            (npy_file("<f4", "False", "(2, 2)", &[0; 7]), "after 7 of 16 bytes"),
            (npy_file("<c8", "False", "(1, 2)", &[0; 16]), "not a real number type"),
            (npy_head("<f4", "False", "(2, 2)")[..30].to_vec(), "within its header"),
        ] {
            let fault = read_bytes(&bytes).unwrap_err().to_string();
            assert!(fault.contains(words), "{fault}");
        }
    }
}
