//! y = gain ⊙ x + shift, an entry of each vector for each channel, or one for all: behind norms, as a layer scale (Touvron et al. 2021),
//! as a learned factor, and as learned positions, which have an entry for each channel of each position.

use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewNode, Port, features, read};
use super::norm::row_sums;
use super::vector::WantedVector;
use super::{Activations, Context, Nature, Operator, Parameter, Shapes, Unary, UnaryBackward, owned};
use crate::numeric::cached::CachedSignal;
use crate::numeric::pieces;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, reshaped};
use crate::numeric::slice::max_abs;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// A layer scale, as an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "layerscale", fields: &["gain"], read: read::<Spec> };
/// Learned positions, likewise.
pub const POSITIONS: LayerType =
    LayerType { name: "positions", fields: &["init"], read: read::<PositionsSpec> };

/// Where a layer scale begins (Touvron et al. 2021, § 3, of networks of 24 blocks).
const SMALL: &str = "constant(1e-5)";
/// Where learned positions begin (timm/models/vision_transformer.py).
const NARROW: &str = "normal(0, 0.02)";

/// The fields of a layer scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Law of the gain of each channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gain: Option<BiasSpec>,
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("layerscale", inputs)?;
        if self.gain.as_ref().is_some_and(BiasSpec::is_absent) {
            return Err("a layerscale without a gain does nothing: leave the layer out".into());
        }
        let length = input.shape.channels;
        let gain =
            WantedVector { kind: "gain", length, init: self.gain.as_ref(), usual: SMALL, neutral: 1.0 };
        assemble(to, input, length, Some(gain), None)
    }
}

/// The fields of learned positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PositionsSpec {
    /// Law of the entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<String>,
}

impl layer::Layer for PositionsSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("positions", inputs)?;
        let length = input.shape.size();
        let init = self.init.clone().map(BiasSpec::Law);
        let table = WantedVector { kind: "table", length, init: init.as_ref(), usual: NARROW, neutral: 0.0 };
        assemble(to, input, length, None, Some(table))
    }
}

/// Adds gain and shift behind a value, where there are any: one for all entries, or so many as there are `rows`, the value's channels
/// or all entries of a sample.
///
/// # Errors
/// As for any node.
pub fn assemble(
    to: &mut dyn Assembler,
    input: Port,
    rows: usize,
    gain: Option<WantedVector>,
    shift: Option<WantedVector>,
) -> Result<Vec<Port>, String> {
    let operator = Affine { rows, gain: gain.is_some(), shift: shift.is_some() };
    let vectors: Vec<usize> = gain.into_iter().chain(shift).map(|wanted| to.vector(&wanted)).collect();
    if vectors.is_empty() {
        return Ok(vec![input]);
    }
    to.node(NewNode { vectors, ..NewNode::plain(operator, input, input.shape) })
}

/// A gain, a shift, or both, in this order among the node's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    /// Entries to each of which the vectors have one: channels, or all of a sample.
    pub rows: usize,
    /// There is a gain.
    pub gain: bool,
    /// There is a shift.
    pub shift: bool,
}

impl Operator for Affine {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        4.0 * shapes.output_size() as f64
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Passing
    }
}

crate::numeric::slice::for_each_machine! {
    fn times_rows<T: Real>(x: &mut [T], gain: &[T]) {
        x.iter_mut().zip(gain).for_each(|(x, gain)| *x *= *gain);
    }
}

/// A vector of so many rows; of a single number all of them are that.
pub(super) fn repeated<T: Real>(vector: Signal<T>, rows: usize) -> Signal<T> {
    match vector.values.len() {
        1 => Signal { values: DMatrix::from_element(rows, 1, vector.values[0]), ..vector },
        _ => vector,
    }
}

/// Every column entry by entry times a vector.
pub(super) fn scaled<T: Real>(x: Signal<T>, gain: &Signal<T>, threads: Threads) -> Signal<T> {
    let Signal { mut values, exponent } = x;
    let gain_of = gain.values.as_slice();
    let rows = gain_of.len().max(1);
    let tops = pieces::each(values.as_mut_slice(), pieces::length(rows), threads, |_, piece| {
        piece.chunks_exact_mut(rows).for_each(|column| times_rows(column, gain_of));
        max_abs(piece)
    });
    Signal { values, exponent: exponent + gain.exponent }.normalized_from(&tops)
}

impl Affine {
    /// Gain and shift where they do something, one entry a row.
    fn vectors<T: Real>(&self, context: &Context<T>) -> [Option<Signal<T>>; 2] {
        let whole = |vector: Signal<T>| repeated(vector, self.rows);
        let at = |has: bool, place: usize| has.then(|| context.vector(place)).flatten().map(whole);
        [at(self.gain, 0), at(self.shift, usize::from(self.gain))]
    }

    /// Adds to ∂C/∂gain = Σ d⊙x and ∂C/∂shift = Σ d, sums over columns, where they are wanted.
    fn collect<T: Real>(&self, x: Option<&CachedSignal<T>>, d: &Signal<T>, context: &mut Context<T>) {
        let (threads, exponent) = (context.threads, d.exponent);
        let mut add = |place: usize, sums: Vec<f64>, exponent: i64| context.collect(place, &sums, exponent);
        let Some(x) = x else { return };
        let (plain, product) = row_sums(d.values.as_slice(), x.signal.values.as_slice(), self.rows, threads);
        if self.gain {
            add(0, product, exponent + x.signal.exponent);
        }
        if self.shift {
            add(usize::from(self.gain), plain, exponent);
        }
    }
}

struct Tape<T: Real> {
    affine: Affine,
    gain: Option<Signal<T>>,
    /// Where gradients of the vectors are wanted.
    x: Option<Activations<T>>,
}

super::one_to_one!(Affine);

impl<T: Real> Unary<T> for Affine {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let [gain, shift] = self.vectors(context);
        let channels = x.signal.values.nrows();
        let kept = context.gradients.is_some().then(|| Rc::clone(&x));
        let tape = Tape { affine: *self, gain: gain.clone(), x: kept };
        if gain.is_none() && shift.is_none() {
            return (x, Box::new(tape));
        }
        let mut y = reshaped(owned(x), self.rows);
        if let Some(gain) = &gain {
            y = scaled(y, gain, context.threads);
        }
        if let Some(shift) = &shift {
            y = y.plus_column_shared(shift, context.threads);
        }
        (Rc::new(CachedSignal::from(reshaped(y, channels))), Box::new(tape))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        self.affine.collect(self.x.as_deref(), &d.signal, context);
        match &self.gain {
            Some(gain) => {
                let channels = d.signal.values.nrows();
                let d = reshaped(d.signal, self.affine.rows);
                reshaped(scaled(d, gain, context.threads), channels)
            }
            None => d.signal,
        }
    }
}
