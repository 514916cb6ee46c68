//! A mixture of experts: Σ gateₑ·expertₑ(x), with gates from a softmax of the router's logits (Shazeer et al. 2017, arXiv:1701.06538;
//! Mixtral: Jiang et al. 2024, arXiv:2401.04088).
//!
//! Every expert is computed at every position, and those that a position is not routed to are weighed with zero: what comes out,
//! forward and backward, is that of a sparse mixture.

use super::act::activated;
use super::gated_mlp::{is_silu, silu};
use super::glu::gated;
use super::layer::{self, Assembler, LayerType, NewNode, Port, features, read};
use super::linear::{self, Part, project};
use super::{
    Activations, Backward, BiasSpec, ByPart, Context, Forward, Operator, Parameter, Shapes, Unary,
    UnaryBackward, check_parts, exactly, of_part, softmax,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, stacked};
use crate::numeric::slice::{inner, max_abs};
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType {
    name: "moe",
    fields: &["experts", "top", "normalize", "hidden", "fn", "gated", "init"],
    read: read::<Spec>,
};

/// The fields of a mixture of experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Perceptrons of one hidden layer.
    experts: usize,
    /// Experts that a position is routed to; all of them where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top: Option<usize>,
    /// The gates of these add up to one; if not, they are what a softmax over all experts gives them.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    normalize: bool,
    /// Hidden units of each expert.
    hidden: usize,
    /// φ of the experts.
    #[serde(rename = "fn", default = "silu", skip_serializing_if = "is_silu")]
    function: String,
    /// Experts are gated perceptrons, or else plain ones.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    gated: bool,
    /// Of all matrices or of each kind, in place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<ByPart<String>>,
}

fn yes() -> bool {
    true
}

/// Its kinds of matrices.
const PARTS: [&str; 4] = ["router", "gate", "up", "down"];

/// More experts of one layer than this are refused.
const MOST: usize = 4096;

impl Spec {
    /// Experts that a position is routed to.
    fn top(&self) -> Result<usize, String> {
        let experts = self.experts;
        if experts == 0 || experts > MOST {
            return Err(format!("experts = {experts} is not a number from 1 to {MOST}"));
        }
        match self.top.unwrap_or(experts) {
            top if top == 0 || top > experts => {
                Err(format!("top = {top} of {experts} experts is not a number from 1 to {experts}"))
            }
            top => Ok(top),
        }
    }

    /// The matrix of a kind, a step in depth unless it stands beside others.
    fn part<'a>(&'a self, name: &'a str, kind: &str, beside: bool) -> Part<'a> {
        let init = of_part(&self.init, kind).map(String::as_str);
        Part { name: Some(name), init, bias: Some(&BiasSpec::Has(false)), beside, ..Part::default() }
    }

    /// The hidden units of an expert; of all experts, the last is a step in depth.
    fn hidden(&self, to: &mut dyn Assembler, input: Port, expert: usize) -> Result<Port, String> {
        let hidden = linear::output(input.shape, self.hidden)?;
        let name = |kind: &str| format!("expert{}/{kind}", expert + 1);
        let last = expert + 1 == self.experts;
        let up = |to: &mut dyn Assembler| project(to, input, hidden, &self.part(&name("up"), "up", !last));
        if self.gated {
            let gate = project(to, input, hidden, &self.part(&name("gate"), "gate", true))?;
            let up = up(to)?;
            return gated(to, up, gate, &self.function);
        }
        let up = up(to)?;
        activated(to, up, Some(&self.function))
    }
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("moe", inputs)?;
        let top = self.top()?;
        check_parts("init", &self.init, if self.gated { &PARTS } else { &["router", "up", "down"] })?;
        let logits = linear::output(input.shape, self.experts)?;
        let logits = project(to, input, logits, &self.part("router", "router", true))?;
        let gates = Gates { top, normalize: self.normalize };
        let mut parts = to.node(NewNode::plain(gates, logits, logits.shape))?;
        let hidden = (0..self.experts).map(|expert| self.hidden(to, input, expert));
        let hidden = hidden.collect::<Result<Vec<_>, _>>()?;
        for (expert, hidden) in hidden.into_iter().enumerate() {
            let name = format!("expert{}/down", expert + 1);
            let part = self.part(&name, "down", expert + 1 < self.experts);
            parts.push(project(to, hidden, input.shape, &part)?);
        }
        to.node(NewNode { inputs: parts, ..NewNode::plain(Mixture, input, input.shape) })
    }
}

/// Gates of each position from its logits: a softmax over the `top` largest, or those of a softmax over all; the others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gates {
    /// Gates that are not zero.
    pub top: usize,
    /// They add up to one.
    pub normalize: bool,
}

impl Gates {
    /// The places of the largest logits, of equal ones the first; ascending.
    fn chosen<T: Real>(&self, logits: &[T]) -> Vec<usize> {
        let mut places: Vec<usize> = (0..logits.len()).collect();
        if self.top < places.len() {
            places.sort_by(|a, b| logits[*b].to_f64().total_cmp(&logits[*a].to_f64()));
            places.truncate(self.top);
            places.sort_unstable();
        }
        places
    }

    /// The places that the softmax is taken over.
    fn over(&self, experts: usize, chosen: &[usize]) -> Vec<usize> {
        if self.normalize { chosen.to_vec() } else { (0..experts).collect() }
    }
}

impl Operator for Gates {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        // An exponential counts as ten.
        16.0 * shapes.output_size() as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        let column =
            8 * shapes.output_size() as u128 + (24 + 8 * self.top as u128) * shapes.positions() as u128;
        column * samples as u128
    }
}

struct GatesTape<T: Real> {
    gates: Gates,
    logits: Activations<T>,
    /// Weights of the softmax, before any selection of them.
    weights: DMatrix<T>,
    /// Places of the gates of each position.
    chosen: Vec<Vec<usize>>,
}

super::one_to_one!(Gates);

impl<T: Real> Unary<T> for Gates {
    fn apply(&self, x: Activations<T>, _: &mut Context<T>) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let logits = &x.signal.values;
        let scale = softmax::true_scale(1.0, x.signal.exponent);
        let (rows, columns) = logits.shape();
        let mut weights = DMatrix::from_element(rows, columns, T::ZERO);
        let mut out = weights.clone();
        let mut all = Vec::with_capacity(columns);
        for (column, logits) in logits.as_slice().chunks_exact(rows.max(1)).enumerate() {
            let chosen = self.chosen(logits);
            let over = self.over(rows, &chosen);
            let mut shares: Vec<T> = over.iter().map(|place| logits[*place]).collect();
            softmax::weights(&mut shares, over.len(), scale);
            over.iter().zip(shares).for_each(|(place, share)| weights[(*place, column)] = share);
            chosen.iter().for_each(|place| out[(*place, column)] = weights[(*place, column)]);
            all.push(chosen);
        }
        let tape = GatesTape { gates: *self, logits: x, weights, chosen: all };
        (Rc::new(CachedSignal::from(Signal::new(out, 0))), Box::new(tape))
    }
}

impl<T: Real> GatesTape<T> {
    /// For each position the places that its softmax is taken over, and the gradients of their weights.
    fn slopes(&self, d: &DMatrix<T>) -> Vec<(Vec<usize>, Vec<T>)> {
        let of = |(column, chosen): (usize, &Vec<usize>)| {
            let over = self.gates.over(d.nrows(), chosen);
            let slope = |place: &usize| if chosen.contains(place) { d[(*place, column)] } else { T::ZERO };
            let slopes = over.iter().map(slope).collect();
            (over, slopes)
        };
        self.chosen.iter().enumerate().map(of).collect()
    }

    /// ∂C/∂logits in wide numbers.
    fn wide(&self, slopes: &[(Vec<usize>, Vec<T>)], exponent: i64) -> Signal<T> {
        let logits = &self.logits.signal;
        let scale = softmax::true_scale(1.0, logits.exponent);
        let (rows, columns) = logits.values.shape();
        let mut all = vec![Wide::ZERO; rows * columns];
        for (column, (over, slopes)) in slopes.iter().enumerate() {
            let scores: Vec<T> = over.iter().map(|place| logits.values[(*place, column)]).collect();
            let mut found = vec![Wide::ZERO; over.len()];
            softmax::wide_gradient(&scores, scale, slopes, &mut found);
            over.iter().zip(found).for_each(|(place, v)| all[column * rows + place] = v);
        }
        let wide = Signal::from_wide(rows, columns, &all);
        Signal::new(wide.values, wide.exponent + exponent)
    }
}

impl<T: Real> UnaryBackward<T> for GatesTape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, _: &mut Context<T>) -> Signal<T> {
        let d = d.signal;
        let slopes = self.slopes(&d.values);
        let mut dx = DMatrix::from_element(d.values.nrows(), d.values.ncols(), T::ZERO);
        for (column, (over, slopes)) in slopes.iter().enumerate() {
            let mut found = slopes.clone();
            let shares: Vec<T> = over.iter().map(|place| self.weights[(*place, column)]).collect();
            softmax::gradient(&mut found, &shares);
            over.iter().zip(found).for_each(|(place, v)| dx[(*place, column)] = v);
        }
        let several = slopes.iter().any(|(over, _)| over.len() > 1);
        let tops: Vec<T> = slopes.iter().map(|(_, slopes)| max_abs(slopes)).collect();
        if several && softmax::is_lost(dx.as_slice(), &tops) {
            return self.wide(&slopes, d.exponent);
        }
        Signal::new(dx, d.exponent)
    }
}

/// Σ gateₑ·yₑ at each position: the gates are the first input, the others follow one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mixture;

impl Operator for Mixture {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        6.0 * shapes.input_size() as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        4 * shapes.input_size() as u128 * samples as u128
    }
}

/// Every column times its gate.
fn weighed<T: Real>(signal: &Signal<T>, gates: &Signal<T>, expert: usize) -> Signal<T> {
    let mut values = signal.values.clone();
    for (column, mut entries) in values.column_iter_mut().enumerate() {
        entries *= gates.values[(expert, column)];
    }
    Signal::new(values, signal.exponent + gates.exponent)
}

/// The gradient of an expert's gate at each position.
fn gate_gradient<T: Real>(d: &Signal<T>, y: &Signal<T>) -> Signal<T> {
    let rows = d.values.nrows().max(1);
    let columns = d.values.as_slice().chunks_exact(rows).zip(y.values.as_slice().chunks_exact(rows));
    let products = columns.map(|(d, y)| T::of(inner(d, y)));
    Signal::new(DMatrix::from_iterator(1, d.values.ncols(), products), d.exponent + y.exponent)
}

struct MixtureTape<T: Real> {
    gates: Activations<T>,
    experts: Vec<Activations<T>>,
}

impl<T: Real> Forward<T> for Mixture {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        context: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let mut experts = inputs.into_iter();
        let gates = experts.next().unwrap_or_else(|| Rc::new(Signal::empty().into()));
        let experts: Vec<_> = experts.collect();
        let terms = experts.iter().enumerate().map(|(place, y)| weighed(&y.signal, &gates.signal, place));
        let sum = terms.reduce(|sum, term| sum.plus_shared(term, context.threads));
        let sum = Rc::new(CachedSignal::from(sum.unwrap_or_else(Signal::empty)));
        (vec![sum], Box::new(MixtureTape { gates, experts }))
    }
}

impl<T: Real> Backward<T> for MixtureTape<T> {
    fn backward(self: Box<Self>, gradients: Vec<CachedSignal<T>>, _: &mut Context<T>) -> Vec<Signal<T>> {
        let [d] = exactly(gradients);
        let rows: Vec<_> = self.experts.iter().map(|y| gate_gradient(&d.signal, &y.signal)).collect();
        let of_experts = (0..rows.len()).map(|place| weighed(&d.signal, &self.gates.signal, place));
        [stacked(&rows)].into_iter().chain(of_experts).collect()
    }
}
