//! The product of two values of a sample, neither of which is a parameter: scores of queries and keys, and mixtures of positions.
//!
//! With L, M positions and K features, a column for each position, a sample of the first input is A, K × L. The second is
//! B, M × K, its positions the features of the first, and the output B·A; or, `transposed`, B is K × M and the output Bᵀ·A, the
//! scores of each position of the first with each of the second.

use super::layer::{self, Assembler, LayerType, NewNode, Port, clash, divided, read, two};
use super::samples::each_sample;
use super::{Activations, Backward, Context, Forward, Operator, Parameter, Shapes, exactly};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, View, product_to};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, widened};
use crate::numeric::slice::max_abs;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType =
    LayerType { name: "matmul", fields: &["transposed", "heads"], read: read::<Spec> };

/// The fields of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {
    /// The features of the second input, not its positions, are those of the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    transposed: bool,
    /// Groups of neighboring features that do not see one another.
    #[serde(default = "layer::one", skip_serializing_if = "layer::is_one")]
    heads: usize,
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let [first, second] = two("matmul", inputs)?;
        let width = divided("heads", self.heads, first.shape.channels)?;
        let features = divided("heads", self.heads, second.shape.channels)?;
        let (queries, keys) = (first.shape.positions(), second.shape.positions());
        let (needed, found) = if self.transposed { ("features", features) } else { ("positions", keys) };
        if width != found {
            let each = if self.heads == 1 { "" } else { " of each head" };
            let what = format!(
                "matmul multiplies the features{each} of its first input with the {needed} of its second"
            );
            let mut reason = clash(to, &what, &first, &second);
            if !self.transposed && width == features {
                reason += ": transposed = true takes them";
            }
            return Err(reason);
        }
        let units = if self.transposed {
            layer::sized("its output", &[self.heads, keys])?
        } else {
            second.shape.channels
        };
        let operator = Matmul { transposed: self.transposed, heads: self.heads, queries, keys };
        let node = NewNode::plain(operator, first, first.shape.with(units));
        to.node(NewNode { inputs: inputs.to_vec(), ..node })
    }
}

/// A product of two values, sample by sample and head by head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matmul {
    /// The second factor is transposed.
    pub transposed: bool,
    /// Groups of neighboring features that do not see one another.
    pub heads: usize,
    /// Positions of the first input.
    pub queries: usize,
    /// Positions of the second input.
    pub keys: usize,
}

impl Operator for Matmul {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        let channels = shapes.inputs.first().map_or(0, |shape| shape.channels);
        6.0 * (channels / self.heads) as f64 * shapes.output_size() as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        4 * shapes.input_size() as u128 * samples as u128
    }
}

/// One factor of a product: features × (positions·samples), in each sample and head transposed or not.
#[derive(Clone, Copy)]
struct Factor<'a, T: Real> {
    values: &'a DMatrix<T>,
    exponent: i64,
    positions: usize,
    transposed: bool,
}

impl<'a, T: Real> Factor<'a, T> {
    fn of(signal: &'a Signal<T>, positions: usize) -> Self {
        Self { values: &signal.values, exponent: signal.exponent, positions, transposed: false }
    }

    fn transposed_if(self, transposed: bool) -> Self {
        Self { transposed, ..self }
    }

    /// The same with other mantissas.
    fn with<W: Real>(self, values: &DMatrix<W>) -> Factor<'_, W> {
        let Self { exponent, positions, transposed, .. } = self;
        Factor { values, exponent, positions, transposed }
    }

    /// Rows and columns of a block.
    fn shape(&self, heads: usize) -> (usize, usize) {
        let width = self.values.nrows() / heads;
        if self.transposed { (self.positions, width) } else { (width, self.positions) }
    }

    /// The block of a sample and a head.
    fn block(&self, heads: usize, sample: usize, head: usize) -> View<'a, T> {
        let width = self.values.nrows() / heads;
        let block = View::plain(self.values)
            .columns(sample * self.positions, (sample + 1) * self.positions)
            .rows(head * width, (head + 1) * width);
        if self.transposed { block.transposed() } else { block }
    }
}

/// Mantissas of left·right in each sample and head.
fn mantissas<T: Real>(
    left: Factor<T>,
    right: Factor<T>,
    heads: usize,
    batch: usize,
    threads: Threads,
) -> DMatrix<T> {
    let (rows, columns) = (left.shape(heads).0, right.shape(heads).1);
    let mut out = DMatrix::from_element(rows * heads, columns * batch, T::ZERO);
    let within = if batch == 1 { threads } else { Threads::One };
    each_sample(threads, batch, [out.as_mut_slice()], |sample, [out]| {
        for head in 0..heads {
            let (left, right) = (left.block(heads, sample, head), right.block(heads, sample, head));
            product_to(&mut out[head * rows..], rows * heads, &left, &right, T::ONE, false, within);
        }
    });
    out
}

/// left·right in each sample and head.
fn product<T: Real>(left: Factor<T>, right: Factor<T>, heads: usize, context: &Context<T>) -> Signal<T> {
    let exponent = left.exponent + right.exponent;
    let (batch, threads) = (context.batch, context.threads);
    let plain = mantissas(left, right, heads, batch, threads);
    if max_abs(plain.as_slice()).to_f64() > 2f64.powi(-60) {
        return Signal::new(plain, exponent);
    }
    // The large entries of one met the small entries of the other: multiply where that cannot underflow.
    let (a, b) = (widened(left.values), widened(right.values));
    let wide = mantissas(left.with(&a), right.with(&b), heads, batch, threads);
    let top = max_abs(wide.as_slice());
    let shift = if top == 0.0 { 0 } else { libm::ilogb(top) };
    Signal::new(wide.map(|v| T::of(libm::scalbn(v, -shift))), exponent + i64::from(shift))
}

struct Tape<T: Real> {
    matmul: Matmul,
    first: Activations<T>,
    second: Activations<T>,
}

impl<T: Real> Forward<T> for Matmul {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        context: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let [first, second] = exactly(inputs);
        let left = Factor::of(&second.signal, self.keys).transposed_if(self.transposed);
        let out = product(left, Factor::of(&first.signal, self.queries), self.heads, context);
        (vec![Rc::new(CachedSignal::from(out))], Box::new(Tape { matmul: *self, first, second }))
    }
}

impl<T: Real> Backward<T> for Tape<T> {
    fn backward(
        self: Box<Self>,
        gradients: Vec<CachedSignal<T>>,
        context: &mut Context<T>,
    ) -> Vec<Signal<T>> {
        let [d] = exactly(gradients);
        let Matmul { transposed, heads, queries, keys } = self.matmul;
        let d = Factor::of(&d.signal, queries);
        let (first, second) =
            (Factor::of(&self.first.signal, queries), Factor::of(&self.second.signal, keys));
        let of_first = product(second.transposed_if(!transposed), d, heads, context);
        let of_second = if transposed {
            product(first, d.transposed_if(true), heads, context)
        } else {
            product(d, first.transposed_if(true), heads, context)
        };
        vec![of_first, of_second]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::stream::Key;

    #[test]
    fn a_product_of_small_entries_does_not_underflow_beside_large_ones() {
        let value = |entries: &[f32]| {
            let values = DMatrix::from_column_slice(1, entries.len(), entries);
            Rc::new(CachedSignal::from(Signal::new(values, 0)))
        };
        let key = Key { seed: 1, trial: 0, layer: 0 };
        let mut context = Context::new((&[], &[]), 0, key, 2, Threads::One);
        let matmul = Matmul { transposed: false, heads: 1, queries: 1, keys: 1 };
        let inputs = || vec![value(&[1e-25, 1.0]), value(&[1e-25, 0.0])];
        let (out, back) = matmul.forward(inputs(), &mut context);
        let log = |signal: &Signal<f32>, column: usize| signal.entry(0, column).log10_abs();
        assert!((log(&out[0].signal, 0).unwrap() + 50.0).abs() < 1e-5 && log(&out[0].signal, 1).is_none());
        let [of_first, of_second] = exactly(
            back.backward(vec![Signal::new(DMatrix::from_element(1, 2, 1f32), 7000).into()], &mut context),
        );
        let shift = 7000.0 * 2f64.log10();
        assert!((log(&of_first, 0).unwrap() + 25.0 - shift).abs() < 1e-5);
        assert!((log(&of_second, 1).unwrap() - shift).abs() < 1e-5);
    }
}
