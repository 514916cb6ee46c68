//! Weight standardization (Qiao et al. 2019): each unit's weights over its fan-in become (w − mean)/√(variance + ε), in scaled weight
//! standardization (Brock et al. 2021) divided by √fan_in beside, and times a learned gain of each unit where a file asks for one.
//!
//! The variance and ε meet as wide numbers, as in norms, so weights of any scale meet ε as they would in exact arithmetic.

use super::conv::with_all_taps;
use super::forms::BiasSpec;
use super::parameter::Parameter;
use super::vector::WantedVector;
use crate::numeric::pieces;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, zeros};
use crate::numeric::wide::Wide;
use crate::weights::Dense;
use nalgebra::DMatrix;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::sync::Arc;

/// How the weights of a layer are standardized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standardize {
    /// Added to the variance.
    pub eps: f64,
    /// What the standardized weights are divided by.
    pub scale: Divisor,
    /// The first vector of the node is a gain of each unit.
    pub gain: bool,
}

/// What standardized weights are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divisor {
    /// Nothing.
    #[default]
    None,
    /// √fan_in, so that a sum over the fan-in has the variance of its terms.
    FanIn,
}

/// The field of an architecture file, as a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Added to the variance.
    #[serde(default = "eps")]
    eps: f64,
    /// What the standardized weights are divided by.
    #[serde(default)]
    scale: Divisor,
    /// Law of the gain of each unit; none where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gain: Option<BiasSpec>,
}

fn eps() -> f64 {
    1e-5
}

/// Reads the field: true and false, or a table.
///
/// # Errors
/// Anything else.
pub fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fields>, D::Error> {
    deserializer.deserialize_any(Forms)
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Option<Fields>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("true, false or a table such as { eps = 1e-5, scale = \"fan-in\", gain = 1 }")
    }

    fn visit_bool<E: de::Error>(self, has: bool) -> Result<Self::Value, E> {
        Ok(has.then(|| Fields { eps: eps(), scale: Divisor::None, gain: None }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Fields::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

impl Fields {
    /// What a layer does with its weights.
    ///
    /// # Errors
    /// An ε that is no number from 0 on.
    pub fn checked(&self, units: usize) -> Result<Standardize, String> {
        match self.eps.is_finite() && self.eps >= 0.0 {
            true => Ok(Standardize { eps: self.eps, scale: self.scale, gain: self.gain(units).is_some() }),
            false => Err(format!("standardize: eps = {} is not a number from 0 on", self.eps)),
        }
    }

    /// The gain of so many units, where there is one.
    pub fn gain(&self, units: usize) -> Option<WantedVector<'_>> {
        self.gain.as_ref().and_then(|gain| WantedVector::gain(units, Some(gain)))
    }
}

impl Standardize {
    /// The standardized weights of a parameter, and the gain of its units where that does something.
    pub fn weights<T: Real>(
        &self,
        parameter: &Parameter,
        dense: &mut Dense<T>,
        gain: Option<Signal<T>>,
        threads: Threads,
    ) -> Standardized<T> {
        let (scale, _) = dense.affine();
        let mut units = dense.unit_matrix(threads);
        if units.ncols() < parameter.shape.1 {
            units = with_all_taps(parameter, units);
        }
        let (rows, columns) = units.shape();
        let divisor = match self.scale {
            Divisor::None => 1.0,
            Divisor::FanIn => (columns as f64).sqrt(),
        };
        let means = row_means(&units, threads, |_, w| w);
        let variances = row_means(&units, threads, |row, w| (w - means[row]).powi(2));
        let inverse = |row: usize| {
            // Weights that are all the same differ by rounding alone.
            let is_constant = variances[row] <= (T::EPSILON * means[row]).powi(2);
            let variance = if is_constant { 0.0 } else { variances[row] };
            let deviation = (Wide::from(variance) * scale * scale + Wide::from(self.eps)).sqrt();
            if deviation.is_zero() { Wide::ZERO } else { (deviation * Wide::from(divisor)).recip() }
        };
        let slopes: Vec<Wide> = (0..rows).map(inverse).collect();
        let factors: Vec<Wide> = slopes.iter().map(|slope| *slope * scale).collect();
        let (factors, exponent) = together(&factors);
        each_column(&mut units, threads, |_, column| {
            for ((w, mean), factor) in column.iter_mut().zip(&means).zip(&factors) {
                *w = T::of((w.to_f64() - mean) * factor);
            }
        });
        Standardized { weights: Arc::new(units), exponent, slopes, divisor, gain }
    }
}

/// Weights that are standardized, units × fan-in.
pub struct Standardized<T: Real> {
    weights: Arc<DMatrix<T>>,
    /// The weights are in units of 2^this.
    exponent: i64,
    /// 1/√(variance + ε) of each unit, over the divisor.
    slopes: Vec<Wide>,
    divisor: f64,
    /// Of each unit, where it does something.
    gain: Option<Signal<T>>,
}

impl<T: Real> Standardized<T> {
    /// The weights times the gain as a source of products.
    pub fn dense(&self, threads: Threads) -> Dense<T> {
        let Some(gain) = &self.gain else {
            return Dense::given(Arc::clone(&self.weights)).times(Wide::new(1.0, self.exponent));
        };
        let (rows, columns) = self.weights.shape();
        let mut weights = zeros(rows, columns);
        let from = self.weights.as_slice();
        pieces::mapped(from, weights.as_mut_slice(), pieces::length(rows), threads, |from, to| {
            for (from, to) in from.chunks_exact(rows).zip(to.chunks_exact_mut(rows)) {
                let gains = gain.values.as_slice();
                to.iter_mut().zip(from).zip(gains).for_each(|((to, w), gain)| *to = *w * *gain);
            }
        });
        Dense::given(Arc::new(weights)).times(Wide::new(1.0, self.exponent + gain.exponent))
    }

    /// From the gradient of what [`Self::dense`] gives to that of the drawn weights, in units of 2^ of what is returned, and that of the
    /// gain before, a number and an exponent for all: gain·slope·(d − mean(d) − ŵ·mean(d·ŵ)), means over the fan-in, ŵ before the division,
    /// and Σ d·ŵ behind it.
    pub fn gradient(&self, d: &mut DMatrix<T>, threads: Threads) -> (i64, Vec<f64>, i64) {
        let unit = Wide::new(self.divisor, self.exponent).to_f64();
        let (slopes, exponent) = match &self.gain {
            None => together(&self.slopes),
            Some(gain) => {
                let gains = gain.values.iter().map(|entry| Wide::new(entry.to_f64(), gain.exponent));
                together(
                    &self.slopes.iter().zip(gains).map(|(slope, gain)| *slope * gain).collect::<Vec<_>>(),
                )
            }
        };
        let means = row_means(d, threads, |_, d| d);
        let rows = d.nrows().max(1);
        let weights = self.weights.as_slice();
        let of_piece = |first: usize, piece: &[T]| {
            let mut sums = vec![0.0; rows];
            for (d, w) in piece.chunks_exact(rows).zip(weights[first..].chunks_exact(rows)) {
                for ((sum, d), w) in sums.iter_mut().zip(d).zip(w) {
                    *sum += d.to_f64() * w.to_f64();
                }
            }
            sums
        };
        let sums = pieces::added(pieces::seen(d.as_slice(), pieces::length(rows), threads, of_piece));
        let slope_of = unit * unit / d.ncols() as f64;
        let along: Vec<f64> = sums.iter().map(|sum| sum * slope_of).collect();
        each_column(d, threads, |first, column| {
            let w = &weights[first..first + rows];
            for (row, (d, w)) in column.iter_mut().zip(w).enumerate() {
                *d = T::of((d.to_f64() - means[row] - w.to_f64() * along[row]) * slopes[row]);
            }
        });
        (exponent, sums, self.exponent)
    }
}

/// Calls with each column and the place of its first entry.
fn each_column<T: Real>(m: &mut DMatrix<T>, threads: Threads, work: impl Fn(usize, &mut [T]) + Sync + Send) {
    let rows = m.nrows().max(1);
    pieces::each(m.as_mut_slice(), pieces::length(rows), threads, |first, piece| {
        piece.chunks_exact_mut(rows).enumerate().for_each(|(k, column)| work(first + k * rows, column));
    });
}

/// Mean over the columns of what is made of each entry of a row.
fn row_means<T: Real>(
    m: &DMatrix<T>,
    threads: Threads,
    of: impl Fn(usize, f64) -> f64 + Sync + Send,
) -> Vec<f64> {
    let rows = m.nrows().max(1);
    let of_piece = |_: usize, piece: &[T]| {
        let mut sums = vec![0.0; rows];
        for column in piece.chunks_exact(rows) {
            sums.iter_mut().zip(column).enumerate().for_each(|(row, (sum, v))| *sum += of(row, v.to_f64()));
        }
        sums
    };
    let sums = pieces::added(pieces::seen(m.as_slice(), pieces::length(rows), threads, of_piece));
    sums.into_iter().map(|sum| sum / m.ncols() as f64).collect()
}

/// Numbers in units of one power of two, that of the largest, and its exponent.
fn together(numbers: &[Wide]) -> (Vec<f64>, i64) {
    let top = numbers.iter().filter(|w| !w.is_zero()).map(|w| w.exponent()).max().unwrap_or(0);
    (numbers.iter().map(|w| w.scaled(-top).to_f64()).collect(), top)
}
