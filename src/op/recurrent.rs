//! Recurrent layers over time. Every step is recorded as a layer of the unrolled network.
//!
//! All is written in signals, so gates that close and states that grow keep their scale at any size.

use super::act::{Act, SATURATED};
use super::activate::{activate, activation};
use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewEntry, NewNode, Port, Wanted, read, single, sized};
use super::linear::{self, Trace};
use super::record::{moments, pooled, slopes};
use super::{
    Activations, ByPart, Context, Exported, Exports, Nature, Operator, Parameter, ParameterArrays, Role,
    Shape, Shapes, Space, Unary, UnaryBackward, check_parts, of_part,
};
use crate::activation::Activation;
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, aligned, stacked};
use crate::numeric::wide::Wide;
use crate::weights::LinearMap;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::sync::Arc;

/// A plain recurrent layer, as an architecture file spells it.
pub const RNN: LayerType = LayerType {
    name: "rnn",
    fields: &["out", "fn", "init", "recurrent", "bias", "last"],
    read: read::<RnnSpec>,
};
/// Long short-term memory, likewise.
pub const LSTM: LayerType = LayerType {
    name: "lstm",
    fields: &["out", "init", "recurrent", "bias", "forget", "last"],
    read: read::<LstmSpec>,
};
/// Gated recurrent units, likewise.
pub const GRU: LayerType =
    LayerType { name: "gru", fields: &["out", "init", "recurrent", "bias", "last"], read: read::<GruSpec> };

/// The fields of a recurrent layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Units of the state.
    out: usize,
    /// In place of `--act`; of a plain rnn only.
    #[serde(rename = "fn", default, skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    /// Of the input's weights, in place of `--init`; a table gives each gate its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<ByPart<String>>,
    /// Of the state's weights, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recurrent: Option<ByPart<String>>,
    /// Law of the biases, likewise; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<ByPart<BiasSpec>>,
    /// Biases of the forget gate, of an lstm only; as the others where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forget: Option<f64>,
    /// The last state alone goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    last: bool,
}

/// The three kinds share their fields and differ in their cell.
macro_rules! kind {
    ($name:ident, $word:literal, $cell:expr) => {
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        struct $name(Spec);

        impl layer::Layer for $name {
            fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
                let cell = $cell(&self.0, &mut *to)?;
                self.0.assemble($word, cell, to, inputs)
            }
        }
    };
}

kind!(RnnSpec, "rnn", |spec: &Spec, to: &mut dyn Assembler| to
    .activation(spec.function.as_deref())
    .map(CellKind::Plain));
kind!(LstmSpec, "lstm", |_: &Spec, _: &mut dyn Assembler| Ok::<_, String>(CellKind::Lstm));
kind!(GruSpec, "gru", |_: &Spec, _: &mut dyn Assembler| Ok::<_, String>(CellKind::Gru));

/// More steps than this are refused.
const MOST_STEPS: usize = 1_000_000;

impl Spec {
    fn assemble(
        &self,
        kind: &'static str,
        cell: CellKind,
        to: &mut dyn Assembler,
        inputs: &[Port],
    ) -> Result<Vec<Port>, String> {
        let input = single(kind, inputs)?;
        let Space::Sequence(length) = input.shape.space else {
            return Err(format!(
                "{kind} takes a sequence [length, features], not {}: input = {{ shape = [length, features] }} fits",
                input.shape
            ));
        };
        if length > MOST_STEPS {
            return Err(format!("{length} steps would be more than {MOST_STEPS} layers"));
        }
        let space = if self.last { Space::Flat } else { input.shape.space };
        let out = Shape { channels: self.out, space };
        let (sigmoid, tanh) = (to.activation(Some("sigmoid"))?, to.activation(Some("tanh"))?);
        let operator = Recurrent { cell, units: self.out, length, last: self.last, sigmoid, tanh };
        let (features, units) = (input.shape.channels, self.out);
        let gates = operator.gates();
        let rows = sized("its gates", &[gates, units])?;
        let fan_in = features.checked_add(units).ok_or("its fan-in is more than any machine holds")?;
        let mut first = None;
        for step in 1..=length {
            let path = format!("step{step}");
            let entry = to.entry(&NewEntry {
                part: Some(&path),
                kind,
                fans: (fan_in, units),
                units: rows,
                positions: 1,
                weighted: true,
            })?;
            first.get_or_insert(entry);
        }
        let entry = first.ok_or("a sequence of no steps")?;
        let names = operator.cell.gates();
        check_parts("init", &self.init, names)?;
        check_parts("recurrent", &self.recurrent, names)?;
        check_parts("bias", &self.bias, names)?;
        let forget = self.forget.map(|value| BiasSpec::Law(format!("constant({value})")));
        let mut parameters = Vec::with_capacity(2 * gates);
        for gate in 0..gates {
            let name = names.get(gate).copied();
            let part = name.unwrap_or_default();
            let [init, recurrent] =
                [&self.init, &self.recurrent].map(|laws| of_part(laws, part).map(String::as_str));
            let own = forget.as_ref().filter(|_| part == FORGET);
            let bias = own.or_else(|| of_part(&self.bias, part));
            parameters.push(to.parameter(&Wanted {
                gate: name,
                role: Role::Gate,
                deepens: false,
                ..Wanted::linear(entry, features, units).with(init, bias)
            }));
            parameters.push(to.parameter(&Wanted {
                gate: name,
                role: Role::Recurrent,
                deepens: gate + 1 == gates,
                ..Wanted::linear(entry, units, units).with(recurrent, Some(&BiasSpec::Has(false)))
            }));
        }
        to.node(NewNode { parameters, entry: Some(entry), ..NewNode::plain(operator, input, out) })
    }
}

impl Operator for Recurrent {
    fn columns(&self, _: &Shapes) -> usize {
        self.length
    }

    fn operations(&self, _: &Shapes, parameters: &[&Parameter]) -> f64 {
        parameters.iter().map(|parameter| linear::operations(parameter, self.length)).sum()
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        let features = shapes.inputs.first().map_or(0, |shape| shape.channels) as u128;
        4 * samples as u128
            * self.length as u128
            * (features + (2 + 5 * self.gates() as u128) * self.units as u128)
    }

    fn nature(&self) -> Nature<'_> {
        match &self.cell {
            CellKind::Plain(function) => Nature::Activated(function),
            _ => Nature::Activated(&self.tanh),
        }
    }

    fn records_steps(&self) -> bool {
        true
    }

    /// The gates one below the other, as `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and a zero `bias_hh_l0`
    /// (torch/nn/modules/rnn.py).
    fn export(&self, exported: &Exported) -> Vec<Exports> {
        let part = |second: usize| -> Vec<&(&Parameter, &ParameterArrays<f32>)> {
            exported.parameters.iter().skip(second).step_by(2).collect()
        };
        let rows = |of: &[&(&Parameter, &ParameterArrays<f32>)]| {
            let (units, columns) = of.first().map_or((0, 0), |(_, arrays)| arrays.weights.shape());
            let values: Vec<f32> =
                of.iter().flat_map(|(_, arrays)| arrays.weights.transpose().as_slice().to_vec()).collect();
            (vec![units * of.len(), columns], values)
        };
        let (input, state) = (part(0), part(1));
        let Some((first, _)) = input.first() else { return Vec::new() };
        let path = &first.path;
        let (of_input, of_state) = (rows(&input), rows(&state));
        let mut all = vec![
            Exports::of(path, "weight_ih_l0", of_input.0, of_input.1),
            Exports::of(path, "weight_hh_l0", of_state.0, of_state.1),
        ];
        let biases: Vec<f32> = input
            .iter()
            .filter_map(|(_, arrays)| arrays.bias.as_ref())
            .flat_map(|bias| bias.as_slice().to_vec())
            .collect();
        if !biases.is_empty() {
            let count = biases.len();
            all.push(Exports::of(path, "bias_ih_l0", vec![count], biases));
            all.push(Exports::of(path, "bias_hh_l0", vec![count], vec![0.0; count]));
        }
        all
    }
}

/// What happens at a step.
#[derive(Clone, Debug)]
pub enum CellKind {
    /// h = φ(W x + b + U h).
    Plain(Arc<Activation>),
    /// Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; gates i, f, g, o as in PyTorch.
    Lstm,
    /// Cho et al. 2014, with the reset gate behind the product (PyTorch, cuDNN); gates r, z, n.
    Gru,
}

/// The gate that keeps the cell of an LSTM.
const FORGET: &str = "forget";

impl CellKind {
    /// Names of the gates, in PyTorch's order; none of a cell that has no gates.
    fn gates(&self) -> &'static [&'static str] {
        match self {
            Self::Plain(_) => &[],
            Self::Lstm => &["input", FORGET, "cell", "output"],
            Self::Gru => &["reset", "update", "candidate"],
        }
    }
}

/// A recurrent layer.
#[derive(Clone, Debug)]
pub struct Recurrent {
    /// What happens at a step.
    pub cell: CellKind,
    /// Units of the state.
    pub units: usize,
    /// Steps.
    pub length: usize,
    /// The last state alone goes on.
    pub last: bool,
    /// Of the gates.
    pub sigmoid: Arc<Activation>,
    /// Of the candidate and of the cell.
    pub tanh: Arc<Activation>,
}

/// The columns of one step.
fn slice<T: Real>(x: &Signal<T>, step: usize, length: usize) -> Signal<T> {
    let (rows, columns) = x.values.shape();
    let mut values = DMatrix::from_element(rows, columns / length, T::ZERO);
    for (sample, mut column) in values.column_iter_mut().enumerate() {
        column.copy_from(&x.values.column(sample * length + step));
    }
    Signal::new(values, x.exponent)
}

/// Steps as the columns of one signal.
fn joined<T: Real>(steps: &[Signal<T>]) -> Signal<T> {
    let length = steps.len();
    let (rows, batch) = steps[0].values.shape();
    let (exponent, scales) = aligned(steps);
    let mut values = DMatrix::from_element(rows, batch * length, T::ZERO);
    for (step, (signal, scale)) in steps.iter().zip(scales).enumerate() {
        for (sample, from) in signal.values.column_iter().enumerate() {
            let to = values.column_mut(sample * length + step);
            to.into_iter().zip(from.iter()).for_each(|(to, v)| *to = *v * scale);
        }
    }
    Signal::new(values, exponent)
}

/// A gate's value and slope.
struct Gate<T: Real> {
    value: Signal<T>,
    slope: Signal<T>,
}

fn gate<T: Real>(act: &Activation, z: &Signal<T>) -> Gate<T> {
    let activated = activate(act, z);
    let value = match act.shape.at_zero {
        0.0 => activated.psi,
        at_zero => activation(activated.psi, at_zero),
    };
    Gate { value, slope: activated.slope }
}

/// What a step keeps.
struct Step<T: Real> {
    input: Trace<T>,
    state: Trace<T>,
    cell: StepCell<T>,
}

enum StepCell<T: Real> {
    Plain(Box<dyn UnaryBackward<T>>),
    Lstm(LstmStep<T>),
    Gru(GruStep<T>),
}

struct LstmStep<T: Real> {
    gates: [Gate<T>; 4],
    /// Cell before the step.
    before: Signal<T>,
    /// tanh of the cell behind it.
    out: Gate<T>,
}

struct GruStep<T: Real> {
    /// Reset, update, candidate.
    gates: [Gate<T>; 3],
    /// One less the update.
    keep: Signal<T>,
    /// Of the candidate's weights with the state.
    product: Signal<T>,
    /// State before the step.
    before: Activations<T>,
}

struct Tape<T: Real> {
    layer: Recurrent,
    input: Vec<Box<dyn LinearMap<T>>>,
    state: Vec<Box<dyn LinearMap<T>>>,
    steps: Vec<Step<T>>,
    features: usize,
}

impl Recurrent {
    fn gates(&self) -> usize {
        self.cell.gates().len().max(1)
    }

    fn observe_gates<T: Real>(
        &self,
        entry: usize,
        z: &[Signal<T>],
        gates: &[Gate<T>],
        context: &mut Context<T>,
    ) {
        context.observe(entry, &CachedSignal::from(stacked(z)));
        if !context.records_forward() {
            return;
        }
        let below = |gate: &Gate<T>, act: &Activation| {
            let threshold = SATURATED * act.shape.max_slope.unwrap_or(0.0);
            slopes(&gate.slope, threshold.into()).1
        };
        let act = |index: usize| match (&self.cell, index) {
            (CellKind::Lstm, 2) | (CellKind::Gru, 2) => &self.tanh,
            _ => &self.sigmoid,
        };
        let saturated: usize = gates.iter().enumerate().map(|(k, gate)| below(gate, act(k))).sum();
        let entries: usize = gates.iter().map(|gate| gate.slope.values.len()).sum();
        context.records[entry].saturated_fraction = Some(saturated as f64 / entries as f64);
    }

    fn observe_state<T: Real>(&self, entry: usize, h: &CachedSignal<T>, context: &mut Context<T>) {
        if context.records_forward() {
            context.records[entry].activation = moments(h, 0.0);
        }
    }
}

super::one_to_one!(Recurrent);

impl<T: Real> Unary<T> for Recurrent {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let (units, batch) = (self.units, context.batch);
        let parameters: Vec<&Parameter> = context.own().collect();
        let first = context.call.entry.unwrap_or(0);
        let mut maps: Vec<_> = parameters.iter().map(|parameter| context.map(parameter)).collect();
        // Of each gate: the matrix of the input, then that of the state.
        let mut input = Vec::with_capacity(self.gates());
        let mut state = Vec::with_capacity(self.gates());
        for (index, map) in maps.drain(..).enumerate() {
            if index % 2 == 0 { input.push(map) } else { state.push(map) }
        }
        let mut driven = Vec::new();
        for (map, parameter) in input.iter_mut().zip(parameters.iter().step_by(2)) {
            let z = context.product(parameter, map.as_mut(), &x);
            driven.push(match context.bias(parameter) {
                Some(bias) => z.plus_column(&bias),
                None => z,
            });
        }
        let zero = || Signal::new(DMatrix::from_element(units, batch, T::ZERO), 0);
        let mut h: Activations<T> = Rc::new(CachedSignal::from(zero()));
        let mut memory = zero();
        let mut steps = Vec::with_capacity(self.length);
        let mut states = Vec::with_capacity(self.length);
        for time in 0..self.length {
            let entry = first + time;
            let now = Rc::new(CachedSignal::from(slice(&x.signal, time, self.length)));
            let traces = (Trace::new(&now, units, context), Trace::new(&h, units, context));
            let recurring = parameters.iter().skip(1).step_by(2);
            let products: Vec<Signal<T>> = state
                .iter_mut()
                .zip(recurring)
                .map(|(map, parameter)| context.product(parameter, map.as_mut(), &h))
                .collect();
            let drive = |k: usize| slice(&driven[k], time, self.length);
            let cell = match &self.cell {
                CellKind::Plain(function) => {
                    let z = Rc::new(CachedSignal::from(drive(0).plus(products[0].clone())));
                    context.observe(entry, &z);
                    let act = Act { function: Arc::clone(function) };
                    let (next, back) = act.completing(z, Some(entry), context);
                    h = next;
                    StepCell::Plain(back)
                }
                CellKind::Lstm => {
                    let z: Vec<Signal<T>> =
                        products.into_iter().enumerate().map(|(k, p)| drive(k).plus(p)).collect();
                    let act = |k: usize| if k == 2 { &self.tanh } else { &self.sigmoid };
                    let gates = [0, 1, 2, 3].map(|k: usize| gate(act(k), &z[k]));
                    let [i, f, g, o] = gates.each_ref().map(|gate| &gate.value);
                    let next = f.hadamard(&memory).plus(i.hadamard(g));
                    let before = std::mem::replace(&mut memory, next);
                    let out = gate(&self.tanh, &memory);
                    h = Rc::new(CachedSignal::from(o.hadamard(&out.value)));
                    self.observe_gates(entry, &z, &gates, context);
                    self.observe_state(entry, &h, context);
                    StepCell::Lstm(LstmStep { gates, before, out })
                }
                CellKind::Gru => {
                    let [r, u] = [0, 1].map(|k: usize| drive(k).plus(products[k].clone()));
                    let keep = gate(&self.sigmoid, &u.clone().times(Wide::from(-1.0))).value;
                    let reset = gate(&self.sigmoid, &r);
                    let update = gate(&self.sigmoid, &u);
                    let n = drive(2).plus(reset.value.hadamard(&products[2]));
                    let candidate = gate(&self.tanh, &n);
                    let next = keep.hadamard(&candidate.value).plus(update.value.hadamard(&h.signal));
                    let before = std::mem::replace(&mut h, Rc::new(CachedSignal::from(next)));
                    let gates = [reset, update, candidate];
                    self.observe_gates(entry, &[r, u, n], &gates, context);
                    self.observe_state(entry, &h, context);
                    StepCell::Gru(GruStep { gates, keep, product: products[2].clone(), before })
                }
            };
            steps.push(Step { input: traces.0, state: traces.1, cell });
            if !self.last {
                states.push(h.signal.clone());
            }
        }
        if !context.keep_weights {
            input.iter_mut().chain(&mut state).for_each(|map| map.release());
        }
        let features = x.signal.values.nrows();
        let out = if self.last { h } else { Rc::new(CachedSignal::from(joined(&states))) };
        (out, Box::new(Tape { layer: self.clone(), input, state, steps, features }))
    }
}

/// What a gradient needs of a step's gates: of the pre-activations, and of the products with the state where they differ.
struct Through<T: Real> {
    gates: Vec<Signal<T>>,
    products: Option<Signal<T>>,
    /// Of the state before, beside the products.
    direct: Option<Signal<T>>,
}

impl<T: Real> LstmStep<T> {
    fn back(&self, dh: &Signal<T>, dc: &mut Signal<T>) -> Through<T> {
        let [i, f, g, o] = &self.gates;
        let through = dh.hadamard(&o.value).hadamard(&self.out.slope);
        let total = dc.clone().plus(through);
        let gates = vec![
            total.hadamard(&g.value).hadamard(&i.slope),
            total.hadamard(&self.before).hadamard(&f.slope),
            total.hadamard(&i.value).hadamard(&g.slope),
            dh.hadamard(&self.out.value).hadamard(&o.slope),
        ];
        *dc = total.hadamard(&f.value);
        Through { gates, products: None, direct: None }
    }
}

impl<T: Real> GruStep<T> {
    fn back(&self, dh: &Signal<T>) -> Through<T> {
        let [r, u, n] = &self.gates;
        let difference = self.before.signal.clone().plus(n.value.clone().times(Wide::from(-1.0)));
        let candidate = dh.hadamard(&self.keep).hadamard(&n.slope);
        let gates = vec![
            candidate.hadamard(&self.product).hadamard(&r.slope),
            dh.hadamard(&difference).hadamard(&u.slope),
            candidate.clone(),
        ];
        Through { gates, products: Some(candidate.hadamard(&r.value)), direct: Some(dh.hadamard(&u.value)) }
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(mut self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let length = self.layer.length;
        let (units, batch) = (self.layer.units, context.batch);
        let count = self.layer.gates();
        let parameters: Vec<&Parameter> = context.own().collect();
        let first = context.call.entry.unwrap_or(0);
        let zero = || Signal::new(DMatrix::from_element(units, batch, T::ZERO), 0);
        let (mut dh, mut dc) = (zero(), zero());
        let mut driven: Vec<Vec<Signal<T>>> = (0..count).map(|_| Vec::with_capacity(length)).collect();
        let mut d = Some(d.signal);
        while let Some(step) = self.steps.pop() {
            let time = self.steps.len();
            let entry = first + time;
            let from_above = match (self.layer.last, &d) {
                (true, _) => d.take(),
                (false, Some(d)) => Some(slice(d, time, length)),
                (false, None) => None,
            };
            if let Some(above) = from_above {
                dh = dh.plus(above);
            }
            let Through { gates, products, direct } = match step.cell {
                StepCell::Plain(back) => {
                    let dh = std::mem::replace(&mut dh, zero());
                    let dz = back.backward(dh.into(), context);
                    Through { gates: vec![dz], products: None, direct: None }
                }
                StepCell::Lstm(step) => step.back(&dh, &mut dc),
                StepCell::Gru(step) => step.back(&dh),
            };
            context.observe_gradient(entry, &CachedSignal::from(stacked(&gates)));
            dh = direct.unwrap_or_else(zero);
            let (inner, outer) = ((units * units) as f64, (units * self.features) as f64);
            let mut groups = Vec::with_capacity(2 * count);
            for (k, (dz, pair)) in gates.into_iter().zip(parameters.chunks_exact(2)).enumerate() {
                let (driving, recurring) = (pair[0], pair[1]);
                let product = if k == 2 { products.clone() } else { None };
                let dz = CachedSignal::from(dz);
                groups.push((step.input.gradient(driving, &dz, context), outer));
                let product = product.map(CachedSignal::from);
                let beside = product.as_ref().unwrap_or(&dz);
                groups.push((step.state.gradient(recurring, beside, context), inner));
                dh = dh.plus(context.transposed_product(recurring, self.state[k].as_mut(), beside));
                driven[k].push(dz.signal);
            }
            context.observe_weight_gradient(entry, pooled(&groups));
        }
        let mut dx: Option<Signal<T>> = None;
        for ((map, parameter), mut steps) in
            self.input.iter_mut().zip(parameters.iter().step_by(2)).zip(driven)
        {
            steps.reverse();
            let joined = CachedSignal::from(joined(&steps));
            let part = context.transposed_product(parameter, map.as_mut(), &joined);
            dx = Some(match dx {
                None => part,
                Some(sum) => sum.plus(part),
            });
        }
        dx.unwrap_or_else(zero)
    }
}
