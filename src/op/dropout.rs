//! Dropout as in training: entries pass with probability 1 − p, scaled by 1/(1 − p) (Srivastava et al. 2014, inverted).

use super::layer::{Assembler, Layer, LayerType, NewNode, Port, features, read};
use super::{Activations, Context, Nature, Operator, Shapes, Unary, UnaryBackward};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::{Part, Role};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "dropout", fields: &["p"], read: read::<Spec> };

/// The fields of a dropout layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Probability of a zero.
    #[serde(default = "Spec::half")]
    p: f64,
}

impl Spec {
    fn half() -> f64 {
        0.5
    }
}

impl Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("dropout", inputs)?;
        if !(0.0..1.0).contains(&self.p) {
            return Err(format!("p = {} is not at least 0 and below 1", self.p));
        }
        let operator = Dropout { p: self.p, stream: to.next_mask() };
        to.node(NewNode::plain(operator, input, input.shape))
    }
}

/// A dropout layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of a zero, below 1.
    pub p: f64,
    /// Running number among the dropout layers, from 1: names its stream.
    pub stream: u64,
}

impl Operator for Dropout {
    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        shapes.output_size() as u128 * samples as u128
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Passing
    }
}

struct Tape {
    passes: Vec<bool>,
    scale: f64,
}

impl Tape {
    fn apply<T: Real>(&self, mut signal: Signal<T>) -> Signal<T> {
        let scale = T::of(self.scale);
        let entries = signal.values.as_mut_slice().iter_mut();
        entries.zip(&self.passes).for_each(|(v, passes)| *v = if *passes { *v * scale } else { T::ZERO });
        signal.normalized()
    }
}

super::one_to_one!(Dropout);

impl<T: Real> Unary<T> for Dropout {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        if context.evaluating {
            let passes = vec![true; x.signal.values.len()];
            return (x, Box::new(Tape { passes, scale: 1.0 }));
        }
        let mut rng = context.key_of(self.stream).stream(Role::Dropout, Part::Block(0));
        let passes = (0..x.signal.values.len()).map(|_| rng.random::<f64>() >= self.p).collect();
        let tape = Tape { passes, scale: 1.0 / (1.0 - self.p) };
        let out = tape.apply(x.signal.clone());
        (Rc::new(CachedSignal::from(out)), Box::new(tape))
    }
}

impl<T: Real> UnaryBackward<T> for Tape {
    fn backward(self: Box<Self>, d: CachedSignal<T>, _: &mut Context<T>) -> Signal<T> {
        self.apply(d.signal)
    }
}
