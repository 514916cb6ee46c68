//! Recurrent layers over time. Every step is recorded as a layer of the unrolled network.
//!
//! All is written in signals, so gates that close and states that grow keep their scale at any size.

use super::act::Act;
use super::activate::{activate, activation};
use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewEntry, NewNode, Port, Wanted, read, sequence, sized};
use super::linear::{self, Trace};
use super::position::reversed;
use super::record::{moments, pooled, slopes};
use super::{
    Activations, ByPart, Context, Counts, Exported, Exports, GateBias, Nature, Operator, Parameter,
    ParameterArrays, Role, Shape, Shapes, Space, Unary, UnaryBackward, check_parts, concat, exactly, of_part,
};
use crate::activation::Activation;
use crate::law::Law;
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, aligned, stacked, unstacked};
use crate::numeric::wide::Wide;
use crate::weights::LinearMap;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::sync::Arc;

/// A plain recurrent layer, as an architecture file spells it.
pub const RNN: LayerType = LayerType {
    name: "rnn",
    fields: &[
        "out",
        "fn",
        "init",
        "recurrent",
        "bias",
        "recurrent_bias",
        "last",
        "layers",
        "bidirectional",
        "packed",
    ],
    read: read::<RnnSpec>,
};
/// Long short-term memory, likewise.
pub const LSTM: LayerType = LayerType {
    name: "lstm",
    fields: &[
        "out",
        "init",
        "recurrent",
        "bias",
        "recurrent_bias",
        "forget",
        "last",
        "layers",
        "bidirectional",
        "projection",
        "packed",
    ],
    read: read::<LstmSpec>,
};
/// Gated recurrent units, likewise.
pub const GRU: LayerType = LayerType {
    name: "gru",
    fields: &[
        "out",
        "init",
        "recurrent",
        "bias",
        "recurrent_bias",
        "last",
        "layers",
        "bidirectional",
        "packed",
    ],
    read: read::<GruSpec>,
};

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
    /// Law of the second biases, beside the products with the state, likewise; false for none. Zeros where it is left out, unless the
    /// initializer brings some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recurrent_bias: Option<ByPart<BiasSpec>>,
    /// Biases of the forget gate, of an lstm only; as the others where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forget: Option<f64>,
    /// The last state alone goes on; in two directions that of each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    last: bool,
    /// So many layers, each of which takes the states of the one before.
    #[serde(default = "layer::one", skip_serializing_if = "layer::is_one")]
    layers: usize,
    /// Another layer of the same kind runs from the end, and its states stand below those of the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bidirectional: bool,
    /// Units of the state, which are made of the cell's by a matrix of their own (Sak et al. 2014); of an lstm only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    projection: Option<usize>,
    /// The matrices of all gates are drawn as one, rows below rows, whose rows are its fan-out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    packed: bool,
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
/// More units of the cell at all steps than this are refused, as more entries of any value are.
const MOST_CELLS: usize = 1_000_000_000_000;

impl Spec {
    fn assemble(
        &self,
        kind: &'static str,
        cell: CellKind,
        to: &mut dyn Assembler,
        inputs: &[Port],
    ) -> Result<Vec<Port>, String> {
        let (input, length) = sequence(kind, inputs)?;
        self.check(&cell, length)?;
        let (sigmoid, tanh) = (to.activation(Some("sigmoid"))?, to.activation(Some("tanh"))?);
        let mut port = input;
        for layer in 0..self.layers {
            let mut ends = Vec::with_capacity(2);
            for reverse in [false, true].into_iter().take(1 + usize::from(self.bidirectional)) {
                let operator = Recurrent {
                    cell: cell.clone(),
                    units: self.out,
                    projection: self.projection,
                    packed: self.packed,
                    length,
                    last: self.last && layer + 1 == self.layers,
                    sigmoid: Arc::clone(&sigmoid),
                    tanh: Arc::clone(&tanh),
                    place: self.place(layer, reverse),
                };
                ends.push(self.direction(kind, operator, to, port)?);
            }
            port = match ends.as_slice() {
                [one] => *one,
                both => exactly::<_, 1>(concat::join(to, both[0], both)?)[0],
            };
        }
        Ok(vec![port])
    }

    /// Refuses what no machine holds and what does not go together.
    fn check(&self, cell: &CellKind, length: usize) -> Result<(), String> {
        let names = cell.gates();
        if self.layers == 0 {
            return Err("layers = 0 leaves nothing of it; at least 1 is needed".into());
        }
        let steps = sized("its steps", &[length, self.layers, 1 + usize::from(self.bidirectional)])?;
        if steps > MOST_STEPS {
            return Err(format!("{steps} steps would be more than {MOST_STEPS} layers"));
        }
        if sized("its cells", &[length, self.out])? > MOST_CELLS {
            return Err(format!("out = {} would make more than 10^12 cells in {length} steps", self.out));
        }
        if let Some(projection) = self.projection.filter(|units| *units >= self.out) {
            return Err(format!("projection = {projection} is not smaller than out = {}", self.out));
        }
        let drawn = if self.packed { &[] } else { names };
        let projected: &[&str] = if self.projection.is_some() { &[PROJECTION] } else { &[] };
        check_parts("init", &self.init, &[drawn, projected].concat())?;
        check_parts("recurrent", &self.recurrent, drawn)?;
        check_parts("bias", &self.bias, drawn)?;
        check_parts("recurrent_bias", &self.recurrent_bias, drawn)
    }

    /// Where a layer of one direction stands.
    fn place(&self, layer: usize, reverse: bool) -> Stands {
        let number = (self.layers > 1).then(|| format!("layer{}", layer + 1));
        let way = self.bidirectional.then(|| if reverse { "reverse" } else { "forward" }.to_string());
        let parts: Vec<String> = number.into_iter().chain(way).collect();
        Stands { layer, reverse, part: (!parts.is_empty()).then(|| parts.join("/")) }
    }

    /// Adds one layer in one direction.
    fn direction(
        &self,
        kind: &'static str,
        operator: Recurrent,
        to: &mut dyn Assembler,
        input: Port,
    ) -> Result<Port, String> {
        let Recurrent { length, last, ref place, .. } = operator;
        let (reverse, part) = (place.reverse, place.part.clone());
        let state = operator.state();
        let entry = self.steps(kind, &operator, to, input.shape.channels)?;
        let parameters = self.parameters(&operator, to, entry, input.shape.channels);
        let input = if reverse { reversed(to, input, length)? } else { input };
        let space = if last { Space::Flat } else { input.shape.space };
        let node = NewNode {
            part: part.as_deref(),
            parameters,
            entry: Some(entry),
            ..NewNode::plain(operator, input, Shape { channels: state, space })
        };
        let [out] = exactly(to.node(node)?);
        if reverse && !last { reversed(to, out, length) } else { Ok(out) }
    }

    /// Adds a line of the result for each step; the first of them.
    fn steps(
        &self,
        kind: &'static str,
        operator: &Recurrent,
        to: &mut dyn Assembler,
        features: usize,
    ) -> Result<usize, String> {
        let rows = sized("its gates", &[operator.gates(), self.out])?;
        let fan_in = layer::total("its fan-in", &[features, operator.state()])?;
        let mut first = None;
        for step in 1..=operator.length {
            let path = operator.place.at(&format!("step{step}"));
            let entry = to.entry(&NewEntry {
                part: Some(&path),
                kind,
                fans: (fan_in, self.out),
                units: rows,
                positions: 1,
                weighted: true,
            })?;
            first.get_or_insert(entry);
        }
        first.ok_or_else(|| "a sequence of no steps".into())
    }

    /// Adds the matrices of a layer: of each gate, or of all together, that of the input and that of the state; then the projection.
    fn parameters(
        &self,
        operator: &Recurrent,
        to: &mut dyn Assembler,
        entry: usize,
        features: usize,
    ) -> Vec<usize> {
        let (state, rows) = (operator.state(), operator.rows());
        let none = BiasSpec::Has(false);
        let zeros = BiasSpec::Law("zeros".into());
        let forget = self.forget.map(|value| BiasSpec::Law(format!("constant({value})")));
        let (matrices, gates) = (operator.matrices(), operator.gates());
        let counts = |features: usize| Counts {
            blocks: gates / matrices,
            packed: gates,
            ..Counts::of_width(features)
        };
        let block = operator.cell.gates().iter().position(|name| *name == FORGET);
        // Of a matrix for all gates, the rows of the one whose biases are often told apart.
        let apart =
            block.filter(|_| self.packed && !of_part(&self.bias, "").is_some_and(BiasSpec::is_absent));
        let mut parameters = Vec::with_capacity(2 * matrices + 1);
        for matrix in 0..matrices {
            let gate = operator.gate(matrix);
            let name = gate.unwrap_or_default();
            let [init, recurrent] =
                [&self.init, &self.recurrent].map(|laws| of_part(laws, name).map(String::as_str));
            let own = forget.as_ref().filter(|_| name == FORGET);
            let bias = own.or_else(|| of_part(&self.bias, name));
            // Where the file names the biases, these are all, and there are none at all without those.
            let second = of_part(&self.recurrent_bias, name).or(match of_part(&self.bias, name) {
                Some(spec) if spec.is_absent() => Some(&none),
                Some(BiasSpec::Law(_)) => Some(&zeros),
                _ => own.map(|_| &zeros),
            });
            let part = operator.place.part.as_deref();
            parameters.push(to.parameter(&Wanted {
                part,
                gate,
                role: Role::Gate,
                deepens: false,
                counts: counts(features),
                gate_bias: apart.map(|block| GateBias {
                    gate: FORGET,
                    block,
                    spec: forget.clone().or_else(|| bias.cloned()),
                    law: Law::Constant(0.0),
                }),
                ..Wanted::linear(entry, features, rows).with(init, bias)
            }));
            parameters.push(to.parameter(&Wanted {
                part,
                gate,
                role: Role::Recurrent,
                deepens: matrix + 1 == matrices,
                counts: counts(state),
                gate_bias: apart.filter(|_| forget.is_some()).map(|block| GateBias {
                    gate: FORGET,
                    block,
                    spec: Some(zeros.clone()),
                    law: Law::Constant(0.0),
                }),
                ..Wanted::linear(entry, state, rows).with(recurrent, second)
            }));
        }
        if self.projection.is_some() {
            parameters.push(
                to.parameter(&Wanted {
                    part: operator.place.part.as_deref(),
                    gate: Some(PROJECTION),
                    role: Role::Output,
                    deepens: false,
                    ..Wanted::linear(entry, self.out, state)
                        .with(of_part(&self.init, PROJECTION).map(String::as_str), Some(&none))
                }),
            );
        }
        parameters
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
        let projected = self.projection.map_or(0, |_| self.units) as u128;
        let gates = (1 + 5 * self.gates() as u128) * self.units as u128;
        4 * samples as u128 * self.length as u128 * (features + gates + projected + self.state() as u128)
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

    /// The gates one below the other, as `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and `bias_hh_l0`, of later layers with their number,
    /// from the end with `_reverse`, and the projection as `weight_hr_l0` (torch/nn/modules/rnn.py). PyTorch has both biases or none.
    fn export(&self, exported: &Exported) -> Vec<Exports> {
        let (pairs, projection) =
            exported.parameters.split_at(2 * self.matrices().min(exported.parameters.len() / 2));
        let Some((first, _)) = pairs.first() else { return Vec::new() };
        let place = &self.place;
        let path = place.part.as_ref().and_then(|part| first.path.strip_suffix(part.as_str()));
        let path = path.map_or(first.path.as_str(), |path| path.trim_end_matches('/'));
        let way = if place.reverse { "_reverse" } else { "" };
        let of = |name: &str, shape: Vec<usize>, values: Vec<f32>| {
            Exports::of(path, &format!("{name}_l{}{way}", place.layer), shape, values)
        };
        let every = |name: &str, which: &mut dyn Iterator<Item = &(&Parameter, &ParameterArrays<f32>)>| {
            let which: Vec<_> = which.map(|(_, arrays)| &arrays.weights).collect();
            let (rows, columns) = which.first().map_or((0, 0), |weights| weights.shape());
            let values = which.iter().flat_map(|w| w.transpose().as_slice().to_vec()).collect();
            of(name, vec![rows * which.len(), columns], values)
        };
        let mut all = vec![
            every("weight_ih", &mut pairs.iter().step_by(2)),
            every("weight_hh", &mut pairs.iter().skip(1).step_by(2)),
        ];
        if pairs.iter().any(|(_, arrays)| arrays.bias.is_some()) {
            for (name, first) in [("bias_ih", 0), ("bias_hh", 1)] {
                let of_each = pairs.iter().skip(first).step_by(2).flat_map(|(parameter, arrays)| {
                    arrays
                        .bias
                        .as_ref()
                        .map_or_else(|| vec![0.0; parameter.rows()], |bias| bias.as_slice().to_vec())
                });
                let biases: Vec<f32> = of_each.collect();
                all.push(of(name, vec![biases.len()], biases));
            }
        }
        if !projection.is_empty() {
            all.push(every("weight_hr", &mut projection.iter()));
        }
        all
    }
}

/// What happens at a step.
#[derive(Clone, Debug)]
pub enum CellKind {
    /// h = φ(W x + b + U h + c).
    Plain(Arc<Activation>),
    /// Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; gates i, f, g, o as in PyTorch.
    Lstm,
    /// Cho et al. 2014, with the reset gate behind the product (PyTorch, cuDNN); gates r, z, n.
    Gru,
}

/// The gate that keeps the cell of an LSTM.
pub const FORGET: &str = "forget";
/// The matrix from the cell's output to a smaller state.
const PROJECTION: &str = "projection";

/// Where a recurrent layer of one direction stands among those that make up a layer of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stands {
    /// From 0.
    pub layer: usize,
    /// It runs from the end.
    pub reverse: bool,
    /// Path segments below those of the file's layer; `None` where there is but one.
    pub part: Option<String>,
}

impl Stands {
    /// A segment below these.
    fn at(&self, segment: &str) -> String {
        self.part.as_ref().map_or_else(|| segment.into(), |part| format!("{part}/{segment}"))
    }
}

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
    /// Units of the cell.
    pub units: usize,
    /// Units of the state, where they are fewer.
    pub projection: Option<usize>,
    /// All gates have one matrix.
    pub packed: bool,
    /// Steps.
    pub length: usize,
    /// The last state alone goes on.
    pub last: bool,
    /// Of the gates.
    pub sigmoid: Arc<Activation>,
    /// Of the candidate and of the cell.
    pub tanh: Arc<Activation>,
    /// Which of several it is.
    pub place: Stands,
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

/// z + b, where there are biases.
fn biased<T: Real>(z: Signal<T>, bias: &Option<Signal<T>>) -> Signal<T> {
    match bias {
        Some(bias) => z.plus_column(bias),
        None => z,
    }
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
    /// Of the cell's output, where it is projected.
    projected: Option<Trace<T>>,
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
    projection: Option<Box<dyn LinearMap<T>>>,
    steps: Vec<Step<T>>,
    features: usize,
}

impl Recurrent {
    fn gates(&self) -> usize {
        self.cell.gates().len().max(1)
    }

    /// Units of the state.
    fn state(&self) -> usize {
        self.projection.unwrap_or(self.units)
    }

    /// Matrices of the input, and as many of the state.
    fn matrices(&self) -> usize {
        if self.packed { 1 } else { self.gates() }
    }

    /// Rows of each.
    fn rows(&self) -> usize {
        self.gates() / self.matrices() * self.units
    }

    /// The gate that has a matrix of its own.
    fn gate(&self, matrix: usize) -> Option<&'static str> {
        self.cell.gates().get(matrix).copied().filter(|_| !self.packed)
    }

    /// Of each gate, from the products with each matrix.
    fn by_gate<T: Real>(&self, products: Vec<Signal<T>>) -> Vec<Signal<T>> {
        match products.as_slice() {
            [all] if self.gates() > 1 => unstacked(all, &vec![self.units; self.gates()]),
            _ => products,
        }
    }

    /// Of each matrix, the gradient of its product with the input, and that of its product with the state where it differs.
    fn by_matrix<T: Real>(
        &self,
        mut gates: Vec<Signal<T>>,
        mut candidate: Option<Signal<T>>,
    ) -> Vec<(Signal<T>, Option<Signal<T>>)> {
        let last = gates.len() - 1;
        if self.matrices() < gates.len() {
            let driving = stacked(&gates);
            let recurring = candidate.map(|product| {
                gates[last] = product;
                stacked(&gates)
            });
            return vec![(driving, recurring)];
        }
        let own = |(gate, dz)| (dz, if gate == last { candidate.take() } else { None });
        gates.into_iter().enumerate().map(own).collect()
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
        let share = context.saturation;
        let below = |gate: &Gate<T>, act: &Activation| {
            let threshold = share * act.shape.max_slope.unwrap_or(0.0);
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
        let (rows, batch) = (self.rows(), context.batch);
        let parameters: Vec<&Parameter> = context.own().collect();
        let first = context.call.entry.unwrap_or(0);
        let mut maps: Vec<_> = parameters.iter().map(|parameter| context.map(parameter)).collect();
        let mut projection = if self.projection.is_some() { maps.pop() } else { None };
        // Of each gate, or of all of them: the matrix of the input, then that of the state.
        let mut input = Vec::with_capacity(self.matrices());
        let mut state = Vec::with_capacity(self.matrices());
        for (index, map) in maps.drain(..).enumerate() {
            if index % 2 == 0 { input.push(map) } else { state.push(map) }
        }
        let mut driven = Vec::new();
        for (map, parameter) in input.iter_mut().zip(parameters.iter().step_by(2)) {
            let z = context.product(parameter, map.as_mut(), &x);
            driven.push(biased(z, &context.bias(parameter)));
        }
        let second: Vec<_> = parameters.iter().skip(1).step_by(2).map(|p| context.bias(p)).collect();
        let driven = self.by_gate(driven);
        let zero = |units: usize| Signal::new(DMatrix::from_element(units, batch, T::ZERO), 0);
        let mut h: Activations<T> = Rc::new(CachedSignal::from(zero(self.state())));
        let mut memory = zero(self.units);
        let mut steps = Vec::with_capacity(self.length);
        let mut states = Vec::with_capacity(self.length);
        for time in 0..self.length {
            let entry = first + time;
            let now = Rc::new(CachedSignal::from(slice(&x.signal, time, self.length)));
            let traces = (Trace::new(&now, rows, context), Trace::new(&h, rows, context));
            let recurring = parameters.iter().skip(1).step_by(2);
            let products: Vec<Signal<T>> = state
                .iter_mut()
                .zip(recurring)
                .zip(&second)
                .map(|((map, parameter), bias)| biased(context.product(parameter, map.as_mut(), &h), bias))
                .collect();
            let products = self.by_gate(products);
            let mut projected = None;
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
                    if let (Some(map), Some(parameter)) = (&mut projection, parameters.last()) {
                        projected = Some(Trace::new(&h, self.state(), context));
                        h = Rc::new(CachedSignal::from(context.product(parameter, map.as_mut(), &h)));
                    }
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
            steps.push(Step { input: traces.0, state: traces.1, projected, cell });
            if !self.last {
                states.push(h.signal.clone());
            }
        }
        if !context.keep_weights {
            input.iter_mut().chain(&mut state).chain(&mut projection).for_each(|map| map.release());
        }
        let features = x.signal.values.nrows();
        let out = if self.last { h } else { Rc::new(CachedSignal::from(joined(&states))) };
        (out, Box::new(Tape { layer: self.clone(), input, state, projection, steps, features }))
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
        let batch = context.batch;
        let (rows, units, state) = (self.layer.rows(), self.layer.units, self.layer.state());
        let count = self.layer.matrices();
        let parameters: Vec<&Parameter> = context.own().collect();
        let first = context.call.entry.unwrap_or(0);
        let zero = |units: usize| Signal::new(DMatrix::from_element(units, batch, T::ZERO), 0);
        let (mut dh, mut dc) = (zero(state), zero(units));
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
            let mut groups = Vec::with_capacity(2 * count + 1);
            let projection = (&step.projected, &mut self.projection, parameters.last());
            if let (Some(trace), Some(map), Some(parameter)) = projection {
                let projected = CachedSignal::from(dh);
                groups.push((trace.gradient(parameter, &projected, context), (state * units) as f64));
                dh = context.transposed_product(parameter, map.as_mut(), &projected);
            }
            let Through { gates, products, direct } = match step.cell {
                StepCell::Plain(back) => {
                    let dz = back.backward(dh.into(), context);
                    Through { gates: vec![dz], products: None, direct: None }
                }
                StepCell::Lstm(step) => step.back(&dh, &mut dc),
                StepCell::Gru(step) => step.back(&dh),
            };
            context.observe_gradient(entry, &CachedSignal::from(stacked(&gates)));
            dh = direct.unwrap_or_else(|| zero(state));
            let (inner, outer) = ((rows * state) as f64, (rows * self.features) as f64);
            let matrices = self.layer.by_matrix(gates, products).into_iter().zip(parameters.chunks_exact(2));
            for (k, ((dz, product), pair)) in matrices.enumerate() {
                let (driving, recurring) = (pair[0], pair[1]);
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
        dx.unwrap_or_else(|| zero(self.features))
    }
}
