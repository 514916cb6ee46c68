//! a ⊙ b: the product of two values, entry by entry, as a gate takes it; a second value of one position gates all positions of the
//! first.

use super::layer::{self, Assembler, LayerType, NewNode, Port, clash, read, two};
use super::{Activations, Backward, Context, Forward, Operator, Parameter, Shapes, exactly};
use crate::numeric::cached::CachedSignal;
use crate::numeric::pieces;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::{LEAST, Signal, zeros};
use crate::numeric::slice::{add_product, max_abs, multiply_into};
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

/// Every column of the second times so many neighboring columns of the first.
fn gated<T: Real>(signal: &Signal<T>, gate: &Signal<T>, times: usize, threads: Threads) -> Signal<T> {
    if times == 1 {
        return signal.hadamard_shared(gate, threads);
    }
    let (rows, columns) = signal.values.shape();
    let (entries, gates) = (signal.values.as_slice(), gate.values.as_slice());
    let mut values = zeros(rows, columns);
    let unit = rows.max(1);
    let tops = pieces::each(values.as_mut_slice(), pieces::length(unit), threads, |first, piece| {
        let from = entries[first..].chunks_exact(unit);
        let products = piece.chunks_exact_mut(unit).zip(from).enumerate().map(|(index, (to, from))| {
            let column = (first / unit + index) / times;
            multiply_into(to, from, &gates[column * unit..][..unit])
        });
        products.fold(T::ZERO, T::max)
    });
    match max_abs(&tops).to_f64() {
        top if top > LEAST => {
            Signal { values, exponent: signal.exponent + gate.exponent }.normalized_from(&tops)
        }
        _ => signal.hadamard(&repeated(gate, times)),
    }
}

/// Sums over so many neighboring columns of the products of two signals.
fn summed_product<T: Real>(a: &Signal<T>, b: &Signal<T>, times: usize, threads: Threads) -> Signal<T> {
    if times == 1 {
        return a.hadamard_shared(b, threads);
    }
    let rows = a.values.nrows().max(1);
    let columns = a.values.ncols() / times;
    let b_entries = b.values.as_slice();
    let found = pieces::seen(a.values.as_slice(), rows * times, threads, |first, piece| {
        let mut sums = vec![0.0; rows];
        let columns = piece.chunks_exact(rows).zip(b_entries[first..].chunks_exact(rows));
        let top = columns.map(|(a, b)| add_product(&mut sums, a, b)).fold(T::ZERO, T::max);
        (top, sums.into_iter().map(T::of).collect::<Vec<T>>())
    });
    let (tops, sums): (Vec<T>, Vec<Vec<T>>) = found.into_iter().unzip();
    match max_abs(&tops).to_f64() {
        top if top > LEAST => {
            Signal::new(DMatrix::from_vec(rows, columns, sums.concat()), a.exponent + b.exponent)
        }
        _ => summed(a.hadamard(b), times),
    }
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
        context: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let [a, b] = exactly(inputs);
        let product = gated(&a.signal, &b.signal, self.positions, context.threads);
        let tape = Tape { factors: [a, b], positions: self.positions };
        (vec![Rc::new(CachedSignal::from(product))], Box::new(tape))
    }
}

impl<T: Real> Backward<T> for Tape<T> {
    /// da = d ⊙ b and db = d ⊙ a.
    fn backward(
        self: Box<Self>,
        gradients: Vec<CachedSignal<T>>,
        context: &mut Context<T>,
    ) -> Vec<Signal<T>> {
        let ([d], [a, b]) = (exactly(gradients), self.factors);
        let (d, threads) = (&d.signal, context.threads);
        let of_gate = summed_product(d, &a.signal, self.positions, threads);
        vec![gated(d, &b.signal, self.positions, threads), of_gate]
    }
}
