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
/// Stochastic depth (Huang et al. 2016): all of a sample passes, or nothing of it; likewise.
pub const PATH: LayerType = LayerType { name: "droppath", fields: &["p"], read: read::<PathSpec> };

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

/// The fields of stochastic depth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct PathSpec(Spec);

impl Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        self.drop("dropout", 1, to, inputs)
    }
}

impl Layer for PathSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let size = inputs.first().map_or(1, |input| input.shape.size());
        self.0.drop("droppath", size, to, inputs)
    }
}

impl Spec {
    fn drop(
        &self,
        kind: &str,
        together: usize,
        to: &mut dyn Assembler,
        inputs: &[Port],
    ) -> Result<Vec<Port>, String> {
        let input = features(kind, inputs)?;
        if !(0.0..1.0).contains(&self.p) {
            return Err(format!("p = {} is not at least 0 and below 1", self.p));
        }
        let operator = Dropout { p: self.p, stream: to.next_mask(), together };
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
    /// Neighboring entries that pass together: 1, or all of a sample.
    pub together: usize,
}

impl Operator for Dropout {
    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        shapes.output_size() as u128 * samples as u128 / self.together as u128
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Passing
    }
}

struct Tape {
    /// One for each run of entries that pass together; none after training, when all do.
    passes: Vec<bool>,
    together: usize,
    scale: f64,
}

impl Tape {
    fn apply<T: Real>(&self, mut signal: Signal<T>) -> Signal<T> {
        let scale = T::of(self.scale);
        let runs = signal.values.as_mut_slice().chunks_mut(self.together);
        runs.zip(&self.passes).for_each(|(run, passes)| {
            run.iter_mut().for_each(|v| *v = if *passes { *v * scale } else { T::ZERO });
        });
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
            return (x, Box::new(Tape { passes: Vec::new(), together: self.together, scale: 1.0 }));
        }
        let mut rng = context.key_of(self.stream).stream(Role::Dropout, Part::Block(0));
        let runs = x.signal.values.len() / self.together;
        let passes = (0..runs).map(|_| rng.random::<f64>() >= self.p).collect();
        let tape = Tape { passes, together: self.together, scale: 1.0 / (1.0 - self.p) };
        let out = tape.apply(x.signal.clone());
        (Rc::new(CachedSignal::from(out)), Box::new(tape))
    }
}

impl<T: Real> UnaryBackward<T> for Tape {
    fn backward(self: Box<Self>, d: CachedSignal<T>, _: &mut Context<T>) -> Signal<T> {
        self.apply(d.signal)
    }
}
