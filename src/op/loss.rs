//! ∂C/∂H at the top of the stack.

use crate::law::draw::{Standard, matrix};
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::{Key, Part, Role};
use crate::numeric::wide::Wide;
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// What is differentiated at the top of the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Random linear read-out: ∂C/∂H_L iid N(0, 1), independent of the forward pass.
    #[default]
    Random,
    /// Mean over outputs and samples of (h − t)², targets t iid N(0, 1); PyTorch's `MSELoss`, as in training.
    Mse,
    /// Softmax cross-entropy, mean over the batch, against uniformly random classes.
    CrossEntropy,
}

/// The gradient with respect to the last activation `h` (n × B), of the same shape.
///
/// `h` may be a block of the rows of an output with `rows` of them, except for cross-entropy; `first` names the block's draws.
pub fn gradient<T: Real>(
    loss: Loss,
    h: &Signal<T>,
    rows: usize,
    (key, first): (Key, Part),
    threads: Threads,
) -> Signal<T> {
    let normal =
        || Signal::new(matrix(h.values.shape(), Standard::Normal, (key, Role::ReadOut, first), threads), 0);
    match loss {
        Loss::Random => normal(),
        Loss::Mse => {
            let target: Signal<T> = normal();
            h.clone()
                .plus(target.times(Wide::from(-1.0)))
                .times(Wide::from(2.0 / (rows as f64 * h.values.ncols() as f64)))
        }
        Loss::CrossEntropy => cross_entropy(h, key),
    }
}

/// The cross-entropy that [`gradient`] is of, the mean over the batch in nats; `None` of other losses, and beyond the doubles.
pub fn cross_entropy_value<T: Real>(loss: Loss, h: &Signal<T>, key: Key) -> Option<f64> {
    if loss != Loss::CrossEntropy {
        return None;
    }
    let (rows, batch) = h.values.shape();
    let mut rng = key.stream(Role::ReadOut, Part::Block(0));
    let one = |column: nalgebra::DVectorView<T>| {
        let class = rng.random_range(0..rows);
        let top = column.iter().map(|v| v.to_f64()).fold(f64::NEG_INFINITY, f64::max);
        let below = |v: T| Wide::new(v.to_f64() - top, h.exponent).to_f64();
        let total: f64 = column.iter().map(|v| below(*v).exp()).sum();
        total.ln() - below(column[class])
    };
    let total: f64 = h.values.column_iter().map(one).sum();
    Some(total / batch as f64).filter(|loss| loss.is_finite())
}

/// (softmax(h) − one-hot(class))/B, in the logarithm so that a hopeless class keeps its tiny gradient.
fn cross_entropy<T: Real>(h: &Signal<T>, key: Key) -> Signal<T> {
    let (rows, batch) = h.values.shape();
    let mut rng = key.stream(Role::ReadOut, Part::Block(0));
    let share = Wide::from(1.0 / batch as f64);
    let mut entries = Vec::with_capacity(rows * batch);
    for column in h.values.column_iter() {
        let class = rng.random_range(0..rows);
        let top = column.iter().map(|v| v.to_f64()).fold(f64::NEG_INFINITY, f64::max);
        // Differences of logits as doubles: beyond ±10³⁰⁰ their exponential is off the scale of anything.
        let below = |v: T| Wide::new(v.to_f64() - top, h.exponent).to_f64().max(-1e300);
        let weights: Vec<Wide> = column.iter().map(|v| Wide::exp(below(*v))).collect();
        let total = weights.iter().fold(Wide::ZERO, |sum, w| sum + *w);
        let others =
            weights.iter().enumerate().filter(|(i, _)| *i != class).fold(Wide::ZERO, |sum, (_, w)| sum + *w);
        let scale = total.recip() * share;
        // p − 1 = −Σ of the others, without cancellation.
        entries.extend(
            weights.iter().enumerate().map(|(i, w)| if i == class { -(others * scale) } else { *w * scale }),
        );
    }
    Signal::from_wide(rows, batch, &entries)
}
