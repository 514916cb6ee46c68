//! Data files as inputs: IDX, NPY and CSV, each plain or gzipped.

use nalgebra::DMatrix;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Why a file cannot be an input.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DataError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("an IDX file of {0}; samples × features are needed")]
    IdxShape(String),
    #[error("an IDX file of element type 0x{0:02x}, which is not known")]
    IdxType(u8),
    #[error("the file ends after {found} of {expected} bytes of data")]
    Truncated { found: usize, expected: usize },
    #[error("the header promises more data than memory can hold")]
    TooLarge,
    #[error("cannot read it as NPY: {0}")]
    Npy(String),
    #[error("cannot read it as CSV: {0}")]
    Csv(#[from] csv::Error),
    #[error("line {line}, column {column}: `{text}` is not a finite number")]
    Number { line: u64, column: usize, text: String },
    #[error("the entry of sample {sample}, feature {feature} is not a finite number")]
    NotFinite { sample: usize, feature: usize },
    #[error("it holds no samples")]
    Empty,
}

/// Reads a file into features × samples, one sample a column. IDX bytes are divided by 255.
///
/// # Errors
/// A file that cannot be read, is cut short, has one dimension only (labels, say) or holds what is not a finite number.
pub fn read(path: &Path) -> Result<DMatrix<f32>, DataError> {
    let mut reader = BufReader::new(File::open(path)?);
    let zipped = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let mut reader: BufReader<Box<dyn Read>> = if zipped {
        BufReader::new(Box::new(flate2::bufread::MultiGzDecoder::new(reader)))
    } else {
        BufReader::new(Box::new(reader))
    };
    let head = reader.fill_buf()?.iter().take(6).copied().collect::<Vec<u8>>();
    let samples = match head.as_slice() {
        [0, 0, _, _, ..] => idx(reader)?,
        [0x93, b'N', b'U', b'M', b'P', b'Y'] => npy(reader)?,
        _ => csv(reader)?,
    };
    if samples.is_empty() {
        return Err(DataError::Empty);
    }
    match samples.iter().position(|v| !v.is_finite()) {
        Some(place) => Err(DataError::NotFinite {
            sample: place / samples.nrows() + 1,
            feature: place % samples.nrows() + 1,
        }),
        None => Ok(samples),
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

/// The format of MNIST: 0 0 type rank, sizes as big-endian u32, entries in C order, big-endian.
fn idx(mut reader: impl Read) -> Result<DMatrix<f32>, DataError> {
    let mut head = [0; 4];
    reader.read_exact(&mut head)?;
    let (kind, rank) = (head[2], head[3] as usize);
    let mut sizes = Vec::with_capacity(rank);
    for _ in 0..rank {
        let mut size = [0; 4];
        reader.read_exact(&mut size)?;
        sizes.push(u32::from_be_bytes(size) as usize);
    }
    if rank < 2 {
        let what = if rank == 1 { "one number a sample (labels?)" } else { "no dimensions" };
        return Err(DataError::IdxShape(what.into()));
    }
    let (features, samples) = shape(&sizes)?;
    let width = match kind {
        0x08 | 0x09 => 1,
        0x0b => 2,
        0x0c | 0x0d => 4,
        0x0e => 8,
        other => return Err(DataError::IdxType(other)),
    };
    let expected = features * samples * width;
    let mut bytes = Vec::new();
    reader.take(expected as u64).read_to_end(&mut bytes)?;
    if bytes.len() < expected {
        return Err(DataError::Truncated { found: bytes.len(), expected });
    }
    let entry = |chunk: &[u8]| match (kind, chunk) {
        (0x08, [b]) => f32::from(*b) / 255.0,
        (0x09, [b]) => f32::from(*b as i8),
        (0x0b, [a, b]) => f32::from(i16::from_be_bytes([*a, *b])),
        (0x0c, [a, b, c, d]) => i32::from_be_bytes([*a, *b, *c, *d]) as f32,
        (0x0d, [a, b, c, d]) => f32::from_be_bytes([*a, *b, *c, *d]),
        (_, [a, b, c, d, e, f, g, h]) => f64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as f32,
        _ => f32::NAN,
    };
    Ok(DMatrix::from_iterator(features, samples, bytes.chunks_exact(width).map(entry)))
}

/// The header of an NPY file: magic, version, its length, a Python dictionary. Read ahead because npyz multiplies sizes
/// unchecked.
fn npy_header(reader: &mut impl Read) -> Result<Vec<u8>, DataError> {
    let mut head = vec![0; 10];
    reader.read_exact(&mut head)?;
    let mut length = usize::from(u16::from_le_bytes([head[8], head[9]]));
    if head[6] > 1 {
        // From version 2 on the length has four bytes.
        let mut rest = [0; 2];
        reader.read_exact(&mut rest)?;
        head.extend(rest);
        length += usize::from(u16::from_le_bytes(rest)) << 16;
    }
    reader.take(length as u64).read_to_end(&mut head)?;
    let text = String::from_utf8_lossy(&head);
    let sizes = text
        .split_once("shape")
        .and_then(|(_, rest)| rest.split_once('(')?.1.split_once(')'))
        .map(|(s, _)| s);
    let entries = sizes.unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty()).try_fold(
        1u64,
        |n, s| {
            s.trim_end_matches('L')
                .parse::<u64>()
                .ok()
                .and_then(|s| n.checked_mul(s))
                .filter(|n| *n <= MOST_ENTRIES as u64)
        },
    );
    entries.map(|_| head).ok_or(DataError::TooLarge)
}

/// NumPy's format: a number type of any width, at least two axes, the first of samples.
fn npy(mut reader: impl Read) -> Result<DMatrix<f32>, DataError> {
    let fault = |text: String| DataError::Npy(text);
    let header = npy_header(&mut reader)?;
    let file = npyz::NpyFile::new(io::Cursor::new(header).chain(reader)).map_err(|f| fault(f.to_string()))?;
    let sizes: Vec<usize> = file.shape().iter().map(|s| usize::try_from(*s).unwrap_or(usize::MAX)).collect();
    if sizes.len() < 2 {
        let axes = if sizes.is_empty() { "no axes" } else { "one axis" };
        return Err(fault(format!("it has {axes}; samples × features are needed")));
    }
    if file.order() == npyz::Order::Fortran {
        return Err(fault("it is in Fortran order; save it with numpy.ascontiguousarray".into()));
    }
    let (features, samples) = shape(&sizes)?;
    let name = file.dtype().descr();
    macro_rules! entries {
        ($($t:ty),*) => {{
            let mut file = Some(file);
            let mut found: Option<Result<Vec<f32>, io::Error>> = None;
            $(if let Some(whole) = file.take() {
                match whole.try_data::<$t>() {
                    Ok(data) => found = Some(data.map(|v| v.map(|v| v as f32)).collect()),
                    Err(other) => file = Some(other),
                }
            })*
            drop(file);
            found
        }};
    }
    let values = entries!(f32, f64, u8, i8, u16, i16, u32, i32, u64, i64)
        .ok_or_else(|| fault(format!("its element type {name} is not a number type")))?
        .map_err(|f| fault(f.to_string()))?;
    if values.len() < features * samples {
        return Err(DataError::Truncated { found: values.len(), expected: features * samples });
    }
    Ok(DMatrix::from_vec(features, samples, values))
}

/// Numbers, one sample a line; a first line that is not numbers is a header.
fn csv(reader: impl Read) -> Result<DMatrix<f32>, DataError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(reader);
    let (mut values, mut features) = (Vec::new(), 0);
    for (row, record) in reader.records().enumerate() {
        let record = record?;
        if row == 0 && record.iter().all(|field| field.parse::<f32>().is_err()) {
            continue;
        }
        features = record.len();
        for (column, field) in record.iter().enumerate() {
            match field.parse::<f32>() {
                Ok(value) if value.is_finite() => values.push(value),
                _ => {
                    let line = record.position().map_or(row as u64 + 1, csv::Position::line);
                    let text: String = field.chars().take(40).collect();
                    return Err(DataError::Number { line, column: column + 1, text });
                }
            }
        }
    }
    let samples = values.len().checked_div(features).unwrap_or(0);
    Ok(DMatrix::from_vec(features, samples, values))
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
        assert_eq!(read_bytes(b"1,2\n3,4.5\n").unwrap(), expected);
        assert_eq!(read_bytes(b"a, b\n1, 2\n3, 4.5").unwrap(), expected);
    }

    #[test]
    fn npy_of_floats_and_bytes() {
        let header = |descr: &str, shape: &str| {
            let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text.bytes());
            bytes
        };
        let mut bytes = header("<f8", "(1, 2)");
        bytes.extend(0.5f64.to_le_bytes());
        bytes.extend(4f64.to_le_bytes());
        assert_eq!(read_bytes(&bytes).unwrap(), DMatrix::from_column_slice(2, 1, &[0.5, 4.0]));
        let mut bytes = header("|u1", "(2, 1)");
        bytes.extend([7, 9]);
        assert_eq!(read_bytes(&bytes).unwrap(), DMatrix::from_column_slice(1, 2, &[7.0, 9.0]));
        assert!(read_bytes(&header("<f8", "(3,)")).unwrap_err().to_string().contains("axis"));
        assert!(read_bytes(&header("<f4", "(99999999999, 99999999999)")).is_err());
    }

    #[test]
    fn faults_are_named() {
        for (bytes, words) in [
            (idx_head(8, &[10]), "labels"),
            (idx_head(8, &[10, 4]), "0 of 40 bytes"),
            (idx_head(7, &[1, 1]), "0x07"),
            (idx_head(8, &[u32::MAX, u32::MAX, u32::MAX]), "more data than memory"),
            (idx_head(8, &[0, 4]), "no samples"),
            (b"".to_vec(), "no samples"),
            (b"1,2\n3\n".to_vec(), "CSV"),
            (b"1,2\n3,x\n".to_vec(), "line 2, column 2"),
            (b"1,nan\n".to_vec(), "finite"),
            (vec![0x1f, 0x8b, 8, 0], ""),
            (b"\x93NUMPY\x09\0\0\0\0\0".to_vec(), "NPY"),
            (b"\x93NUMPY\x01".to_vec(), ""),
        ] {
            let fault = read_bytes(&bytes).unwrap_err().to_string();
            assert!(fault.contains(words), "{fault}");
        }
    }
}
