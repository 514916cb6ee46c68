//! Z = W·H + b at every position.

use super::forms::BiasSpec;
use super::layer::{Assembler, Layer, LayerType, NewEntry, NewNode, Port, Wanted, features, read};
use super::parameters::gradient_of;
use super::record::{Moments, product_moments};
use super::{
    Activations, Context, Counts, Exported, Exports, Nature, Operator, Parameter, Shape, Shapes, Source,
    Space, Unary, UnaryBackward,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, Triangle, mul_tr};
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::{inner, sums};
use crate::weights::LinearMap;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType =
    LayerType { name: "linear", fields: &["out", "init", "bias", "tied"], read: read::<Spec> };

/// The fields of a linear layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Units.
    out: usize,
    /// In place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<String>,
    /// Law of the biases; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<BiasSpec>,
    /// The weights are those of the network's embedding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    tied: bool,
}

impl Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("linear", inputs)?;
        let out = output(input.shape, self.out)?;
        let source = if self.tied { tied(to, (input.shape.channels, self.out))? } else { Source::Law };
        let part = Part { init: self.init.as_deref(), bias: self.bias.as_ref(), source, ..Part::default() };
        project(to, input, out, &part).map(|port| vec![port])
    }
}

/// The table that a layer from so many features to so many tokens shares.
fn tied(to: &dyn Assembler, (features, tokens): (usize, usize)) -> Result<Source, String> {
    match to.embedding() {
        None => Err("tied = true needs an `embedding` at the bottom of the network".into()),
        Some((place, shape)) if shape == (features, tokens) => Ok(Source::Transposed(place)),
        Some((_, (rows, columns))) => Err(format!(
            "tied weights make {rows} features {columns} tokens, not {features} {tokens}: out = {columns} behind [.., {rows}] fits"
        )),
    }
}

/// A linear layer that may be a part of another.
#[derive(Debug, Default)]
pub struct Part<'a> {
    /// Path segment below the layer's own.
    pub name: Option<&'a str>,
    /// What its matrix is for.
    pub role: super::Role,
    /// In place of `--init`.
    pub init: Option<&'a str>,
    /// Its biases.
    pub bias: Option<&'a BiasSpec>,
    /// Where its numbers come from.
    pub source: Source,
    /// Initializers do not count it as a step in depth of its own.
    pub beside: bool,
    /// Heads of the attention that it belongs to, if any.
    pub heads: Option<usize>,
    /// Matrices of its shape that frameworks draw as one, if any.
    pub packed: Option<usize>,
}

/// Adds a linear layer at every position.
///
/// # Errors
/// An output that is empty or too large.
pub fn project(to: &mut dyn Assembler, input: Port, out: Shape, part: &Part) -> Result<Port, String> {
    let (from, units) = (input.shape.channels, out.channels);
    let entry = to.entry(&NewEntry {
        part: part.name,
        kind: "linear",
        fans: (from, units),
        units,
        positions: out.positions(),
        weighted: true,
    })?;
    let wanted = Wanted {
        part: part.name,
        role: part.role,
        source: part.source,
        deepens: !part.beside,
        counts: Counts {
            heads: part.heads.unwrap_or(1),
            packed: part.packed.unwrap_or(1),
            ..Counts::of_width(from)
        },
        ..Wanted::linear(entry, from, units).with(part.init, part.bias)
    };
    let parameter = to.parameter(&wanted);
    let node = NewNode {
        part: part.name,
        parameters: vec![parameter],
        entry: Some(entry),
        ..NewNode::plain(Linear, input, out)
    };
    let [port] = super::exactly(to.node(node)?);
    Ok(port)
}

/// A linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear;

/// The shape behind a linear layer.
///
/// # Errors
/// An image or a volume, with what would fit.
pub fn output(input: Shape, out: usize) -> Result<Shape, String> {
    match input.space {
        Space::Flat | Space::Sequence(_) => Ok(input.with(out)),
        Space::Image(..) | Space::Volume(..) => {
            let what = if matches!(input.space, Space::Image(..)) { "image" } else { "volume" };
            Err(format!(
                "linear takes features, not the {what} {input}: put a `flatten` before it, which makes [{}], or an `avgpool`",
                input.size()
            ))
        }
        Space::Tokens(_) => Err(format!("linear takes features, not {input}: put an `embedding` before it")),
    }
}

/// Operations of the three products of a weight matrix with a sample's positions.
pub fn operations(parameter: &Parameter, positions: usize) -> f64 {
    6.0 * parameter.shape.1 as f64 * parameter.rows() as f64 * positions as f64
}

impl Operator for Linear {
    fn operations(&self, shapes: &Shapes, parameters: &[&Parameter]) -> f64 {
        parameters.iter().map(|parameter| operations(parameter, shapes.positions())).sum()
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        let of = |list: &[Shape]| list.first().map_or(1, |shape| shape.channels) as u128;
        let (rows, units) = (of(&shapes.inputs), of(&shapes.outputs));
        let columns = shapes.positions() as u128 * samples as u128;
        if keeps_gram(rows, units, columns) { 4 * columns * (columns + 1) } else { 4 * rows * columns }
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Linear
    }
}

/// A weight as PyTorch's `nn.Linear` has it: out × in, its inputs counted channel after channel behind a `flatten`.
pub fn export(exported: &Exported) -> Vec<Exports> {
    let mut all = Vec::new();
    for (parameter, arrays) in &exported.parameters {
        if parameter.is_own() {
            let w = &*arrays.weights;
            let (units, fan_in) = w.shape();
            let flattened = exported.flattened.filter(|(channels, positions)| channels * positions == fan_in);
            let (channels, positions) = flattened.unwrap_or((1, fan_in));
            let column = |place: usize| place % positions * channels + place / positions;
            let values =
                (0..units).flat_map(|unit| (0..fan_in).map(move |place| w[(unit, column(place))])).collect();
            all.push(Exports::of(&parameter.path, "weight", vec![units, fan_in], values));
        }
        all.extend(Exports::bias(parameter, arrays).filter(|_| parameter.is_own()));
    }
    all
}

/// What a weight gradient D·Hᵀ needs of H beside D: H itself, or its Gram matrix where the product costs more and its moments are
/// all that is wanted.
pub struct Trace<T: Real> {
    form: Form<T>,
    rows: usize,
    exponent: i64,
}

/// The Gram matrices of both sides cost no more than the product: c²·(rows + units)/2 against c·rows·units multiplications, of which
/// a half is left for what the product does faster: at 788 columns of 768 and 3072 rows, three quarters took longer with AVX2.
pub(super) fn keeps_gram(rows: u128, units: u128, columns: u128) -> bool {
    columns.saturating_mul(rows + units) <= rows.saturating_mul(units)
}

enum Form<T: Real> {
    Gram(Rc<Triangle>, Vec<f64>),
    Whole(Activations<T>),
}

impl<T: Real> Trace<T> {
    /// Of a layer's input, for so many units.
    pub fn new(h: &Activations<T>, units: usize, context: &Context<T>) -> Self {
        let (rows, columns) = h.signal.values.shape();
        let moments_alone = context.gradients.is_none();
        let form = if moments_alone && keeps_gram(rows as u128, units as u128, columns as u128) {
            Form::Gram(h.gram(context.threads), h.sums().plain.clone())
        } else {
            h.forget_gram();
            Form::Whole(Rc::clone(h))
        };
        Self { form, rows, exponent: h.signal.exponent }
    }

    /// Adds ∂C/∂W and ∂C/∂b where they are wanted; moments of the former's entries, zero where nothing is recorded.
    pub fn gradient(&self, parameter: &Parameter, d: &CachedSignal<T>, context: &mut Context<T>) -> Moments {
        let threads = context.threads;
        if let (Form::Whole(h), Some(gradient)) = (&self.form, gradient_of(&mut context.gradients, parameter))
        {
            gradient.add(&d.signal, &h.signal, threads);
        }
        if context.quiet { Moments::ZERO } else { self.weight_gradient(d, threads) }
    }

    /// Moments of the entries of ∂C/∂W = D·Hᵀ.
    fn weight_gradient(&self, d: &CachedSignal<T>, threads: Threads) -> Moments {
        let (square, total) = match &self.form {
            Form::Gram(gram, plain) => (gram.inner(&d.gram(threads)), inner(plain, &d.sums().plain)),
            Form::Whole(h) => {
                let product = mul_tr(&d.signal.values, &h.signal.values, threads);
                (sums(product.as_slice()).1, inner(&h.sums().plain, &d.sums().plain))
            }
        };
        let exponent = self.exponent + d.signal.exponent;
        product_moments((self.rows, d.signal.values.nrows()), square, total, exponent)
    }
}

struct Tape<T: Real> {
    map: Box<dyn LinearMap<T>>,
    trace: Trace<T>,
}

super::one_to_one!(Linear);

impl<T: Real> Unary<T> for Linear {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let parameter = context.parameter(0);
        let mut map = context.map(parameter);
        let mut z = context.product(parameter, map.as_mut(), &x);
        if let Some(bias) = context.bias(parameter) {
            z = z.plus_column_shared(&bias, context.threads);
        }
        if !context.keep_weights {
            map.release();
        }
        let trace = Trace::new(&x, parameter.rows(), context);
        (Rc::new(CachedSignal::from(z)), Box::new(Tape { map, trace }))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(mut self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let parameter = context.parameter(0);
        let moments = self.trace.gradient(parameter, &d, context);
        context.observe_own_weight_gradient(moments);
        if !context.call.input_gradient {
            return d.signal;
        }
        context.transposed_product(parameter, self.map.as_mut(), &d)
    }
}
