//! Standardized draws: every entry is scale·u + mean with u of the order of one, so no law over- or underflows.

use super::{Law, zeros_per_column};
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::{Key, Part, Role, Stream};
use nalgebra::{DMatrix, Dyn};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// The law of u.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standard {
    /// N(0, 1).
    Normal,
    /// U[−1, 1) on the multiples of 2⁻²³.
    Uniform,
    /// N(0, 1) conditioned on [low, high].
    Truncated {
        /// Lower cut of u.
        low: f64,
        /// Upper cut of u.
        high: f64,
    },
}

/// A law of independent entries as scale·u + mean; `None` for u where all entries are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// The law of u.
    pub standard: Option<Standard>,
    /// Factor of u; its sign may be any.
    pub scale: f64,
    /// Added to scale·u.
    pub mean: f64,
}

impl Affine {
    /// Every entry is zero.
    pub const ZERO: Self = Self { standard: None, scale: 0.0, mean: 0.0 };

    /// `None` for a law whose entries depend on one another.
    pub fn of(law: Law) -> Option<Self> {
        let constant = |mean| Self { standard: None, scale: 0.0, mean };
        let spread = |standard, scale, mean| Self { standard: Some(standard), scale, mean };
        Some(match law {
            Law::Constant(value) => constant(value),
            Law::Normal { mean, std: 0.0 } | Law::TruncatedNormal { mean, std: 0.0, .. } => constant(mean),
            Law::Uniform { low, high } if low == high => constant(low),
            Law::Normal { mean, std } => spread(Standard::Normal, std, mean),
            Law::Uniform { low, high } => {
                spread(Standard::Uniform, 0.5 * high - 0.5 * low, f64::midpoint(low, high))
            }
            Law::TruncatedNormal { mean, std, low, high } => {
                spread(Standard::Truncated { low: (low - mean) / std, high: (high - mean) / std }, std, mean)
            }
            Law::Haar { .. } | Law::Mirrored { .. } | Law::Identity { .. } | Law::Sparse { .. } => {
                return None;
            }
        })
    }
}

impl Standard {
    #[inline]
    fn sample(self, rng: &mut Stream) -> f64 {
        match self {
            Self::Normal => rng.sample(StandardNormal),
            Self::Uniform => (rng.next_u64() >> 40) as f64 * 2f64.powi(-23) - 1.0,
            Self::Truncated { low, high } => truncated(rng, low, high),
        }
    }
}

impl Standard {
    /// Writes one block from its stream, every place of it.
    fn fill_block<T: Real>(self, values: &mut [MaybeUninit<T>], mut rng: Stream) {
        match self {
            Self::Normal => T::fill_normal(values, rng),
            // Rounded to single precision, so that a trial has the same weights in either.
            other => values.iter_mut().for_each(|v| {
                v.write(T::of(f64::from(other.sample(&mut rng) as f32)));
            }),
        }
    }
}

/// Entries of one stream: small enough to share a matrix among threads, large enough that naming it costs nothing.
const BLOCK: usize = 1 << 16;

/// Fills a slice with independent draws. Block k comes from stream (role, k), whoever draws it.
pub fn fill<T: Real>(values: &mut [T], standard: Standard, key: Key, role: Role, threads: Threads) {
    fill_from(values, standard, key, role, Part::Block(0), threads);
}

/// Fills a slice with the draws that answer a query of a map; each query has streams of its own.
pub fn fill_query<T: Real>(values: &mut [T], standard: Standard, key: Key, query: u32, threads: Threads) {
    fill_from(values, standard, key, Role::Weights, Part::Query { query, block: 0 }, threads);
}

/// As [`fill`], with `first` as the part of the first block.
pub fn fill_from<T: Real>(
    values: &mut [T],
    standard: Standard,
    key: Key,
    role: Role,
    first: Part,
    threads: Threads,
) {
    // SAFETY: nothing but numbers is written there.
    let values = unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<T>]) };
    write_from(values, standard, (key, role, first), threads);
}

/// As [`fill_from`], to memory that holds nothing yet: every place is written.
fn write_from<T: Real>(
    values: &mut [MaybeUninit<T>],
    standard: Standard,
    (key, role, first): (Key, Role, Part),
    threads: Threads,
) {
    let fill_block = |(block, chunk): (usize, &mut [MaybeUninit<T>])| {
        standard.fill_block(chunk, key.stream(role, first.block(block)));
    };
    match threads {
        Threads::One => values.chunks_mut(BLOCK).enumerate().for_each(fill_block),
        Threads::All => values.par_chunks_mut(BLOCK).enumerate().for_each(fill_block),
    }
}

/// A matrix of independent draws, as [`fill_from`] draws them.
pub fn matrix<T: Real>(
    (rows, columns): (usize, usize),
    standard: Standard,
    stream: (Key, Role, Part),
    threads: Threads,
) -> DMatrix<T> {
    let mut values = DMatrix::<MaybeUninit<T>>::uninit(Dyn(rows), Dyn(columns));
    write_from(values.as_mut_slice(), standard, stream, threads);
    // SAFETY: every place has been written.
    unsafe { values.assume_init() }
}

/// A matrix of draws that answer a map's query of this number, as [`fill_query`].
pub fn query_matrix<T: Real>(
    shape: (usize, usize),
    standard: Standard,
    key: Key,
    query: u32,
    threads: Threads,
) -> DMatrix<T> {
    matrix(shape, standard, (key, Role::Weights, Part::Query { query, block: 0 }), threads)
}

/// N(0, 1) conditioned on [low, high], by rejection from the proposal that fits the interval (Robert 1995).
fn truncated(rng: &mut Stream, low: f64, high: f64) -> f64 {
    if high < 0.0 {
        return -truncated(rng, -high, -low);
    }
    if low < 0.5 && high - low.max(-1.5) > 1.5 {
        loop {
            let z: f64 = rng.sample(StandardNormal);
            if (low..=high).contains(&z) {
                return z;
            }
        }
    }
    let mode = low.max(0.0);
    if (high * high - mode * mode) < 3.0 {
        loop {
            let z = low + (high - low) * rng.random::<f64>();
            if rng.random::<f64>() <= (0.5 * (mode * mode - z * z)).exp() {
                return z;
            }
        }
    }
    let rate = 0.5 * (low + (low * low + 4.0).sqrt());
    loop {
        let z = low - (1.0 - rng.random::<f64>()).ln() / rate;
        if z <= high && rng.random::<f64>() <= (-0.5 * (z - rate).powi(2)).exp() {
            return z;
        }
    }
}

/// A bias vector (fan_out × 1) of a law with independent entries; zero for any other.
pub fn vector<T: Real>(law: Law, length: usize, key: Key, role: Role) -> Signal<T> {
    let affine = Affine::of(law).unwrap_or(Affine::ZERO);
    let constant = Signal::new(DMatrix::from_element(length, 1, T::ONE), 0).times(affine.mean.into());
    match affine.standard {
        None => constant,
        Some(standard) => {
            let mut values = DMatrix::from_element(length, 1, T::ZERO);
            fill(values.as_mut_slice(), standard, key, role, Threads::One);
            Signal::new(values, 0).times(affine.scale.into()).plus(constant)
        }
    }
}

/// Standard normals with exactly ⌈sparsity·fan_out⌉ zeros in each column, fan_out × fan_in.
pub fn sparse<T: Real>(
    fan_out: usize,
    fan_in: usize,
    sparsity: f64,
    key: Key,
    threads: Threads,
) -> DMatrix<T> {
    let mut w = matrix((fan_out, fan_in), Standard::Normal, (key, Role::Weights, Part::Block(0)), threads);
    let zeros = zeros_per_column(sparsity, fan_out);
    let mut rng = key.stream(Role::Weights, Part::Zeros);
    for mut column in w.column_iter_mut() {
        for row in rand::seq::index::sample(&mut rng, fan_out, zeros) {
            column[row] = T::ZERO;
        }
    }
    w
}
