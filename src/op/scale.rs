//! by·x: every entry times one constant.

use super::forms::{BiasSpec, Factor};
use super::layer::{self, Assembler, LayerType, NewNode, Port, features, read};
use super::{
    Activations, Context, Nature, Operator, Parameter, Shapes, Unary, UnaryBackward, WantedVector, affine,
    owned,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::wide::Wide;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "scale", fields: &["by", "trainable"], read: read::<Spec> };

/// The fields of a scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// The factor, or a formula for it in the width.
    by: Factor,
    /// The factor is a parameter, as in ReZero (Bachlechner et al. 2021) and SkipInit (De & Smith 2020).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    trainable: bool,
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("scale", inputs)?;
        let by = self.by.value("by", input.shape.channels)?;
        if !by.is_finite() {
            return Err(format!("by = {by} is not a finite number"));
        }
        if self.trainable {
            let init = BiasSpec::Law(format!("constant({by})"));
            let factor =
                WantedVector { kind: "factor", length: 1, init: Some(&init), usual: "zeros", neutral: 1.0 };
            return affine::assemble(to, input, input.shape.channels, Some(factor), None);
        }
        to.node(NewNode::plain(Scale { by }, input, input.shape))
    }
}

/// A product with a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The factor.
    pub by: f64,
}

impl Operator for Scale {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        2.0 * shapes.output_size() as f64
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Passing
    }
}

super::one_to_one!(Scale);

impl<T: Real> Unary<T> for Scale {
    fn apply(&self, x: Activations<T>, _: &mut Context<T>) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        (Rc::new(CachedSignal::from(owned(x).times(Wide::from(self.by)))), Box::new(*self))
    }
}

impl<T: Real> UnaryBackward<T> for Scale {
    fn backward(self: Box<Self>, d: CachedSignal<T>, _: &mut Context<T>) -> Signal<T> {
        d.signal.times(Wide::from(self.by))
    }
}
