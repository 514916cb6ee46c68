//! A learned token before a sequence, which attention fills and a classifier reads (Devlin et al. 2019; Dosovitskiy et al. 2021).

use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewNode, Port, read, single};
use super::{Activations, Context, Operator, Shape, Shapes, Space, Unary, UnaryBackward, WantedVector};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, reshaped, stacked, unstacked};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "class-token", fields: &["init"], read: read::<Spec> };

/// The fields of a class token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Law of its entries; zeros where it is left out (torchvision/models/vision_transformer.py).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<String>,
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = single("class-token", inputs)?;
        let Space::Sequence(length) = input.shape.space else {
            return Err(format!(
                "class-token takes a sequence [length, features], not {}: `sequence` makes one of an image",
                input.shape
            ));
        };
        let space = Space::Sequence(length.checked_add(1).ok_or("its sequence is too long")?);
        let init = self.init.clone().map(BiasSpec::Law);
        let channels = input.shape.channels;
        let wanted = WantedVector {
            kind: "token",
            length: channels,
            init: init.as_ref(),
            usual: "zeros",
            neutral: 0.0,
        };
        let vectors = vec![to.vector(&wanted)];
        to.node(NewNode { vectors, ..NewNode::plain(Token, input, Shape { channels, space }) })
    }
}

/// A token before a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token;

impl Operator for Token {
    fn tape_bytes(&self, _: &Shapes, _: usize) -> u128 {
        0
    }
}

/// Channels, and entries of a sample that came in.
struct Tape {
    channels: usize,
    size: usize,
}

super::one_to_one!(Token);

impl<T: Real> Unary<T> for Token {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let (channels, batch) = (x.signal.values.nrows(), context.batch);
        let size = x.signal.values.len() / batch.max(1);
        let token = match context.vector(0) {
            Some(token) => {
                let values = DMatrix::from_fn(channels, batch, |i, _| token.values[(i, 0)]);
                Signal { values, exponent: token.exponent }
            }
            None => Signal::new(DMatrix::from_element(channels, batch, T::ZERO), 0),
        };
        // A sample's positions lie one behind the other: so does the token before them.
        let all = stacked(&[token, reshaped(x.signal.clone(), size)]);
        let out = Rc::new(CachedSignal::from(reshaped(all, channels)));
        (out, Box::new(Tape { channels, size }))
    }
}

impl<T: Real> UnaryBackward<T> for Tape {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let Self { channels, size } = *self;
        let parts = unstacked(&reshaped(d.signal, channels + size), &[channels, size]);
        let [token, rest] = super::exactly(parts);
        if context.gradients.is_some() {
            let sums: Vec<f64> =
                token.values.row_iter().map(|row| row.iter().map(|v| v.to_f64()).sum()).collect();
            context.collect(0, &sums, token.exponent);
        }
        reshaped(rest, channels)
    }
}
