//! NumPy's format, read by npyz.

use super::tokens::{Tokens, number};
use super::{DataError, MOST_ENTRIES, fill, rest, shape, short};
use nalgebra::DMatrix;
use std::io::Read;

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

/// What stands in a file: the length of each axis, the type of its entries, and the entries.
struct Array {
    sizes: Vec<usize>,
    name: String,
    element: Element,
    bytes: Vec<u8>,
    order: npyz::Order,
}

impl Array {
    /// Of so many axes at least.
    fn read(mut reader: impl Read, least: usize) -> Result<Self, DataError> {
        let fault = |text: String| DataError::Npy(text);
        let header = npy_header(&mut reader)?;
        let header = npyz::NpyHeader::from_reader(header.as_slice()).map_err(|f| fault(f.to_string()))?;
        let sizes: Vec<usize> =
            header.shape().iter().map(|s| usize::try_from(*s).unwrap_or(usize::MAX)).collect();
        if sizes.len() < least {
            let axes = if sizes.len() == 1 { "one axis" } else { "no axis" };
            return Err(fault(format!("it has {axes}; samples × features are needed")));
        }
        let entries = if let [one] = sizes[..] { one } else { shape(&sizes).map(|(f, s)| f * s)? };
        let name = header.dtype().descr();
        let element = Element::parse(name.trim_matches(['\'', '"']))
            .ok_or_else(|| fault(format!("its element type {} is not a real number type", short(&name))))?;
        let bytes = rest(reader, entries.checked_mul(element.width).ok_or(DataError::TooLarge)?)?;
        Ok(Self { sizes, name, element, bytes, order: header.order() })
    }

    fn entries<'a, E>(&'a self, of: impl Fn(&[u8]) -> E + 'a) -> impl Iterator<Item = E> + 'a {
        self.bytes.chunks_exact(self.element.width).map(of)
    }
}

/// Tokens: integers along one axis, or samples × length.
pub fn tokens(reader: impl Read) -> Result<Tokens, DataError> {
    let array = Array::read(reader, 1)?;
    if !matches!(array.element.kind, 'i' | 'u') {
        return Err(DataError::Npy(format!("tokens are integers, not of type {}", short(&array.name))));
    }
    let read = array.entries(|bytes| number(array.element.whole(bytes)));
    let numbers: Vec<u32> = read.collect::<Result<_, _>>()?;
    match (array.sizes.as_slice(), array.order) {
        ([_], _) => Ok(Tokens { numbers, row: None }),
        ([_, length], npyz::Order::C) => Ok(Tokens { numbers, row: Some(*length) }),
        ([samples, length], npyz::Order::Fortran) => {
            let of = |place: usize| numbers[place % length * samples + place / length];
            Ok(Tokens { row: Some(*length), numbers: (0..numbers.len()).map(of).collect() })
        }
        (more, _) => {
            Err(DataError::Npy(format!("it has {} axes; tokens have one, or samples × length", more.len())))
        }
    }
}

/// NumPy's format: booleans, integers and floats of 1 to 8 bytes, in either order, at least two axes, the first of samples.
pub fn npy(reader: impl Read) -> Result<DMatrix<f32>, DataError> {
    let array = Array::read(reader, 2)?;
    let sizes = &array.sizes;
    let (features, samples) = shape(sizes)?;
    let values: Vec<f32> = array.entries(|bytes| array.element.value(bytes)).collect();
    if array.order == npyz::Order::C {
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

    /// The entry's bits, the lowest byte first.
    fn bits(&self, bytes: &[u8]) -> u64 {
        let mut low = [0; 8];
        let ordered = low[..self.width].iter_mut();
        if self.big_endian {
            ordered.zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from);
        } else {
            ordered.zip(bytes).for_each(|(to, from)| *to = *from);
        }
        u64::from_le_bytes(low)
    }

    /// An entry of a type of integers.
    fn whole(&self, bytes: &[u8]) -> i128 {
        let (bits, unused) = (self.bits(bytes), 64 - 8 * self.width as u32);
        if self.kind == 'i' { i128::from((bits << unused) as i64 >> unused) } else { i128::from(bits) }
    }

    fn value(&self, bytes: &[u8]) -> f32 {
        let bits = self.bits(bytes);
        match (self.kind, self.width) {
            ('f', 2) => half(bits as u16),
            ('f', 4) => f32::from_bits(bits as u32),
            ('f', _) => f64::from_bits(bits) as f32,
            ('i', _) => self.whole(bytes) as f32,
            ('b', _) => f32::from(u8::from(bits != 0)),
            _ => bits as f32,
        }
    }
}

/// IEEE 754 binary16: a sign, five bits of exponent, ten of mantissa.
pub fn half(bits: u16) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + mantissa) * 2f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}
