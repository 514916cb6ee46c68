//! a ⊙ b: the product of two values, entry by entry, as a gate takes it; a second value of one position gates all positions of the
//! first.

use super::layer::{self, Assembler, LayerType, NewNode, Port, clash, read, two};
use super::{Activations, Backward, Context, Forward, Operator, Parameter, Shapes, exactly};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use nalgebra::DMatrix;
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
        multiplied(to, first, second).map(|port| vec![port])
    }
}

/// Adds the product of two values.
///
/// # Errors
/// Values of other shapes.
pub fn multiplied(to: &mut dyn Assembler, first: Port, second: Port) -> Result<Port, String> {
    let over_positions = second.shape.channels == first.shape.channels && second.shape.positions() == 1;
    if first.shape != second.shape && !over_positions {
        let needed = "mul takes inputs of one shape, or a second one of as many features at one position";
        return Err(clash(to, needed, &first, &second));
    }
    let positions = if first.shape == second.shape { 1 } else { first.shape.positions() };
    let node = NewNode::plain(Mul { positions }, first, first.shape);
    let [port] = exactly(to.node(NewNode { inputs: vec![first, second], ..node })?);
    Ok(port)
}

/// A product of two values, entry by entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mul {
    /// Positions of the first that each of the second gates.
    pub positions: usize,
}

impl Operator for Mul {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        3.0 * shapes.output_size() as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        4 * shapes.input_size() as u128 * samples as u128
    }
}

struct Tape<T: Real> {
    factors: [Activations<T>; 2],
    positions: usize,
}

/// Every column so many times, one beside the other.
fn repeated<T: Real>(signal: &Signal<T>, times: usize) -> Signal<T> {
    let values = &signal.values;
    let all = DMatrix::from_fn(values.nrows(), values.ncols() * times, |i, j| values[(i, j / times)]);
    Signal { values: all, exponent: signal.exponent }
}

/// Sums of so many neighboring columns.
fn summed<T: Real>(signal: Signal<T>, of: usize) -> Signal<T> {
    let rows = signal.values.nrows().max(1);
    let columns = signal.values.ncols() / of;
    let mut sums = DMatrix::from_element(rows, columns, T::ZERO);
    let all =
        sums.as_mut_slice().chunks_exact_mut(rows).zip(signal.values.as_slice().chunks_exact(rows * of));
    for (sum, part) in all {
        part.chunks_exact(rows).for_each(|column| sum.iter_mut().zip(column).for_each(|(s, v)| *s += *v));
    }
    Signal::new(sums, signal.exponent)
}

impl<T: Real> Forward<T> for Mul {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        _: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let [a, b] = exactly(inputs);
        let product = match self.positions {
            1 => a.signal.hadamard(&b.signal),
            times => a.signal.hadamard(&repeated(&b.signal, times)),
        };
        let tape = Tape { factors: [a, b], positions: self.positions };
        (vec![Rc::new(CachedSignal::from(product))], Box::new(tape))
    }
}

impl<T: Real> Backward<T> for Tape<T> {
    /// da = d ⊙ b and db = d ⊙ a.
    fn backward(self: Box<Self>, gradients: Vec<CachedSignal<T>>, _: &mut Context<T>) -> Vec<Signal<T>> {
        let ([d], [a, b]) = (exactly(gradients), self.factors);
        match self.positions {
            1 => vec![d.signal.hadamard(&b.signal), d.signal.hadamard(&a.signal)],
            times => {
                let all = repeated(&b.signal, times);
                vec![d.signal.hadamard(&all), summed(d.signal.hadamard(&a.signal), times)]
            }
        }
    }
}
