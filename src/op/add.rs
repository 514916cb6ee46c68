//! Σ factorₖ·xₖ: the sum that ends a residual block, and sums of any values.

use super::layer::{self, Assembler, LayerType, NewEntry, NewNode, Port, clash, read, several};
use super::{Activations, Backward, Context, Forward, Nature, Operator, Parameter, Shapes, exactly, owned};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::wide::Wide;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "add", fields: &[], read: read::<Spec> };

/// It has no fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let first = several("add", inputs)?;
        if let Some(other) = inputs.iter().find(|port| port.shape != first.shape) {
            return Err(clash(to, "add takes inputs of one shape", &first, other));
        }
        sum(to, "add", inputs, vec![1.0; inputs.len()])
    }
}

/// Adds the sum of some values of one shape, each times its factor, with a line of the result of this kind.
///
/// # Errors
/// More lines or operators than a network may have.
pub fn sum(
    to: &mut dyn Assembler,
    kind: &'static str,
    inputs: &[Port],
    factors: Vec<f64>,
) -> Result<Vec<Port>, String> {
    let [first, ..] = inputs else { return Err(format!("{kind} of no values")) };
    let (channels, positions) = (first.shape.channels, first.shape.positions());
    let fans = (channels, channels);
    let entry =
        to.entry(&NewEntry { part: None, kind, fans, units: channels, positions, weighted: false })?;
    to.node(NewNode {
        inputs: inputs.to_vec(),
        entry: Some(entry),
        ..NewNode::plain(Add { factors }, *first, first.shape)
    })
}

/// A sum of values, each times a factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    /// One for each input.
    pub factors: Vec<f64>,
}

impl Operator for Add {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        2.0 * shapes.input_size() as f64
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Sum
    }
}

fn scaled<T: Real>(signal: Signal<T>, factor: f64) -> Signal<T> {
    if factor == 1.0 { signal } else { signal.times(Wide::from(factor)) }
}

impl<T: Real> Forward<T> for Add {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        context: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let terms = inputs.into_iter().map(owned).zip(&self.factors);
        let sum = terms
            .map(|(value, factor)| scaled(value, *factor))
            .reduce(|sum, term| sum.plus_shared(term, context.threads));
        let sum = sum.unwrap_or_else(Signal::empty);
        (vec![Rc::new(CachedSignal::from(sum))], Box::new(self.clone()))
    }
}

impl<T: Real> Backward<T> for Add {
    fn backward(self: Box<Self>, gradients: Vec<CachedSignal<T>>, _: &mut Context<T>) -> Vec<Signal<T>> {
        let [d] = exactly(gradients);
        let Some((last, others)) = self.factors.split_last() else { return Vec::new() };
        let mut parts: Vec<_> = others.iter().map(|factor| scaled(d.signal.clone(), *factor)).collect();
        parts.push(scaled(d.signal, *last));
        parts
    }
}
