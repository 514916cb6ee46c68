//! Weight standardization (Qiao et al. 2019): each unit's weights over its fan-in become (w − mean)/√(variance + ε), in scaled weight
//! standardization (Brock et al. 2021) divided by √fan_in beside.
//!
//! The variance and ε meet as wide numbers, as in norms, so weights of any scale meet ε as they would in exact arithmetic.

use super::conv::with_all_taps;
use super::parameter::Parameter;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::wide::Wide;
use crate::weights::Dense;
use nalgebra::DMatrix;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::sync::Arc;

/// How the weights of a layer are standardized, and its field in an architecture file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Standardize {
    /// Added to the variance.
    pub eps: f64,
    /// What the standardized weights are divided by.
    pub scale: Divisor,
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

/// The field as a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default = "eps")]
    eps: f64,
    #[serde(default)]
    scale: Divisor,
}

fn eps() -> f64 {
    1e-5
}

/// Reads the field: true and false, or a table.
///
/// # Errors
/// Anything else.
pub fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Standardize>, D::Error> {
    deserializer.deserialize_any(Forms)
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Option<Standardize>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("true, false or a table such as { eps = 1e-5, scale = \"fan-in\" }")
    }

    fn visit_bool<E: de::Error>(self, has: bool) -> Result<Self::Value, E> {
        Ok(has.then(|| Standardize { eps: eps(), scale: Divisor::None }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Fields { eps, scale } = Fields::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Some(Standardize { eps, scale }))
    }
}

impl Standardize {
    /// The field holds what can be computed.
    ///
    /// # Errors
    /// An ε that is no number from 0 on.
    pub fn check(&self) -> Result<(), String> {
        match self.eps.is_finite() && self.eps >= 0.0 {
            true => Ok(()),
            false => Err(format!("standardize: eps = {} is not a number from 0 on", self.eps)),
        }
    }

    /// The standardized weights of a parameter.
    pub fn weights<T: Real>(
        &self,
        parameter: &Parameter,
        dense: &mut Dense<T>,
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
        let means = row_means(&units, |_, w| w);
        let variances = row_means(&units, |row, w| (w - means[row]).powi(2));
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
        for mut column in units.column_iter_mut() {
            for (row, w) in column.iter_mut().enumerate() {
                *w = T::of((w.to_f64() - means[row]) * factors[row]);
            }
        }
        Standardized { weights: Arc::new(units), exponent, slopes, divisor }
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
}

impl<T: Real> Standardized<T> {
    /// The weights as a source of products.
    pub fn dense(&self) -> Dense<T> {
        Dense::given(Arc::clone(&self.weights)).times(Wide::new(1.0, self.exponent))
    }

    /// From the gradient of the standardized weights to that of the weights, in units of 2^ of what is returned:
    /// slope·(d − mean(d) − ŵ·mean(d·ŵ)), means over the fan-in, ŵ before the division.
    pub fn gradient(&self, d: &mut DMatrix<T>) -> i64 {
        let unit = Wide::new(self.divisor, self.exponent).to_f64();
        let (slopes, exponent) = together(&self.slopes);
        let means = row_means(d, |_, d| d);
        let products = {
            let mut sums = vec![0.0; d.nrows()];
            for (d, w) in d.column_iter().zip(self.weights.column_iter()) {
                for ((sum, d), w) in sums.iter_mut().zip(d.iter()).zip(w.iter()) {
                    *sum += d.to_f64() * w.to_f64();
                }
            }
            sums.into_iter().map(|sum| sum * unit / d.ncols() as f64).collect::<Vec<f64>>()
        };
        for (mut d, w) in d.column_iter_mut().zip(self.weights.column_iter()) {
            for (row, (d, w)) in d.iter_mut().zip(w.iter()).enumerate() {
                let along = w.to_f64() * unit * products[row];
                *d = T::of((d.to_f64() - means[row] - along) * slopes[row]);
            }
        }
        exponent
    }
}

/// Mean over the columns of what is made of each entry of a row.
fn row_means<T: Real>(m: &DMatrix<T>, of: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; m.nrows()];
    for column in m.column_iter() {
        sums.iter_mut()
            .zip(column.iter())
            .enumerate()
            .for_each(|(row, (sum, v))| *sum += of(row, v.to_f64()));
    }
    sums.into_iter().map(|sum| sum / m.ncols() as f64).collect()
}

/// Numbers in units of one power of two, that of the largest, and its exponent.
fn together(numbers: &[Wide]) -> (Vec<f64>, i64) {
    let top = numbers.iter().filter(|w| !w.is_zero()).map(|w| w.exponent()).max().unwrap_or(0);
    (numbers.iter().map(|w| w.scaled(-top).to_f64()).collect(), top)
}
