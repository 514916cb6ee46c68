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
    #[error("a ZIP archive (NPZ?); one IDX, NPY or CSV file is needed, plain or gzipped")]
    Zip,
    #[error("the file ends within its header")]
    Header,
    #[error("an IDX file of {0}; samples × features are needed")]
    IdxShape(String),
    #[error("an IDX file of element type 0x{0:02x}, which is not known")]
    IdxType(u8),
    #[error("the file ends after {found} of {expected} bytes of data")]
    Truncated { found: usize, expected: usize },
    #[error("there is more in the file than the {expected} bytes of data that its header promises")]
    Trailing { expected: usize },
    #[error("the header promises more data than memory can hold")]
    TooLarge,
    #[error("cannot read it as NPY: {0}")]
    Npy(String),
    #[error("cannot read it as CSV: {0}")]
    Csv(#[from] csv::Error),
    #[error("line {line}: a quoted text runs over the end of the line; is a quote not closed?")]
    Quote { line: u64 },
    #[error("line {line}, column {column}: `{text}` is not a finite number")]
    Number { line: u64, column: usize, text: String },
    #[error("the entry of sample {sample}, feature {feature} is not a finite number")]
    NotFinite { sample: usize, feature: usize },
    #[error("it holds no samples")]
    Empty,
    #[error("it holds a header and no samples")]
    HeaderOnly,
    #[error("its {samples} samples have no features")]
    NoFeatures { samples: usize },
}

/// Reads a file into features × samples, one sample a column. IDX bytes are divided by 255.
///
/// # Errors
/// A file that cannot be read, is cut short or goes on behind its data, has one dimension only (labels, say) or holds what
/// is not a finite number.
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
        [0, 0, ..] => idx(reader)?,
        [0x93, b'N', b'U', b'M', ..] => npy(reader)?,
        [b'P', b'K', 3 | 5 | 7, ..] => return Err(DataError::Zip),
        _ => csv(reader)?,
    };
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

/// The format of MNIST: 0 0 type rank, sizes as big-endian u32, entries in C order, big-endian.
fn idx(mut reader: impl Read) -> Result<DMatrix<f32>, DataError> {
    let mut head = [0; 4];
    fill(&mut reader, &mut head)?;
    let (kind, rank) = (head[2], head[3] as usize);
    let mut sizes = Vec::with_capacity(rank);
    for _ in 0..rank {
        let mut size = [0; 4];
        fill(&mut reader, &mut size)?;
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
    let bytes = rest(reader, features * samples * width)?;
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
    fill(reader, &mut head)?;
    let mut length = usize::from(u16::from_le_bytes([head[8], head[9]]));
    if head[6] > 1 {
        // From version 2 on the length has four bytes.
        let mut rest = [0; 2];
        fill(reader, &mut rest)?;
        head.extend(rest);
        length += usize::from(u16::from_le_bytes(rest)) << 16;
    }
    let start = head.len();
    reader.take(length as u64).read_to_end(&mut head)?;
    if head.len() < start + length {
        return Err(DataError::Header);
    }
    let text = String::from_utf8_lossy(&head);
    let sizes = text
        .split_once("shape")
        .and_then(|(_, rest)| rest.split_once('(')?.1.split_once(')'))
        .map(|(s, _)| s)
        .unwrap_or_default();
    let mut entries = 1u64;
    for size in sizes.split(',').map(|s| s.trim().trim_end_matches('L')).filter(|s| !s.is_empty()) {
        let wrong = || DataError::Npy(format!("its shape ({}) is not made of whole numbers", short(sizes)));
        if !size.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        // Digits that do not fit are too many.
        let size = size.parse::<u64>().unwrap_or(u64::MAX);
        entries =
            entries.checked_mul(size).filter(|n| *n <= MOST_ENTRIES as u64).ok_or(DataError::TooLarge)?;
    }
    drop(text);
    Ok(head)
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// NumPy's format: booleans, integers and floats of 1 to 8 bytes, in either order, at least two axes, the first of samples.
fn npy(mut reader: impl Read) -> Result<DMatrix<f32>, DataError> {
    let fault = |text: String| DataError::Npy(text);
    let header = npy_header(&mut reader)?;
    let header = npyz::NpyHeader::from_reader(header.as_slice()).map_err(|f| fault(f.to_string()))?;
    let sizes: Vec<usize> =
        header.shape().iter().map(|s| usize::try_from(*s).unwrap_or(usize::MAX)).collect();
    if sizes.len() < 2 {
        let axes = if sizes.len() == 1 { "one axis" } else { "no axis" };
        return Err(fault(format!("it has {axes}; samples × features are needed")));
    }
    let (features, samples) = shape(&sizes)?;
    let name = header.dtype().descr();
    let element = Element::parse(name.trim_matches(['\'', '"']))
        .ok_or_else(|| fault(format!("its element type {} is not a real number type", short(&name))))?;
    let bytes = rest(reader, features * samples * element.width)?;
    let values: Vec<f32> = bytes.chunks_exact(element.width).map(|chunk| element.value(chunk)).collect();
    if header.order() == npyz::Order::C {
        return Ok(DMatrix::from_vec(features, samples, values));
    }
    // The first axis runs fastest; features are counted as in C order, the last axis fastest.
    let place = |sample: usize, feature: usize| {
        let (mut rest, mut place) = (feature, 0);
        for (axis, size) in sizes.iter().enumerate().skip(1).rev() {
            let stride: usize = sizes[..axis].iter().product();
            place += rest % size * stride;
            rest /= size;
        }
        place + sample
    };
    Ok(DMatrix::from_fn(features, samples, |feature, sample| values[place(sample, feature)]))
}

/// A number type of NumPy.
struct Element {
    /// `b`, `i`, `u` or `f`.
    kind: char,
    /// Bytes of an entry.
    width: usize,
    big_endian: bool,
}

impl Element {
    /// Reads NumPy's name of a type, such as `<f8`.
    fn parse(name: &str) -> Option<Self> {
        let mut characters = name.chars();
        let big_endian = match characters.next()? {
            '>' => true,
            '<' | '|' | '=' => false,
            _ => return None,
        };
        let kind = characters.next()?;
        let width = characters.as_str().parse().ok()?;
        let known = match kind {
            'b' => width == 1,
            'i' | 'u' => [1, 2, 4, 8].contains(&width),
            'f' => [2, 4, 8].contains(&width),
            _ => false,
        };
        known.then_some(Self { kind, width, big_endian })
    }

    fn value(&self, bytes: &[u8]) -> f32 {
        let mut low = [0; 8];
        let ordered = low[..self.width].iter_mut();
        if self.big_endian {
            ordered.zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from);
        } else {
            ordered.zip(bytes).for_each(|(to, from)| *to = *from);
        }
        let bits = u64::from_le_bytes(low);
        match (self.kind, self.width) {
            ('f', 2) => half(bits as u16),
            ('f', 4) => f32::from_bits(bits as u32),
            ('f', _) => f64::from_bits(bits) as f32,
            ('i', width) => {
                let unused = 64 - 8 * width as u32;
                ((bits << unused) as i64 >> unused) as f32
            }
            ('b', _) => f32::from(u8::from(bits != 0)),
            _ => bits as f32,
        }
    }
}

/// IEEE 754 binary16: a sign, five bits of exponent, ten of mantissa.
fn half(bits: u16) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + mantissa) * 2f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// Numbers, one sample a line, between commas, semicolons or tabs; a first line of names is a header.
fn csv(mut reader: impl BufRead) -> Result<DMatrix<f32>, DataError> {
    let first = reader.fill_buf()?;
    let first = first.split(|b| *b == b'\n').next().unwrap_or_default();
    let delimiter = [b';', b'\t'].into_iter().find(|d| first.contains(d)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(reader);
    // `1 2 3` is no name: a line of numbers with an unknown separator must not pass for a header.
    let is_name =
        |field: &str| field.split_whitespace().next().is_none_or(|word| word.parse::<f32>().is_err());
    let (mut values, mut features, mut header) = (Vec::new(), 0, false);
    for (row, record) in reader.records().enumerate() {
        let record = record?;
        let line = record.position().map_or(row as u64 + 1, csv::Position::line);
        if record.iter().any(|field| field.contains('\n')) {
            return Err(DataError::Quote { line });
        }
        if row == 0 && record.iter().all(is_name) {
            header = true;
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
    if header && features == 0 {
        return Err(DataError::HeaderOnly);
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
        assert_eq!(half(0x0001), 2f32.powi(-24));
        assert_eq!(half(0x7bff), 65504.0);
        assert!(half(0xfc00) == f32::NEG_INFINITY && half(0x7e00).is_nan());
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
