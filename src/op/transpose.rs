//! Features as positions and positions as features, so that a linear layer mixes positions (Tolstikhin et al. 2021, MLP-Mixer).

use super::layer::{self, Assembler, LayerType, NewNode, Port, read};
use super::samples::each_sample;
use super::{Activations, Context, Operator, Shape, Space, Unary, UnaryBackward};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "transpose", fields: &[], read: read::<Spec> };

/// It has no fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let (input, length) = layer::sequence("transpose", inputs)?;
        let features = input.shape.channels;
        let out = Shape { channels: length, space: Space::Sequence(features) };
        to.node(NewNode::plain(Transpose { length, features }, input, out))
    }
}

/// A transposition of each sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// Positions that come in.
    pub length: usize,
    /// Features that come in.
    pub features: usize,
}

impl Operator for Transpose {}

/// Entries of a cache line in single precision.
const SIDE: usize = 16;

/// Each sample, of columns of so many entries, with its columns as rows.
fn transposed<T: Real>(x: &Signal<T>, rows: usize, batch: usize, threads: Threads) -> Signal<T> {
    let columns = x.values.ncols() / batch.max(1);
    let entries = x.values.as_slice();
    let mut values = DMatrix::from_element(columns, rows * batch, T::ZERO);
    each_sample(threads, batch, [values.as_mut_slice()], |sample, [out]| {
        let from = &entries[sample * rows * columns..][..rows * columns];
        // Tile by tile: a whole row at once would miss the cache at every step.
        for left in (0..columns).step_by(SIDE) {
            for top in (0..rows).step_by(SIDE) {
                for row in top..(top + SIDE).min(rows) {
                    let to = &mut out[row * columns + left..][..SIDE.min(columns - left)];
                    let from = from[left * rows + row..].iter().step_by(rows);
                    to.iter_mut().zip(from).for_each(|(to, v)| *to = *v);
                }
            }
        }
    });
    Signal { values, exponent: x.exponent }
}

super::one_to_one!(Transpose);

impl<T: Real> Unary<T> for Transpose {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let out = transposed(&x.signal, self.features, context.batch, context.threads);
        (Rc::new(CachedSignal::from(out)), Box::new(*self))
    }
}

impl<T: Real> UnaryBackward<T> for Transpose {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        transposed(&d.signal, self.length, context.batch, context.threads)
    }
}
