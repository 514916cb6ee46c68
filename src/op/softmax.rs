//! pₖ = e^(xₖ)/Σⱼ e^(xⱼ) over the features of each position.
//!
//! The exponentials see the scores at their true scale, whatever power of two they carry. Where the scores lie so far apart that
//! all but one weight underflow, the gradient is computed in wide numbers: it is tiny, not zero. `attention` uses the same
//! functions.

use super::layer::{self, Assembler, LayerType, NewNode, Port, divided, features, read};
use super::samples::each_sample;
use super::{Activations, Context, Operator, Parameter, Shapes, Unary, UnaryBackward};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::{inner, max_abs, range, scale as scale_by, total};
use crate::numeric::wide::Wide;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "softmax", fields: &["heads", "causal"], read: read::<Spec> };

/// The fields of a softmax.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {
    /// So many groups of neighboring features, each with a softmax of its own.
    #[serde(default = "layer::one", skip_serializing_if = "layer::is_one")]
    heads: usize,
    /// A position sees as many features of its group as there are positions up to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    causal: bool,
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("softmax", inputs)?;
        let run = divided("heads", self.heads, input.shape.channels)?;
        let length = input.shape.positions();
        if self.causal && run != length {
            return Err(format!(
                "causal = true takes as many scores at each position as there are positions, not {run} at each of {length}"
            ));
        }
        let operator = Softmax { run, causal: self.causal, length };
        to.node(NewNode::plain(operator, input, input.shape))
    }
}

/// A softmax of groups of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Features of a group.
    pub run: usize,
    /// A position sees as many features of its group as there are positions up to it.
    pub causal: bool,
    /// Positions of a sample.
    pub length: usize,
}

impl Softmax {
    /// Features of a group that a position sees.
    fn seen(&self, position: usize) -> usize {
        if self.causal { position % self.length + 1 } else { self.run }
    }
}

impl Operator for Softmax {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        // An exponential counts as ten.
        16.0 * shapes.output_size() as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        8 * shapes.output_size() as u128 * samples as u128
    }
}

/// 2^exponent times a factor, as far as differences of scores can need it.
pub fn true_scale(factor: f64, exponent: i64) -> f64 {
    libm::scalbn(factor, exponent.clamp(-1000, 1000) as i32)
}

/// From scores to weights, in place: of the first `seen`, which are in units of 1/scale. The others get the weight zero.
pub fn weights<T: Real>(scores: &mut [T], seen: usize, scale: f64) {
    let (seen, hidden) = scores.split_at_mut(seen);
    hidden.fill(T::ZERO);
    let (_, top) = range(seen);
    if scale < 1e30 {
        exponentials(seen, top, T::of(scale));
    } else {
        // Beyond the clamp of the exponential nothing counts.
        let weight = |v: T| T::of(((v.to_f64() - top.to_f64()) * scale).max(-800.0).exp());
        seen.iter_mut().for_each(|v| *v = weight(*v));
    }
    let share = T::of(1.0 / total(seen));
    scale_by(seen, share, T::ONE);
}

crate::numeric::slice::for_each_machine! {
    fn exponentials<T: Real>(values: &mut [T], top: T, scale: T) {
        let least = T::of(-86.0);
        for v in values {
            let x = (*v - top) * scale;
            let e = x.max(least).exp();
            *v = if x < least { T::ZERO } else { e };
        }
    }
}

/// ln of the weights, in double precision.
fn logs<T: Real>(scores: &[T], scale: f64) -> Vec<f64> {
    let top = scores.iter().map(|v| v.to_f64()).fold(f64::NEG_INFINITY, f64::max);
    let logs: Vec<f64> = scores.iter().map(|v| ((v.to_f64() - top) * scale.min(1e300)).max(-1e300)).collect();
    let total: f64 = logs.iter().map(|l| l.exp()).sum();
    logs.into_iter().map(|l| l - total.ln()).collect()
}

crate::numeric::slice::for_each_machine! {
    /// The gradient of the scores p ⊙ (s − ⟨p, s⟩) from that of the weights s, in place of it.
    pub fn gradient<T: Real>(slopes: &mut [T], weights: &[T]) {
        let mean = T::of(inner(slopes, weights));
        slopes.iter_mut().zip(weights).for_each(|(s, p)| *s = *p * (*s - mean));
    }
}

/// The same in wide numbers, from the scores that a position sees, in units of 1/scale.
pub fn wide_gradient<T: Real>(scores: &[T], scale: f64, slopes: &[T], to: &mut [Wide]) {
    let logs = logs(scores, scale);
    let mean: f64 = logs.iter().zip(slopes).map(|(l, s)| l.exp() * s.to_f64()).sum();
    let largest = (0..logs.len()).fold(0, |best, k| if logs[k] > logs[best] { k } else { best });
    let mut others = Wide::ZERO;
    for key in (0..logs.len()).filter(|key| *key != largest) {
        let part = Wide::exp(logs[key]) * Wide::from(slopes[key].to_f64() - mean);
        to[key] = part;
        others = others + part;
    }
    // The gradient of a softmax sums to zero.
    to[largest] = -others;
}

/// The gradient of scores lies so far below that of the weights that it is to be computed in wide numbers.
pub fn is_lost<T: Real>(scores: &[T], weights: &[T]) -> bool {
    is_below(max_abs(scores), max_abs(weights))
}

/// The same of the largest of either.
pub fn is_below<T: Real>(scores: T, weights: T) -> bool {
    scores.to_f64() < 1e-20 * weights.to_f64()
}

struct Tape<T: Real> {
    softmax: Softmax,
    x: Activations<T>,
    weights: Activations<T>,
}

super::one_to_one!(Softmax);

impl<T: Real> Unary<T> for Softmax {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let scale = true_scale(1.0, x.signal.exponent);
        let mut values = x.signal.values.clone();
        let rows = values.nrows();
        each_sample(context.threads, context.batch, [values.as_mut_slice()], |_, [sample]| {
            for (position, column) in sample.chunks_exact_mut(rows).enumerate() {
                let seen = self.seen(position);
                column.chunks_exact_mut(self.run).for_each(|group| weights(group, seen, scale));
            }
        });
        let out = Rc::new(CachedSignal::from(Signal::new(values, 0)));
        (Rc::clone(&out), Box::new(Tape { softmax: *self, x, weights: out }))
    }
}

impl<T: Real> Tape<T> {
    /// ∂C/∂x in wide numbers.
    fn wide(&self, d: &Signal<T>) -> Signal<T> {
        let scale = true_scale(1.0, self.x.signal.exponent);
        let (rows, columns) = d.values.shape();
        let run = self.softmax.run;
        let mut all = vec![Wide::ZERO; rows * columns];
        let groups =
            self.x.signal.values.as_slice().chunks_exact(run).zip(d.values.as_slice().chunks_exact(run));
        for (index, ((scores, slopes), to)) in groups.zip(all.chunks_exact_mut(run)).enumerate() {
            let seen = self.softmax.seen(index / (rows / run));
            wide_gradient(&scores[..seen], scale, &slopes[..seen], to);
        }
        let wide = Signal::from_wide(rows, columns, &all);
        Signal::new(wide.values, wide.exponent + d.exponent)
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, _: &mut Context<T>) -> Signal<T> {
        let d = d.signal;
        let run = self.softmax.run;
        let mut dx = d.values.clone();
        // Mantissas of the weights: their exponent is that of the signal.
        let shares = &self.weights.signal;
        let groups = dx.as_mut_slice().chunks_exact_mut(run).zip(shares.values.as_slice().chunks_exact(run));
        groups.for_each(|(slopes, weights)| gradient(slopes, weights));
        if run > 1 && is_lost(dx.as_slice(), d.values.as_slice()) {
            return self.wide(&d);
        }
        Signal::new(dx, d.exponent)
    }
}
