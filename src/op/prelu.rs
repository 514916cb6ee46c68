//! PReLU (He et al. 2015): x where it is positive, slope·x elsewhere, with a learned slope for all channels or one for each.

use super::affine::{repeated, scaled};
use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewNode, Port, features, read};
use super::norm::row_sums;
use super::record::moments;
use super::{Activations, Context, Nature, Operator, Parameter, Shapes, Unary, UnaryBackward, WantedVector};
use crate::activation::Activation;
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::sync::Arc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "prelu", fields: &["slope", "each"], read: read::<Spec> };

/// The slope with which it begins (He et al. 2015, § 2.1; torch/nn/modules/activation.py).
const USUAL: &str = "constant(0.25)";

/// The fields of a PReLU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Law of the slope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slope: Option<BiasSpec>,
    /// A slope for each channel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    each: bool,
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("prelu", inputs)?;
        if self.slope.as_ref().is_some_and(BiasSpec::is_absent) {
            return Err("a prelu needs a slope; `act` with fn = \"relu\" has none".into());
        }
        // What initializers see of it: the slope with which it usually begins.
        let usual = to.activation(Some("leaky-relu(a=0.25)"))?;
        let length = if self.each { input.shape.channels } else { 1 };
        let wanted =
            WantedVector { kind: "slope", length, init: self.slope.as_ref(), usual: USUAL, neutral: 1.0 };
        let vectors = vec![to.vector(&wanted)];
        to.node(NewNode { vectors, ..NewNode::plain(Prelu { usual }, input, input.shape) })
    }
}

/// A PReLU.
#[derive(Clone, Debug)]
pub struct Prelu {
    /// The activation with its usual slope.
    pub usual: Arc<Activation>,
}

impl Operator for Prelu {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        4.0 * shapes.output_size() as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        4 * shapes.output_size() as u128 * samples as u128
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Pointwise(&self.usual)
    }
}

struct Tape<T: Real> {
    x: Activations<T>,
    slopes: Option<Signal<T>>,
}

super::one_to_one!(Prelu);

/// The entries at whose places `x` is positive, and the others; zero elsewhere.
fn parted<T: Real>(signal: &Signal<T>, x: &Signal<T>) -> [Signal<T>; 2] {
    let pick = |positive: bool| {
        let chosen = |v: T, x: T| if (x > T::ZERO) == positive { v } else { T::ZERO };
        Signal { values: signal.values.zip_map(&x.values, chosen), exponent: signal.exponent }.normalized()
    };
    [pick(true), pick(false)]
}

impl Prelu {
    /// The slope of each channel; `None` where all are one.
    fn slopes<T: Real>(context: &Context<T>, channels: usize) -> Option<Signal<T>> {
        context.vector(0).map(|slope| repeated(slope, channels))
    }

    /// Positive entries and slope times the others.
    fn joined<T: Real>(parts: [Signal<T>; 2], slopes: Option<&Signal<T>>, context: &Context<T>) -> Signal<T> {
        let [positive, others] = parts;
        let others = match slopes {
            Some(slopes) => scaled(others, slopes, context.threads),
            None => others,
        };
        positive.plus_shared(others, context.threads)
    }
}

impl<T: Real> Unary<T> for Prelu {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let slopes = Self::slopes(context, x.signal.values.nrows());
        let out = Self::joined(parted(&x.signal, &x.signal), slopes.as_ref(), context);
        let out = Rc::new(CachedSignal::from(out));
        if let Some(entry) = context.call.completes.filter(|_| context.records_forward()) {
            out.sums_shared(context.threads);
            context.records[entry].activation = moments(&out, 0.0);
        }
        (out, Box::new(Tape { x, slopes }))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let x = &self.x.signal;
        if context.gradients.is_some() {
            let [_, negative] = parted(x, x);
            let rows = x.values.nrows();
            let (_, sums) =
                row_sums(d.signal.values.as_slice(), negative.values.as_slice(), rows, context.threads);
            context.collect(0, &sums, d.signal.exponent + negative.exponent);
        }
        Prelu::joined(parted(&d.signal, x), self.slopes.as_ref(), context)
    }
}
