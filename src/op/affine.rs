//! y = gain ⊙ x + shift, an entry of each vector for each channel, or one for all: behind norms, as a layer scale (Touvron et al. 2021),
//! as a learned factor, and as learned positions, which have an entry for each channel of each position.

use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewNode, Port, features, read};
use super::norm::row_sums;
use super::record::product_moments;
use super::sinusoid::{self, Sinusoids};
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
/// Positions, learned or not, likewise.
pub const POSITIONS: LayerType =
    LayerType { name: "positions", fields: &["form", "init"], read: read::<PositionsSpec> };

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

/// The fields of positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PositionsSpec {
    /// Sines and cosines in place of learned entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    form: Option<Sinusoids>,
    /// Law of the entries where they are learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<String>,
}

impl layer::Layer for PositionsSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("positions", inputs)?;
        match (self.form, &self.init) {
            (Some(form), None) => return sinusoid::assemble(to, inputs, form),
            (Some(_), Some(_)) => return Err("form has no law: leave out init, or form".into()),
            (None, _) => {}
        }
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
    with_vectors(to, input, rows, (gain, shift), None)
}

/// The same behind a norm of this type, which is recorded where it has a gain.
///
/// # Errors
/// As for any node.
pub(super) fn behind_norm(
    to: &mut dyn Assembler,
    input: Port,
    kind: &'static str,
    gain: Option<WantedVector>,
    shift: Option<WantedVector>,
) -> Result<Vec<Port>, String> {
    let norm = gain.is_some().then(|| to.norm(kind, input.shape));
    with_vectors(to, input, input.shape.channels, (gain, shift), norm)
}

fn with_vectors(
    to: &mut dyn Assembler,
    input: Port,
    rows: usize,
    (gain, shift): (Option<WantedVector>, Option<WantedVector>),
    norm: Option<usize>,
) -> Result<Vec<Port>, String> {
    let operator = Affine { rows, gain: gain.is_some(), shift: shift.is_some() };
    let vectors: Vec<usize> = gain.into_iter().chain(shift).map(|wanted| to.vector(&wanted)).collect();
    if vectors.is_empty() {
        return Ok(vec![input]);
    }
    to.node(NewNode { vectors, norm, ..NewNode::plain(operator, input, input.shape) })
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

    /// Adds to ∂C/∂gain = Σ d⊙x and ∂C/∂shift = Σ d, sums over columns, where they are wanted, and records them of a norm.
    fn collect<T: Real>(&self, x: Option<&CachedSignal<T>>, d: &CachedSignal<T>, context: &mut Context<T>) {
        let Some(x) = x else { return };
        let (values, exponent) = (d.signal.values.as_slice(), d.signal.exponent);
        let (plain, product) = row_sums(values, x.signal.values.as_slice(), self.rows, context.threads);
        if self.gain {
            let exponent = exponent + x.signal.exponent;
            context.collect(0, &product, exponent);
            if context.records_norm() {
                let (total, square) = (product.iter().sum(), product.iter().map(|v| v * v).sum());
                context.observe_norm_gradients(d, product_moments((1, self.rows), square, total, exponent));
            }
        }
        if self.shift {
            context.collect(usize::from(self.gain), &plain, exponent);
        }
    }
}

struct Tape<T: Real> {
    affine: Affine,
    gain: Option<Signal<T>>,
    /// Where gradients of the vectors are wanted, or recorded.
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
        let wanted = context.gradients.is_some() || context.records_norm();
        let kept = wanted.then(|| Rc::clone(&x));
        let tape = Tape { affine: *self, gain: gain.clone(), x: kept };
        if gain.is_none() && shift.is_none() {
            context.observe_norm(&x);
            return (x, Box::new(tape));
        }
        let mut y = reshaped(owned(x), self.rows);
        if let Some(gain) = &gain {
            y = scaled(y, gain, context.threads);
        }
        if let Some(shift) = &shift {
            y = y.plus_column_shared(shift, context.threads);
        }
        let y = CachedSignal::from(reshaped(y, channels));
        context.observe_norm(&y);
        (Rc::new(y), Box::new(tape))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        self.affine.collect(self.x.as_deref(), &d, context);
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
