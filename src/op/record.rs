//! One layer of one trial: moments of all entries, and how units and samples relate.

use crate::numeric::cached::CachedSignal;
use crate::numeric::pieces;
use crate::numeric::product::{Threads, gram_of_rows};
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::{accumulate, max_abs_into, range};
use crate::numeric::spectrum::eigenvalues;
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Mean, population variance and second moment of the entries of a matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Mean of all entries.
    pub mean: Wide,
    /// Population variance: the sum is divided by the number of entries.
    pub variance: Wide,
    /// Mean square of all entries.
    pub second_moment: Wide,
}

impl Moments {
    /// Of entries that are all zero.
    pub const ZERO: Self = Self { mean: Wide::ZERO, variance: Wide::ZERO, second_moment: Wide::ZERO };
}

/// log₁₀ of the second moment below which rounding hides a quantity, where it lies below: its moments are then given as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Floors {
    /// Floor of Z.
    pub preactivation: Option<f64>,
    /// Floor of H.
    pub activation: Option<f64>,
    /// Floor of ∂C/∂Z.
    pub gradient: Option<f64>,
    /// Floor of ∂C/∂W.
    pub weight_gradient: Option<f64>,
}

/// Everything recorded at a layer in one trial (SCIENCE: Z pre-activation, H activation, D gradient).
#[derive(Clone, Copy, Debug)]
pub struct LayerRecord {
    /// Z, n × B.
    pub preactivation: Moments,
    /// H = φ(Z), n × B.
    pub activation: Moments,
    /// D = ∂C/∂Z, n × B.
    pub gradient: Moments,
    /// ∂C/∂W = D·Hᵀ with H the layer's input, fan_out × fan_in.
    pub weight_gradient: Moments,
    /// Units with φ′ = 0 on the whole batch, of all units.
    pub dead_fraction: f64,
    /// Entries with |φ′| below 1 % of its maximum; `None` when φ′ is unbounded.
    pub saturated_fraction: Option<f64>,
    /// Mean cosine between the columns of Z, see [`correlation`].
    pub correlation: Option<f64>,
    /// Mean cosine between the positions of one sample, over samples; `None` where a sample has one position.
    pub position_correlation: Option<f64>,
    /// Of the columns of Z, between 1 and B, see [`effective_rank`].
    pub effective_rank: Option<f64>,
    /// Largest difference between two rows of Z, see [`unit_symmetry`].
    pub unit_symmetry: f64,
    /// What rounding hides.
    pub below: Floors,
}

/// Moments of `offset + v` over all entries v of a signal.
///
/// A variance below the rounding of the entries about their mean is zero.
pub fn moments<T: Real>(observed: &CachedSignal<T>, offset: f64) -> Moments {
    let (signal, sums) = (&observed.signal, observed.sums());
    let values = signal.values.as_slice();
    let count = values.len() as f64;
    let (total, squares) = (sums.plain.iter().sum::<f64>(), sums.square.iter().sum::<f64>());
    let mean = total / count;
    let mut variance = squares / count - mean * mean;
    if variance < 1e-2 * mean * mean {
        // The difference of two like numbers: once more about the mean.
        variance = values.iter().map(|v| (v.to_f64() - mean).powi(2)).sum::<f64>() / count;
        let rounding = 2.0 * T::EPSILON * mean;
        if variance <= rounding * rounding {
            variance = 0.0;
        }
    }
    let mean = Wide::new(mean, signal.exponent) + Wide::from(offset);
    let variance = Wide::new(variance, 2 * signal.exponent);
    Moments { mean, variance, second_moment: variance + mean * mean }
}

/// A layer of which nothing is recorded yet.
impl Default for LayerRecord {
    fn default() -> Self {
        let moments = Moments { mean: Wide::ZERO, variance: Wide::ZERO, second_moment: Wide::ZERO };
        Self {
            preactivation: moments,
            activation: moments,
            gradient: moments,
            weight_gradient: moments,
            dead_fraction: 0.0,
            saturated_fraction: None,
            correlation: None,
            position_correlation: None,
            effective_rank: None,
            unit_symmetry: 0.0,
            below: Floors::default(),
        }
    }
}

/// Moments of the entries of ∂C/∂W = D·Hᵀ of this shape, from ‖DHᵀ‖²_F and the sum of its entries, both mantissas: the
/// entries are in units of 2^exponent.
pub fn product_moments(shape: (usize, usize), square: f64, total: f64, exponent: i64) -> Moments {
    let count = shape.0 as f64 * shape.1 as f64;
    let (mean, second) = (total / count, square.max(0.0) / count);
    // Rounding of the Gram form is relative to the second moment.
    let variance = (second - mean * mean).max(0.0);
    let variance = if variance < 1e-6 * second { 0.0 } else { variance };
    Moments {
        mean: Wide::new(mean, exponent),
        variance: Wide::new(variance, 2 * exponent),
        second_moment: Wide::new(second, 2 * exponent),
    }
}

/// Moments of several groups of entries together.
pub fn pooled(groups: &[(Moments, f64)]) -> Moments {
    let total: f64 = groups.iter().map(|g| g.1).sum();
    let mean = |of: fn(&Moments) -> Wide| {
        groups.iter().fold(Wide::ZERO, |sum, (m, count)| sum + of(m) * Wide::from(count / total))
    };
    let (first, second_moment) = (mean(|m| m.mean), mean(|m| m.second_moment));
    let variance = second_moment + -(first * first);
    let variance = if variance.mantissa() < 0.0 { Wide::ZERO } else { variance };
    Moments { mean: first, variance, second_moment }
}

/// Mean cosine between the columns of Z, over pairs of different samples; `None` with fewer than two that are not zero.
///
/// (‖Σ ẑ‖² − B)/(B(B − 1)) with ẑ the normalized columns: O(Bn) instead of O(B²n).
pub fn correlation<T: Real>(z: &CachedSignal<T>) -> Option<f64> {
    correlation_of(z.signal.values.as_slice(), &z.sums().square, Threads::One)
}

/// The same of samples that lie one behind the other, with their squared norms.
pub fn correlation_of<T: Real>(values: &[T], squares: &[f64], threads: Threads) -> Option<f64> {
    /// Rows whose sums stay in the first cache.
    const BLOCK: usize = 2048;
    let rows = (values.len() / squares.len().max(1)).max(1);
    let columns = values.chunks(rows).zip(squares).filter(|(_, square)| **square > 0.0);
    let columns: Vec<(&[T], f64)> = columns.map(|(column, square)| (column, square.sqrt().recip())).collect();
    let square_of_block = |from: usize| -> f64 {
        let to = (from + BLOCK).min(rows);
        let sums = &mut [0.0f64; BLOCK][..to - from];
        columns.iter().for_each(|(column, scale)| accumulate(sums, *scale, &column[from..to]));
        sums.iter().map(|s| s * s).sum()
    };
    let blocks = rows.div_ceil(BLOCK);
    let squares: Vec<f64> = match threads {
        Threads::All => (0..blocks).into_par_iter().map(|block| square_of_block(block * BLOCK)).collect(),
        Threads::One => (0..blocks).map(|block| square_of_block(block * BLOCK)).collect(),
    };
    mean_cosine(squares.iter().sum(), columns.len() as f64)
}

/// Mean over samples of the mean cosine between the positions of a sample, which are so many neighboring columns; samples with
/// fewer than two positions that are not zero are left out, and `None` stands for all samples of that kind.
pub fn position_correlation<T: Real>(z: &CachedSignal<T>, positions: usize, threads: Threads) -> Option<f64> {
    if positions < 2 {
        return None;
    }
    let (values, squares) = (z.signal.values.as_slice(), &z.sums().square);
    let rows = z.signal.values.nrows();
    let length = rows.max(1) * positions;
    let cosines = pieces::seen(values, length, threads, |first, sample| {
        let squares = &squares[first / length * positions..][..positions];
        correlation_of(sample, squares, Threads::One)
    });
    let cosines: Vec<f64> = cosines.into_iter().flatten().collect();
    let count = cosines.len() as f64;
    (count > 0.0).then(|| cosines.iter().sum::<f64>() / count)
}

/// The same from ZᵀZ.
pub fn correlation_of_gram(gram: &DMatrix<f64>) -> Option<f64> {
    let size = gram.nrows();
    let scales: Vec<f64> =
        (0..size).map(|j| gram[(j, j)]).map(|g| if g > 0.0 { g.sqrt().recip() } else { 0.0 }).collect();
    let count = scales.iter().filter(|s| **s > 0.0).count() as f64;
    let sum = (0..size)
        .flat_map(|i| (0..size).map(move |j| (i, j)))
        .map(|(i, j)| scales[i] * gram[(i, j)] * scales[j])
        .sum();
    mean_cosine(sum, count)
}

/// From ‖Σ ẑ‖² over `count` columns.
fn mean_cosine(square: f64, count: f64) -> Option<f64> {
    (count >= 2.0).then(|| ((square - count) / (count * (count - 1.0))).clamp(-1.0, 1.0))
}

/// exp(entropy) of the normalized eigenvalues of ZᵀZ (Roy & Vetterli 2007); `None` for a zero signal.
pub fn effective_rank<T: Real>(z: &CachedSignal<T>, threads: Threads) -> Option<f64> {
    let (rows, batch) = z.signal.values.shape();
    // ZᵀZ and ZZᵀ share their non-zero eigenvalues.
    let gram = if batch <= rows { z.gram(threads).whole() } else { gram_of_rows(&z.signal.values, threads) };
    effective_rank_of_gram(gram)
}

/// The same from ZᵀZ.
pub fn effective_rank_of_gram(gram: DMatrix<f64>) -> Option<f64> {
    let eigenvalues = eigenvalues(gram)?;
    let total: f64 = eigenvalues.iter().map(|e| e.max(0.0)).sum();
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    let entropy: f64 =
        eigenvalues.iter().map(|e| e.max(0.0) / total).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
    Some(entropy.exp())
}

/// Largest difference between two units on one sample, relative to the largest entry; units of a zero signal are alike.
pub fn unit_symmetry<T: Real>(z: &Signal<T>, threads: Threads) -> f64 {
    let rows = z.values.nrows().max(1);
    let ranges = pieces::seen(z.values.as_slice(), pieces::length(rows), threads, |_, piece| {
        widest_of(piece.chunks(rows).map(|column| {
            let (low, high) = range(column);
            (low.to_f64(), high.to_f64())
        }))
    });
    symmetry(ranges.into_iter().fold((0.0, 0.0), |all, one| (all.0.max(one.0), all.1.max(one.1))))
}

/// The same from the least and the largest entry of each column.
pub fn unit_symmetry_of_ranges(ranges: impl Iterator<Item = (f64, f64)>) -> f64 {
    symmetry(widest_of(ranges))
}

/// The widest range, and the largest magnitude.
fn widest_of(ranges: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    ranges.fold((0.0f64, 0.0f64), |(widest, top), (low, high)| {
        (widest.max(high - low), top.max(high.abs()).max(low.abs()))
    })
}

fn symmetry((widest, top): (f64, f64)) -> f64 {
    if top > 0.0 { widest / top } else { 0.0 }
}

/// Of the slopes φ′(Z) (n × B): the largest of each unit (as mantissas), and how many entries are below `threshold`.
pub fn slopes<T: Real>(slope: &Signal<T>, threshold: Wide) -> (Vec<T>, usize) {
    let level = threshold.scaled(-slope.exponent);
    // Beyond the precision's range all or none are below.
    slopes_below(slope.values.as_slice(), slope.values.nrows(), T::of(level.to_f64().clamp(0.0, 1e30)))
}

/// The same of columns with so many rows.
pub fn slopes_below<T: Real>(slopes: &[T], rows: usize, level: T) -> (Vec<T>, usize) {
    let rows = rows.max(1);
    let mut top = vec![T::ZERO; rows];
    let mut below = 0usize;
    for column in slopes.chunks(rows) {
        below += max_abs_into(&mut top, column, level);
    }
    (top, below)
}
