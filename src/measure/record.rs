//! One layer of one trial: moments of all entries, and how units and samples relate.

use crate::product::{Threads, gram, gram_of_rows, mul_tr};
use crate::real::Real;
use crate::signal::Signal;
use crate::wide::Wide;
use nalgebra::DMatrix;

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
    /// Of the columns of Z, between 1 and B, see [`effective_rank`].
    pub effective_rank: Option<f64>,
    /// Largest difference between two rows of Z, see [`unit_symmetry`].
    pub unit_symmetry: Option<f64>,
}

/// Entries summed in the signal's own precision before the sum goes to a double.
const RUN: usize = 256;

/// (Σv, Σv²) of a slice in double precision.
fn sums<T: Real>(values: &[T]) -> (f64, f64) {
    pulp::Arch::new().dispatch(|| {
        let (mut total, mut squares) = (0.0, 0.0);
        for run in values.chunks(RUN) {
            let mut lanes = [(T::ZERO, T::ZERO); 16];
            let chunks = run.chunks_exact(16);
            let rest = chunks.remainder();
            for chunk in chunks {
                for (lane, v) in lanes.iter_mut().zip(chunk) {
                    lane.0 += *v;
                    lane.1 += *v * *v;
                }
            }
            for lane in lanes {
                total += lane.0.to_f64();
                squares += lane.1.to_f64();
            }
            for v in rest {
                total += v.to_f64();
                squares += v.to_f64() * v.to_f64();
            }
        }
        (total, squares)
    })
}

/// Σ a·b in double precision.
fn inner<T: Real>(a: &[T], b: &[T]) -> f64 {
    pulp::Arch::new().dispatch(|| {
        let mut lanes = [0.0f64; 16];
        let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
        let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a.to_f64() * b.to_f64()).sum();
        for (a, b) in a.zip(b) {
            for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += a.to_f64() * b.to_f64();
            }
        }
        rest + lanes.iter().sum::<f64>()
    })
}

/// Moments of `offset + v` over all entries v of a signal.
///
/// A variance below the rounding of the entries about their mean is zero.
pub fn moments<T: Real>(signal: &Signal<T>, offset: f64) -> Moments {
    let values = signal.values.as_slice();
    let count = values.len() as f64;
    let (total, squares) = sums(values);
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

/// Σ of each column (a sample), as mantissas to the signal's exponent.
pub fn column_sums<T: Real>(signal: &Signal<T>) -> Vec<f64> {
    let rows = signal.values.nrows().max(1);
    signal.values.as_slice().chunks(rows).map(|column| sums(column).0).collect()
}

/// What the weight gradient needs of a layer's input: enough for ‖D·Hᵀ‖_F and for the sum of its entries.
pub struct InputTrace<T: Real> {
    exponent: i64,
    sums: Vec<f64>,
    rows: usize,
    form: Form<T>,
}

enum Form<T: Real> {
    /// HᵀH, B × B.
    Gram(DMatrix<T>),
    /// H itself, where the batch is so large that the product costs less.
    Whole(DMatrix<T>),
}

impl<T: Real> InputTrace<T> {
    /// Keeps of H (fan_in × B) what costs less for a layer of `fan_out` units.
    pub fn new(h: &Signal<T>, fan_out: usize, threads: Threads) -> Self {
        let (fan_in, batch) = h.values.shape();
        let form = if Self::keeps_gram(fan_in, fan_out, batch) {
            Form::Gram(gram(&h.values, threads))
        } else {
            Form::Whole(h.values.clone())
        };
        Self { exponent: h.exponent, sums: column_sums(h), rows: fan_in, form }
    }

    /// B²(n_in + n_out) against B·n_in·n_out multiplications.
    pub fn keeps_gram(fan_in: usize, fan_out: usize, batch: usize) -> bool {
        batch as u128 * (fan_in as u128 + fan_out as u128) <= fan_in as u128 * fan_out as u128
    }

    /// Moments of the entries of ∂C/∂W = D·Hᵀ, from ‖DHᵀ‖²_F = ⟨DᵀD, HᵀH⟩_F where that is cheaper.
    pub fn weight_gradient(&self, d: &Signal<T>, threads: Threads) -> Moments {
        let count = self.rows as f64 * d.values.nrows() as f64;
        let square = match &self.form {
            Form::Gram(trace) => inner(trace.as_slice(), gram(&d.values, threads).as_slice()).max(0.0),
            Form::Whole(h) => sums(mul_tr(&d.values, h, threads).as_slice()).1,
        };
        let total: f64 = self.sums.iter().zip(column_sums(d)).map(|(a, b)| a * b).sum();
        let exponent = self.exponent + d.exponent;
        let (mean, second) = (total / count, square / count);
        // Rounding of the Gram form is relative to the second moment.
        let variance = (second - mean * mean).max(0.0);
        let variance = if variance < 1e-6 * second { 0.0 } else { variance };
        Moments {
            mean: Wide::new(mean, exponent),
            variance: Wide::new(variance, 2 * exponent),
            second_moment: Wide::new(second, 2 * exponent),
        }
    }
}

/// Mean cosine between the columns of Z, over pairs of different samples; `None` with fewer than two that are not zero.
///
/// (‖Σ ẑ‖² − B)/(B(B − 1)) with ẑ the normalised columns: O(Bn) instead of O(B²n).
pub fn correlation<T: Real>(z: &Signal<T>) -> Option<f64> {
    let rows = z.values.nrows().max(1);
    let mut sum = vec![0.0f64; rows];
    let mut count = 0.0;
    for column in z.values.as_slice().chunks(rows) {
        let square = sums(column).1;
        if square > 0.0 {
            count += 1.0;
            let scale = 1.0 / square.sqrt();
            pulp::Arch::new()
                .dispatch(|| sum.iter_mut().zip(column).for_each(|(s, v)| *s += scale * v.to_f64()));
        }
    }
    if count < 2.0 {
        return None;
    }
    let square: f64 = sum.iter().map(|s| s * s).sum();
    Some(((square - count) / (count * (count - 1.0))).clamp(-1.0, 1.0))
}

/// exp(entropy) of the normalised eigenvalues of ZᵀZ (Roy & Vetterli 2007); `None` for a zero signal.
pub fn effective_rank<T: Real>(z: &Signal<T>, threads: Threads) -> Option<f64> {
    let (rows, batch) = z.values.shape();
    // ZᵀZ and ZZᵀ share their non-zero eigenvalues.
    let gram = if batch <= rows { gram(&z.values, threads) } else { gram_of_rows(&z.values, threads) };
    let eigenvalues = gram.map(Real::to_f64).symmetric_eigenvalues();
    let total: f64 = eigenvalues.iter().map(|e| e.max(0.0)).sum();
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    let entropy: f64 =
        eigenvalues.iter().map(|e| e.max(0.0) / total).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
    Some(entropy.exp())
}

/// Largest difference between two units on one sample, relative to the largest entry; `None` for a zero signal.
pub fn unit_symmetry<T: Real>(z: &Signal<T>) -> Option<f64> {
    let rows = z.values.nrows().max(1);
    let (mut widest, mut top) = (0.0f64, 0.0f64);
    for column in z.values.as_slice().chunks(rows) {
        let (low, high) = range(column);
        widest = widest.max(high - low);
        top = top.max(high.abs()).max(low.abs());
    }
    (top > 0.0).then(|| widest / top)
}

fn range<T: Real>(column: &[T]) -> (f64, f64) {
    pulp::Arch::new().dispatch(|| {
        let mut lanes = [(column[0], column[0]); 16];
        let chunks = column.chunks_exact(16);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane = (lane.0.min(*v), lane.1.max(*v));
            }
        }
        let ends = rest.iter().map(|v| (*v, *v)).chain(lanes);
        let (low, high) = ends.fold((column[0], column[0]), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        (low.to_f64(), high.to_f64())
    })
}

/// Of the slopes φ′(Z) (n × B): the largest of each unit (as mantissas), and how many entries are below `threshold`.
pub fn slopes<T: Real>(slope: &Signal<T>, threshold: Wide) -> (Vec<T>, usize) {
    let rows = slope.values.nrows().max(1);
    let level = threshold.scaled(-slope.exponent);
    // Beyond the precision's range all or none are below.
    let level = T::of(level.to_f64().clamp(0.0, 1e30));
    let mut top = vec![T::ZERO; rows];
    let mut below = 0usize;
    pulp::Arch::new().dispatch(|| {
        for column in slope.values.as_slice().chunks(rows) {
            let mut here = 0u32;
            for (unit, v) in top.iter_mut().zip(column) {
                *unit = unit.max(v.abs());
                here += u32::from(v.abs() < level);
            }
            below += here as usize;
        }
    });
    (top, below)
}
