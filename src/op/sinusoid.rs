//! Positions that are not learnt: sines and cosines of each position at rates that fall from 1 to 1/10000, as a geometric sequence.

use super::layer::{self, Assembler, NewNode, Port};
use super::{Activations, Context, Nature, Operator, Shapes, Unary, UnaryBackward};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// The order of sines and cosines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sinusoids {
    /// sin(m/10000^(2i/width)) at feature 2i of position m, and its cosine behind it (Vaswani et al. 2017, § 3.5).
    #[serde(rename = "sinusoidal")]
    Interleaved,
    /// All sines before all cosines, sin(m/10000^(i/(width/2 − 1))) at feature i (whisper/model.py, `sinusoids`).
    #[serde(rename = "sinusoidal-halves")]
    Halves,
}

impl Sinusoids {
    /// Fits so many features.
    ///
    /// # Errors
    /// Halves of an odd number, or of one rate each.
    pub fn check(self, features: usize) -> Result<(), String> {
        match self {
            Self::Halves if features < 4 || !features.is_multiple_of(2) => {
                Err(format!("sinusoidal-halves needs an even number of features from 4 on, not {features}"))
            }
            _ => Ok(()),
        }
    }

    /// What every sample gets, features × positions.
    fn table<T: Real>(self, features: usize, length: usize) -> DMatrix<T> {
        let half = features / 2;
        // The exponent of a feature's rate, and whether it is a sine.
        let of = |feature: usize| match self {
            Self::Interleaved => {
                ((feature - feature % 2) as f64 / features as f64, feature.is_multiple_of(2))
            }
            Self::Halves => ((feature % half) as f64 / (half as f64 - 1.0), feature < half),
        };
        let rates: Vec<(f64, bool)> =
            (0..features).map(of).map(|(power, sine)| (1e4f64.powf(-power), sine)).collect();
        DMatrix::from_fn(features, length, |feature, position| {
            let (rate, sine) = rates[feature];
            let angle = position as f64 * rate;
            T::of(if sine { angle.sin() } else { angle.cos() })
        })
    }

    /// The sum of features × (positions·samples) with it.
    pub fn added_to<T: Real>(self, x: Signal<T>, length: usize) -> Signal<T> {
        let (features, columns) = x.values.shape();
        let added = self.table::<T>(features, length);
        let all = added.as_slice().iter().copied().cycle().take(features * columns);
        x.plus(Signal::new(DMatrix::from_iterator(features, columns, all), 0))
    }
}

/// Adds them behind a value.
///
/// # Errors
/// What is no sequence, or a width that they do not fit.
pub fn assemble(to: &mut dyn Assembler, inputs: &[Port], form: Sinusoids) -> Result<Vec<Port>, String> {
    let (input, length) = layer::sequence("positions", inputs)?;
    form.check(input.shape.channels)?;
    let operator = AddSinusoids { form, length };
    to.node(NewNode::plain(operator, input, input.shape))
}

/// The sum with sinusoids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddSinusoids {
    /// Their order.
    pub form: Sinusoids,
    /// Positions of a sample.
    pub length: usize,
}

impl Operator for AddSinusoids {
    fn operations(&self, shapes: &Shapes, _: &[&super::Parameter]) -> f64 {
        shapes.output_size() as f64
    }

    fn tape_bytes(&self, _: &Shapes, _: usize) -> u128 {
        0
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Passing
    }
}

super::one_to_one!(AddSinusoids);

impl<T: Real> Unary<T> for AddSinusoids {
    fn apply(&self, x: Activations<T>, _: &mut Context<T>) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let sum = self.form.added_to(super::owned(x), self.length);
        (Rc::new(CachedSignal::from(sum)), Box::new(*self))
    }
}

impl<T: Real> UnaryBackward<T> for AddSinusoids {
    fn backward(self: Box<Self>, d: CachedSignal<T>, _: &mut Context<T>) -> Signal<T> {
        d.signal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of zeros with what is added, in both of two samples.
    fn added(form: Sinusoids, wanted: impl Fn(f64) -> [f64; 4]) {
        let rows = form.added_to(Signal::new(DMatrix::from_element(4, 6, 0.0f64), 0), 3);
        for (column, m) in [0.0f64, 1.0, 2.0, 0.0, 1.0, 2.0].into_iter().enumerate() {
            for (feature, wanted) in wanted(m).into_iter().enumerate() {
                assert!((rows.entry(feature, column).to_f64() - wanted).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn sinusoids_are_those_of_the_papers() {
        // PE(m, 2i) = sin(m/10000^(2i/4)), PE(m, 2i + 1) = cos(m/10000^(2i/4)).
        added(Sinusoids::Interleaved, |m| [m.sin(), m.cos(), (m / 100.0).sin(), (m / 100.0).cos()]);
        // Rates 1 and 1/10000.
        added(Sinusoids::Halves, |m| [m.sin(), (m / 1e4).sin(), m.cos(), (m / 1e4).cos()]);
        assert!(Sinusoids::Halves.check(2).is_err() && Sinusoids::Halves.check(5).is_err());
        assert!(Sinusoids::Halves.check(4).is_ok() && Sinusoids::Interleaved.check(5).is_ok());
    }
}
