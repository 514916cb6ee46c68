//! The channels of several values, one below the other at each position.

use super::layer::{self, Assembler, LayerType, NewNode, Port, clash, read, several};
use super::{Activations, Backward, Context, Forward, Operator, exactly};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, stacked_shared, unstacked_shared};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "concat", fields: &[], read: read::<Spec> };

/// It has no fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let first = several("concat", inputs)?;
        if let Some(other) = inputs.iter().find(|port| port.shape.space != first.shape.space) {
            return Err(clash(to, "concat takes inputs with the same positions", &first, other));
        }
        join(to, first, inputs)
    }
}

/// Adds a concatenation of values with the positions of the first.
///
/// # Errors
/// An output that is too large.
pub fn join(to: &mut dyn Assembler, first: Port, inputs: &[Port]) -> Result<Vec<Port>, String> {
    let rows: Vec<usize> = inputs.iter().map(|port| port.shape.channels).collect();
    let channels = layer::total("its channels", &rows)?;
    let node = NewNode::plain(Concat { rows }, first, first.shape.with(channels));
    to.node(NewNode { inputs: inputs.to_vec(), ..node })
}

/// A concatenation of channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concat {
    /// Channels of each input.
    pub rows: Vec<usize>,
}

impl Operator for Concat {}

impl<T: Real> Forward<T> for Concat {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        context: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let parts: Vec<&Signal<T>> = inputs.iter().map(|input| &input.signal).collect();
        let all = stacked_shared(&parts, context.threads);
        (vec![Rc::new(CachedSignal::from(all))], Box::new(self.clone()))
    }
}

impl<T: Real> Backward<T> for Concat {
    fn backward(
        self: Box<Self>,
        gradients: Vec<CachedSignal<T>>,
        context: &mut Context<T>,
    ) -> Vec<Signal<T>> {
        let [d] = exactly(gradients);
        unstacked_shared(&d.signal, &self.rows, context.threads)
    }
}
