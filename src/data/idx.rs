//! The format of MNIST: 0 0 type rank, sizes as big-endian u32, entries in C order, big-endian.

use super::{DataError, fill, rest, shape};
use nalgebra::DMatrix;
use std::io::Read;

/// Sizes of the axes, the first of samples, and the entries as they lie.
struct Idx {
    sizes: Vec<usize>,
    values: Vec<f32>,
}

/// Reads a file whose rank `fits`; bytes are divided by `gray`.
fn read(
    mut reader: impl Read,
    gray: f32,
    fits: impl Fn(usize) -> Result<(), &'static str>,
) -> Result<Idx, DataError> {
    let mut head = [0; 4];
    fill(&mut reader, &mut head)?;
    let (kind, rank) = (head[2], head[3] as usize);
    fits(rank).map_err(|what| DataError::IdxShape(what.into()))?;
    let mut sizes = Vec::with_capacity(rank);
    for _ in 0..rank {
        let mut size = [0; 4];
        fill(&mut reader, &mut size)?;
        sizes.push(u32::from_be_bytes(size) as usize);
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
        (0x08, [b]) => f32::from(*b) / gray,
        (0x09, [b]) => f32::from(*b as i8),
        (0x0b, [a, b]) => f32::from(i16::from_be_bytes([*a, *b])),
        (0x0c, [a, b, c, d]) => i32::from_be_bytes([*a, *b, *c, *d]) as f32,
        (0x0d, [a, b, c, d]) => f32::from_be_bytes([*a, *b, *c, *d]),
        (_, [a, b, c, d, e, f, g, h]) => f64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as f32,
        _ => f32::NAN,
    };
    Ok(Idx { sizes, values: bytes.chunks_exact(width).map(entry).collect() })
}

/// Features × samples. Bytes are divided by 255.
pub fn samples(reader: impl Read) -> Result<DMatrix<f32>, DataError> {
    let fits = |rank| match rank {
        0 => Err("no dimensions; samples × features are needed"),
        1 => Err("one number a sample (labels?); samples × features are needed"),
        _ => Ok(()),
    };
    let idx = read(reader, 255.0, fits)?;
    let (features, samples) = shape(&idx.sizes)?;
    Ok(DMatrix::from_vec(features, samples, idx.values))
}

/// One number a sample.
pub fn labels(reader: impl Read) -> Result<Vec<f32>, DataError> {
    let fits = |rank| {
        if rank == 1 { Ok(()) } else { Err("more than one number a sample (images?); labels are needed") }
    };
    Ok(read(reader, 1.0, fits)?.values)
}
