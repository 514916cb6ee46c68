//! Sums over blocks of units, whose scales may differ from block to block.

use crate::numeric::signal::Signal;
use crate::numeric::wide::Wide;
use crate::op::record::Moments;
use crate::op::record::unit_symmetry_of_ranges;

/// Σ of arrays of one length, each times a power of two.
#[derive(Clone, Debug, Default)]
pub struct WideSum {
    /// In units of 2^exponent; empty before the first addition.
    pub values: Vec<f64>,
    /// Of the largest scale added.
    pub exponent: i64,
}

impl WideSum {
    /// Adds `values`·2^exponent.
    pub fn add(&mut self, values: &[f64], exponent: i64) {
        if values.iter().all(|v| *v == 0.0) {
            if self.values.is_empty() {
                self.values = vec![0.0; values.len()];
            }
            return;
        }
        if self.values.iter().all(|v| *v == 0.0) {
            self.values = values.to_vec();
            self.exponent = exponent;
            return;
        }
        if exponent > self.exponent {
            let factor = power(self.exponent - exponent);
            self.values.iter_mut().for_each(|v| *v *= factor);
            self.exponent = exponent;
        }
        let factor = power(exponent - self.exponent);
        self.values.iter_mut().zip(values).for_each(|(sum, v)| *sum += factor * v);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        if !other.values.is_empty() {
            self.add(&other.values, other.exponent);
        }
    }

    /// The values in units of another power of two; what is beyond a double's range there becomes zero or infinite.
    pub fn at(&self, exponent: i64) -> Vec<f64> {
        let factor = power(self.exponent - exponent);
        self.values.iter().map(|v| v * factor).collect()
    }
}

/// 2^exponent; zero or infinite beyond the range.
pub fn power(exponent: i64) -> f64 {
    libm::scalbn(1.0, exponent.clamp(-5000, 5000) as i32)
}

/// Mean and variance of entries that come in parts (Chan, Golub & LeVeque 1979).
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    count: f64,
    mean: Wide,
    /// Σ (v − mean)².
    spread: Wide,
}

impl Default for Pool {
    fn default() -> Self {
        Self { count: 0.0, mean: Wide::ZERO, spread: Wide::ZERO }
    }
}

impl Pool {
    /// Adds `count` entries of these moments.
    pub fn add(&mut self, count: f64, moments: &Moments) {
        self.merge(&Self { count, mean: moments.mean, spread: moments.variance * count.into() });
    }

    /// Adds another pool.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        let total = self.count + other.count;
        let gap = other.mean + -self.mean;
        self.mean = self.mean + gap * (other.count / total).into();
        self.spread = self.spread + other.spread + gap * gap * (self.count * other.count / total).into();
        self.count = total;
    }

    /// Moments of all entries. A variance below the rounding of single precision about the mean is zero.
    pub fn moments(&self) -> Moments {
        let mut variance = self.spread * (1.0 / self.count.max(1.0)).into();
        let rounding = self.mean * (2.0 * f64::from(f32::EPSILON)).into();
        if (variance + -(rounding * rounding)).mantissa() <= 0.0 {
            variance = Wide::ZERO;
        }
        Moments { mean: self.mean, variance, second_moment: variance + self.mean * self.mean }
    }
}

/// The least and the largest entry of each column, in units of one power of two.
#[derive(Clone, Debug, Default)]
pub struct Ranges(Vec<(f64, f64)>);

impl Ranges {
    /// Takes in a block in units of 2^exponent.
    pub fn add(&mut self, block: &Signal<f32>, exponent: i64) {
        let factor = power(block.exponent - exponent);
        let rows = block.values.nrows().max(1);
        let columns = block.values.as_slice().chunks(rows).map(|column| {
            let (low, high) = crate::numeric::slice::range(column);
            (factor * f64::from(low), factor * f64::from(high))
        });
        self.take(columns);
    }

    /// Takes in what others saw.
    pub fn merge(&mut self, other: &Self) {
        self.take(other.0.iter().copied());
    }

    fn take(&mut self, ranges: impl Iterator<Item = (f64, f64)>) {
        if self.0.is_empty() {
            self.0 = ranges.collect();
            return;
        }
        for (mine, (low, high)) in self.0.iter_mut().zip(ranges) {
            *mine = (mine.0.min(low), mine.1.max(high));
        }
    }

    /// Largest difference between two units on one sample, relative to the largest entry.
    pub fn unit_symmetry(&self) -> f64 {
        unit_symmetry_of_ranges(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_scales() {
        let mut sum = WideSum::default();
        sum.add(&[1.0, 2.0], 3000);
        sum.add(&[1.0, 0.0], 3001);
        sum.add(&[1.0, 1.0], -9000);
        sum.add(&[0.0, 0.0], 99_000);
        assert_eq!(sum.at(3000), [3.0, 2.0]);
    }

    #[test]
    fn pooled_moments_are_those_of_all_entries() {
        let values: Vec<f64> = (0..100).map(|k| f64::from((k * 37) % 101) - 20.0).collect();
        let of = |v: &[f64]| {
            let n = v.len() as f64;
            let mean = v.iter().sum::<f64>() / n;
            let variance = v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            Moments {
                mean: mean.into(),
                variance: variance.into(),
                second_moment: (variance + mean * mean).into(),
            }
        };
        let mut pool = Pool::default();
        for part in values.chunks(17) {
            pool.add(part.len() as f64, &of(part));
        }
        let (got, all) = (pool.moments(), of(&values));
        for (a, b) in
            [(got.mean, all.mean), (got.variance, all.variance), (got.second_moment, all.second_moment)]
        {
            assert!((a.to_f64() / b.to_f64() - 1.0).abs() < 1e-12);
        }
    }
}
