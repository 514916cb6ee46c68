//! All positions of a sample become features, or those of an image a sequence, as behind the convolution that makes patches of it.
//! Nothing moves, for they lie that way.

use super::layer::{Assembler, Layer, LayerType, NewNode, Port, features, read};
use super::scale::Scale;
use super::{Activations, Context, Nature, Operator, Shape, Space, Unary, UnaryBackward};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, reshaped};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "flatten", fields: &[], read: read::<Spec> };

/// The positions of an image, row by row, as a sequence; likewise.
pub const SEQUENCE: LayerType = LayerType { name: "sequence", fields: &[], read: read::<SequenceSpec> };

/// It has no fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SequenceSpec {}

impl Layer for SequenceSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("sequence", inputs)?;
        let shape = Shape { space: Space::Sequence(input.shape.positions()), ..input.shape };
        let passing = Scale { by: 1.0 };
        to.node(NewNode::plain(passing, input, shape))
    }
}

/// It has no fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {}

impl Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("flatten", inputs)?;
        let out = Shape { channels: input.shape.size(), space: Space::Flat };
        to.node(NewNode::plain(Flatten { rows: out.channels }, input, out))
    }
}

/// A flattening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// Features behind it.
    pub rows: usize,
}

impl Operator for Flatten {
    fn nature(&self) -> Nature<'_> {
        Nature::Flatten
    }
}

/// Rows before flattening.
struct Tape(usize);

super::one_to_one!(Flatten);

impl<T: Real> Unary<T> for Flatten {
    fn apply(&self, x: Activations<T>, _: &mut Context<T>) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let before = x.signal.values.nrows();
        let signal = Rc::try_unwrap(x).map_or_else(|shared| shared.signal.clone(), |x| x.signal);
        (Rc::new(CachedSignal::from(reshaped(signal, self.rows))), Box::new(Tape(before)))
    }
}

impl<T: Real> UnaryBackward<T> for Tape {
    fn backward(self: Box<Self>, d: CachedSignal<T>, _: &mut Context<T>) -> Signal<T> {
        reshaped(d.signal, self.0)
    }
}
