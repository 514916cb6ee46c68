//! a ⊙ b: the product of two values, entry by entry, as a gate takes it.

use super::layer::{self, Assembler, LayerType, NewNode, Port, clash, read, two};
use super::{Activations, Backward, Context, Forward, Operator, Parameter, Shapes, exactly};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "mul", fields: &[], read: read::<Spec> };

/// It has no fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let [first, second] = two("mul", inputs)?;
        if first.shape != second.shape {
            return Err(clash(to, "mul takes inputs of one shape", &first, &second));
        }
        to.node(NewNode { inputs: inputs.to_vec(), ..NewNode::plain(Mul, first, first.shape) })
    }
}

/// A product of two values, entry by entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mul;

impl Operator for Mul {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        3.0 * shapes.output_size() as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        4 * shapes.input_size() as u128 * samples as u128
    }
}

struct Tape<T: Real>([Activations<T>; 2]);

impl<T: Real> Forward<T> for Mul {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        _: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let [a, b] = exactly(inputs);
        let product = a.signal.hadamard(&b.signal);
        (vec![Rc::new(CachedSignal::from(product))], Box::new(Tape([a, b])))
    }
}

impl<T: Real> Backward<T> for Tape<T> {
    /// da = d ⊙ b and db = d ⊙ a.
    fn backward(self: Box<Self>, gradients: Vec<CachedSignal<T>>, _: &mut Context<T>) -> Vec<Signal<T>> {
        let ([d], [a, b]) = (exactly(gradients), self.0);
        vec![d.signal.hadamard(&b.signal), d.signal.hadamard(&a.signal)]
    }
}
