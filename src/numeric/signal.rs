//! A batch of columns that carries its scale apart: no stack overflows or underflows it.

use crate::numeric::pieces;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::slice::{add_scaled, copy_scaled, max_abs, multiply_into, scale, widen};
use crate::numeric::wide::{LIMIT, Wide};
use nalgebra::{DMatrix, Dyn};
use std::borrow::Borrow;

/// `values · 2^exponent`; one sample a column (width × batch). Like [`Wide`]'s, the exponent saturates at ±2⁶⁰.
#[derive(Clone, Debug)]
pub struct Signal<T: Real> {
    /// Mantissas, units × batch; the largest lies within 2^±16 of one unless all are zero.
    pub values: DMatrix<T>,
    /// Power of two that all mantissas are to be multiplied by.
    pub exponent: i64,
}

/// The largest entry is kept within 2^±this, where products of a layer neither overflow nor lose entries that count.
const MAX_LOG2: i64 = 16;
/// Where the largest product of two entries is below this, others may have underflowed.
pub const LEAST: f64 = 1.0 / (1u64 << 60) as f64;
/// Mantissas of exponents no farther apart than this are summed without a look at their size.
const MAX_SHIFT: i64 = 40;

impl<T: Real> Signal<T> {
    /// Normalized; a zero signal gets exponent 0.
    pub fn new(values: DMatrix<T>, exponent: i64) -> Self {
        Self { values, exponent }.normalized()
    }

    /// The same, by all threads where they are free.
    pub fn shared(values: DMatrix<T>, exponent: i64, threads: Threads) -> Self {
        let tops = pieces::seen(values.as_slice(), pieces::length(1), threads, |_, piece| max_abs(piece));
        Self { values, exponent }.normalized_from(&tops)
    }

    /// Rescales by a power of two (exact) when the largest entry has left the comfortable range.
    pub fn normalized(self) -> Self {
        let top = max_abs(self.values.as_slice());
        self.normalized_from(&[top])
    }

    /// The same, given the largest magnitude of each part of the entries.
    pub(crate) fn normalized_from(mut self, tops: &[T]) -> Self {
        let top = max_abs(tops);
        if top == T::ZERO {
            self.exponent = 0;
            return self;
        }
        let shift = i64::from(libm::ilogb(top.to_f64()));
        if shift.abs() > MAX_LOG2 {
            self.shift_mantissa(-shift);
            self.exponent += shift;
        }
        self.exponent = self.exponent.clamp(-LIMIT, LIMIT);
        self
    }

    /// No entries at all.
    pub fn empty() -> Self {
        Self { values: DMatrix::from_element(0, 0, T::ZERO), exponent: 0 }
    }

    fn shift_mantissa(&mut self, shift: i64) {
        // In two steps: 2^150, which a denormal needs, is not an f32.
        let half = shift / 2;
        let (a, b) = (power_of_two::<T>(half), power_of_two::<T>(shift - half));
        scale(self.values.as_mut_slice(), a, b);
    }

    /// Every entry is exactly zero.
    pub fn is_zero(&self) -> bool {
        self.values.iter().all(|v| *v == T::ZERO)
    }

    /// log₂ of the largest entry's magnitude, rounded down; `None` for a zero signal.
    pub fn top_exponent(&self) -> Option<i64> {
        let top = max_abs(self.values.as_slice());
        (top != T::ZERO).then(|| self.exponent + i64::from(libm::ilogb(top.to_f64())))
    }

    /// Rewrites the same numbers with another exponent. Entries below its range become zero.
    fn at_exponent(mut self, exponent: i64) -> Self {
        let shift = self.exponent - exponent;
        if shift < -1000 {
            self.values.fill(T::ZERO);
        } else if shift != 0 {
            self.shift_mantissa(shift);
        }
        self.exponent = exponent;
        self
    }

    /// The sum of two signals, at the scale of the larger.
    pub fn plus(self, other: Self) -> Self {
        self.plus_shared(other, Threads::One)
    }

    /// The same, by all threads where they are free.
    pub fn plus_shared(mut self, mut other: Self, threads: Threads) -> Self {
        let shift = other.exponent - self.exponent;
        if shift.abs() <= MAX_SHIFT {
            let factor = power_of_two::<T>(shift);
            let (sum, terms) = (self.values.as_mut_slice(), other.values.as_mut_slice());
            let tops = pieces::both(sum, terms, pieces::length(1), threads, |_, sum, terms| {
                add_scaled(sum, terms, factor);
                max_abs(sum)
            });
            return self.normalized_from(&tops);
        }
        match (self.top_exponent(), other.top_exponent()) {
            (None, _) => other,
            (_, None) => self,
            (Some(a), Some(b)) => {
                let exponent = if a >= b { self.exponent } else { other.exponent };
                let mut sum = self.at_exponent(exponent);
                sum.values += other.at_exponent(exponent).values;
                sum.normalized()
            }
        }
    }

    /// The sum with one column (units × 1) in every sample.
    pub fn plus_column(self, column: &Self) -> Self {
        self.plus_column_shared(column, Threads::One)
    }

    /// The same, by all threads where they are free.
    pub fn plus_column_shared(mut self, column: &Self, threads: Threads) -> Self {
        let shift = column.exponent - self.exponent;
        if shift.abs() > MAX_SHIFT || self.is_zero() {
            let (rows, batch) = self.values.shape();
            let values = DMatrix::from_fn(rows, batch, |i, _| column.values[(i, 0)]);
            return self.plus(Self { values, exponent: column.exponent });
        }
        let factor = power_of_two::<T>(shift);
        let column: Vec<T> = column.values.iter().map(|v| *v * factor).collect();
        let rows = column.len().max(1);
        let tops = pieces::each(self.values.as_mut_slice(), pieces::length(rows), threads, |_, piece| {
            piece.chunks_exact_mut(rows).for_each(|sample| add_scaled(sample, &column, T::ONE));
            max_abs(piece)
        });
        self.normalized_from(&tops)
    }

    /// Every entry times a wide factor.
    pub fn times(mut self, factor: Wide) -> Self {
        if factor.is_zero() {
            self.values.fill(T::ZERO);
            self.exponent = 0;
            return self;
        }
        let m = T::of(factor.mantissa());
        scale(self.values.as_mut_slice(), m, T::ONE);
        self.exponent += factor.exponent();
        self.normalized()
    }

    /// Entry-wise product (Hadamard).
    pub fn hadamard(&self, other: &Self) -> Self {
        self.hadamard_shared(other, Threads::One)
    }

    /// The same, by all threads where they are free.
    pub fn hadamard_shared(&self, other: &Self, threads: Threads) -> Self {
        let exponent = self.exponent + other.exponent;
        let (rows, columns) = self.values.shape();
        let (a, b) = (self.values.as_slice(), other.values.as_slice());
        let mut values = zeros(rows, columns);
        let tops = pieces::each(values.as_mut_slice(), pieces::length(1), threads, |first, piece| {
            let range = first..first + piece.len();
            multiply_into(piece, &a[range.clone()], &b[range])
        });
        let product = Self { values, exponent };
        match max_abs(&tops).to_f64() {
            top if top > LEAST => product.normalized_from(&tops),
            // The large entries of one met the small entries of the other: multiply where that cannot underflow.
            _ => {
                let wide = self.values.map(|v| v.to_f64()).component_mul(&other.values.map(|v| v.to_f64()));
                let top = max_abs(wide.as_slice());
                if top == 0.0 {
                    return Self { exponent: 0, ..product };
                }
                let shift = libm::ilogb(top);
                let values = wide.map(|v| T::of(libm::scalbn(v, -shift)));
                Self::new(values, exponent + i64::from(shift))
            }
        }
    }

    /// One entry as a wide number.
    pub fn entry(&self, row: usize, column: usize) -> Wide {
        Wide::new(self.values[(row, column)].to_f64(), self.exponent)
    }

    /// A signal from wide entries, column by column.
    pub fn from_wide(rows: usize, columns: usize, entries: &[Wide]) -> Self {
        let top = entries.iter().filter(|w| !w.is_zero()).map(|w| w.exponent()).max().unwrap_or(0);
        let values = DMatrix::from_iterator(
            rows,
            columns,
            entries.iter().map(|w| T::of(libm::scalbn(w.mantissa(), (w.exponent() - top).max(-2000) as i32))),
        );
        Self::new(values, top)
    }
}

/// The largest exponent of several signals, and the factor that brings each one's mantissas to it.
pub fn aligned<T: Real, S: Borrow<Signal<T>>>(parts: &[S]) -> (i64, Vec<T>) {
    let tops: Vec<Option<i64>> = parts.iter().map(|part| part.borrow().top_exponent()).collect();
    let top = tops.iter().flatten().copied().max().unwrap_or(0);
    // A signal of zeros has no exponent: what is far above the others' would make them 0·∞.
    let scale = |(s, own): (&S, &Option<i64>)| match own {
        Some(_) => power_of_two(s.borrow().exponent - top),
        None => T::ONE,
    };
    (top, parts.iter().zip(&tops).map(scale).collect())
}

/// Signals of as many columns one below the other.
pub fn stacked<T: Real>(parts: &[Signal<T>]) -> Signal<T> {
    stacked_shared(&parts.iter().collect::<Vec<_>>(), Threads::One)
}

/// The same, by all threads where they are free.
pub fn stacked_shared<T: Real>(parts: &[&Signal<T>], threads: Threads) -> Signal<T> {
    let columns = parts.first().map_or(0, |part| part.values.ncols());
    let rows: usize = parts.iter().map(|part| part.values.nrows()).sum();
    let (exponent, scales) = aligned(parts);
    let mut values = zeros(rows, columns);
    let unit = rows.max(1);
    let tops = pieces::each(values.as_mut_slice(), pieces::length(unit), threads, |first, piece| {
        for (index, column) in piece.chunks_exact_mut(unit).enumerate() {
            let mut rest = column;
            for (part, factor) in parts.iter().zip(&scales) {
                let height = part.values.nrows();
                let (to, others) = rest.split_at_mut(height);
                let from = &part.values.as_slice()[(first / unit + index) * height..][..height];
                copy_scaled(to, from, *factor);
                rest = others;
            }
        }
        max_abs(piece)
    });
    Signal { values, exponent }.normalized_from(&tops)
}

/// The rows of a signal in parts of these heights, one below the other: what [`stacked`] undoes.
pub fn unstacked<T: Real>(signal: &Signal<T>, heights: &[usize]) -> Vec<Signal<T>> {
    unstacked_shared(signal, heights, Threads::One)
}

/// The same, by all threads where they are free.
pub fn unstacked_shared<T: Real>(signal: &Signal<T>, heights: &[usize], threads: Threads) -> Vec<Signal<T>> {
    let (rows, columns) = signal.values.shape();
    let entries = signal.values.as_slice();
    let mut above = 0;
    let part = |height: &usize| {
        let mut values = zeros(*height, columns);
        let unit = (*height).max(1);
        let tops = pieces::each(values.as_mut_slice(), pieces::length(unit), threads, |first, piece| {
            for (index, column) in piece.chunks_exact_mut(unit).enumerate() {
                column.copy_from_slice(&entries[(first / unit + index) * rows + above..][..unit]);
            }
            max_abs(piece)
        });
        above += height;
        Signal { values, exponent: signal.exponent }.normalized_from(&tops)
    };
    heights.iter().map(part).collect()
}

/// Memory that is zero as the system gives it, where it is given anew.
pub fn zeros<T: Real>(rows: usize, columns: usize) -> DMatrix<T> {
    DMatrix::from_vec(rows, columns, vec![T::ZERO; rows * columns])
}

/// The same entries in another shape of as many.
pub fn reshaped<T: Real>(signal: Signal<T>, rows: usize) -> Signal<T> {
    let columns = signal.values.len() / rows.max(1);
    Signal { values: signal.values.reshape_generic(Dyn(rows), Dyn(columns)), exponent: signal.exponent }
}

/// The same entries in double precision.
pub fn widened<T: Real>(values: &DMatrix<T>) -> DMatrix<f64> {
    let mut wide = DMatrix::zeros(values.nrows(), values.ncols());
    widen(wide.as_mut_slice(), values.as_slice());
    wide
}

/// 2^exponent, 0 or ∞ where it is none of this precision.
pub fn power_of_two<T: Real>(exponent: i64) -> T {
    T::of(libm::scalbn(1.0, exponent.clamp(-2000, 2000) as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(values: &[f32], exponent: i64) -> Signal<f32> {
        Signal::new(DMatrix::from_column_slice(values.len(), 1, values), exponent)
    }

    #[test]
    fn scale_lives_in_the_exponent() {
        let s = signal(&[3e30, -1e-3], 5000);
        assert!(max_abs(s.values.as_slice()) < 4.0);
        let entry = s.entry(0, 0).log10_abs().unwrap();
        assert!((entry - (3e30f64.log10() + 5000.0 * 2f64.log10())).abs() < 1e-6);
    }

    #[test]
    fn sums_align_their_scales() {
        let sum = signal(&[1.0], 100).plus(signal(&[1.0], 99));
        assert_eq!(sum.entry(0, 0), Wide::new(1.5, 100));
        let sum = signal(&[1.0], -4000).plus(signal(&[1.0], 4000));
        assert_eq!(sum.entry(0, 0), Wide::new(1.0, 4000));
        assert_eq!(signal(&[0.0], 7).plus(signal(&[2.0], -4000)).entry(0, 0), Wide::new(2.0, -4000));
    }

    #[test]
    fn zeros_beside_what_is_very_small_stay_zeros() {
        let both = stacked(&[signal(&[0.0, 0.0], 0), signal(&[1.5, -1.0], -100_000)]);
        assert_eq!(both.values.as_slice(), [0.0, 0.0, 1.5, -1.0]);
        assert_eq!(both.exponent, -100_000);
    }

    #[test]
    fn a_product_of_small_by_large_does_not_underflow() {
        let a = signal(&[1.0, 1e-30], 0);
        let b = signal(&[0.0, 1e-30], 0).plus(signal(&[0.0, 0.0], 0));
        assert!((a.hadamard(&b).entry(1, 0).log10_abs().unwrap() + 60.0).abs() < 1e-5);
        let dead = signal(&[1.0, 0.0], 3).hadamard(&signal(&[0.0, 1.0], 0));
        assert!(dead.is_zero());
    }
}
