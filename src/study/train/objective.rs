//! What training lowers: cost, hits and gradient of a batch against its classes.

use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, power_of_two};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

/// Cost of outputs (classes × samples) against a class a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// −ln softmax of the class, the mean over samples; torch's `CrossEntropyLoss`.
    #[default]
    CrossEntropy,
    /// (output − one-hot)², the mean over outputs and samples; torch's `MSELoss`.
    Mse,
}

/// Cost and hits of some samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Sum of the samples' costs.
    pub cost: f64,
    /// Samples whose class has the largest output.
    pub hits: u32,
    /// Samples.
    pub samples: u32,
}

impl Outcome {
    /// Cost and hits of both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            cost: self.cost + other.cost,
            hits: self.hits + other.hits,
            samples: self.samples + other.samples,
        }
    }
}

impl Objective {
    /// The outcome, and ∂C/∂output with C the mean over `batch` samples, of which these may be a part.
    pub fn evaluate<T: Real>(self, out: &Signal<T>, classes: &[u32], batch: usize) -> (Outcome, Signal<T>) {
        let (rows, columns) = out.values.shape();
        let scale = power_of_two::<f64>(out.exponent);
        let share = 1.0 / batch as f64;
        let mut gradient = DMatrix::from_element(rows, columns, T::ZERO);
        let mut outcome = Outcome { samples: columns as u32, ..Outcome::default() };
        let mut plain = vec![0.0; rows];
        let slopes = gradient.as_mut_slice().chunks_exact_mut(rows);
        for ((column, slopes), class) in out.values.as_slice().chunks_exact(rows).zip(slopes).zip(classes) {
            let class = *class as usize;
            plain.iter_mut().zip(column).for_each(|(p, v)| *p = v.to_f64() * scale);
            // The first of equal outputs, as argmax of NumPy and torch.
            let best = (1..rows).fold(0, |best, k| if plain[k] > plain[best] { k } else { best });
            outcome.hits += u32::from(best == class && plain[class].is_finite());
            match self {
                Self::CrossEntropy => {
                    let top = plain[best];
                    let own = plain[class] - top;
                    plain.iter_mut().for_each(|p| *p = (*p - top).exp());
                    let total: f64 = plain.iter().sum();
                    outcome.cost += total.ln() - own;
                    for (k, (slope, p)) in slopes.iter_mut().zip(&plain).enumerate() {
                        let one = if k == class { 1.0 } else { 0.0 };
                        *slope = T::of((p / total - one) * share);
                    }
                }
                Self::Mse => {
                    let mut square = 0.0;
                    for (k, (slope, p)) in slopes.iter_mut().zip(&plain).enumerate() {
                        let gap = p - if k == class { 1.0 } else { 0.0 };
                        square += gap * gap;
                        *slope = T::of(2.0 * gap / rows as f64 * share);
                    }
                    outcome.cost += square / rows as f64;
                }
            }
        }
        (outcome, Signal::new(gradient, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_and_gradients_against_differences() {
        let z = DMatrix::from_column_slice(3, 2, &[0.3, -1.2, 2.0, 0.1, 0.0, -0.4f64]);
        for objective in [Objective::CrossEntropy, Objective::Mse] {
            let cost = |z: &DMatrix<f64>| {
                objective.evaluate(&Signal::new(z.clone() * 4.0, -2), &[1, 0], 2).0.cost / 2.0
            };
            let (outcome, slopes) = objective.evaluate(&Signal::new(z.clone(), 0), &[1, 0], 2);
            assert_eq!((outcome.hits, outcome.samples), (1, 2));
            for place in 0..6 {
                let at = |delta: f64| {
                    let mut z = z.clone();
                    z[place] += delta;
                    cost(&z)
                };
                let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                let slope = slopes.values[place] * 2f64.powi(slopes.exponent as i32);
                assert!((slope - difference).abs() < 1e-8, "{objective:?} {place}: {slope} {difference}");
            }
        }
        // ln 10 where all outputs are equal, and the first class is taken.
        let (outcome, _) =
            Objective::CrossEntropy.evaluate(&Signal::new(DMatrix::<f32>::zeros(10, 1), 0), &[0], 1);
        assert!((outcome.cost - 10f64.ln()).abs() < 1e-12 && outcome.hits == 1);
    }
}
