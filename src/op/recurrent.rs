//! Recurrent layers over time. Every step is recorded as a layer of the unrolled network.
//!
//! All is written in signals, so gates that close and states that grow keep their scale at any size.

use super::act::{Act, SATURATED};
use super::activate::{activate, activation};
use super::linear::Trace;
use super::pass::{Back, Layer, Pass, Value, Weights};
use crate::activation::Activation;
use crate::numeric::cached::Observed;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::wide::Wide;
use crate::op::record::{Moments, moments, slopes};
use crate::weights::{Dense, Operator};
use nalgebra::DMatrix;
use std::rc::Rc;
use std::sync::Arc;

/// What happens at a step.
#[derive(Clone, Debug)]
pub enum Cell {
    /// h = φ(W x + b + U h).
    Plain(Arc<Activation>),
    /// Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; gates i, f, g, o as in PyTorch.
    Lstm,
    /// Cho et al. 2014, with the reset gate behind the product (PyTorch, cuDNN); gates r, z, n.
    Gru,
}

/// A recurrent layer.
#[derive(Clone, Debug)]
pub struct Recurrent {
    /// What happens at a step.
    pub cell: Cell,
    /// For each gate: weights of the input with the biases, weights of the state.
    pub gates: Vec<(Weights, Weights)>,
    /// Place of the first step among the records.
    pub entry: usize,
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

/// The mantissas at a common exponent: that of the largest.
fn aligned<T: Real>(parts: &[Signal<T>]) -> (i64, Vec<T>) {
    let top = parts.iter().filter_map(Signal::top_exponent).max().unwrap_or(0);
    let scale = |s: &Signal<T>| T::of(libm::scalbn(1.0, (s.exponent - top).clamp(-2000, 1000) as i32));
    (top, parts.iter().map(scale).collect())
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

/// Gates as rows, one below the other.
fn stacked<T: Real>(gates: &[Signal<T>]) -> Signal<T> {
    let (rows, batch) = gates[0].values.shape();
    let (exponent, scales) = aligned(gates);
    let values = DMatrix::from_fn(rows * gates.len(), batch, |i, j| {
        gates[i / rows].values[(i % rows, j)] * scales[i / rows]
    });
    Signal::new(values, exponent)
}

/// Moments of several groups of entries together.
pub fn pooled(groups: &[(Moments, f64)]) -> Moments {
    let total: f64 = groups.iter().map(|g| g.1).sum();
    let mean = |of: fn(&Moments) -> Wide| {
        groups.iter().fold(Wide::ZERO, |sum, (m, count)| sum + of(m) * Wide::from(count / total))
    };
    let (first, second_moment) = (mean(|m| m.mean), mean(|m| m.second_moment));
    let variance = second_moment + -(first * first);
    let variance = if variance.mantissa() < 0.0 { Wide::ZERO } else { variance };
    Moments { mean: first, variance, second_moment }
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
    Plain(Box<dyn Back<T>>),
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
    before: Value<T>,
}

struct Tape<T: Real> {
    layer: Recurrent,
    input: Vec<Dense<T>>,
    state: Vec<Dense<T>>,
    steps: Vec<Step<T>>,
    features: usize,
}

impl Recurrent {
    fn units(&self) -> usize {
        self.gates[0].0.units
    }

    fn observe_gates<T: Real>(&self, entry: usize, z: &[Signal<T>], gates: &[Gate<T>], pass: &mut Pass<T>) {
        pass.observe(entry, &Observed::from(stacked(z)));
        if !pass.records_forward() {
            return;
        }
        let below = |gate: &Gate<T>, act: &Activation| {
            let threshold = SATURATED * act.shape.max_slope.unwrap_or(0.0);
            slopes(&gate.slope, threshold.into()).1
        };
        let act = |index: usize| match (&self.cell, index) {
            (Cell::Lstm, 2) | (Cell::Gru, 2) => &self.tanh,
            _ => &self.sigmoid,
        };
        let saturated: usize = gates.iter().enumerate().map(|(k, gate)| below(gate, act(k))).sum();
        let entries: usize = gates.iter().map(|gate| gate.slope.values.len()).sum();
        pass.records[entry].saturated_fraction = Some(saturated as f64 / entries as f64);
    }

    fn observe_state<T: Real>(&self, entry: usize, h: &Observed<T>, pass: &mut Pass<T>) {
        if pass.records_forward() {
            pass.records[entry].activation = moments(h, 0.0);
        }
    }
}

impl<T: Real> Layer<T> for Recurrent {
    fn forward(&self, x: Value<T>, pass: &mut Pass<T>) -> (Value<T>, Box<dyn Back<T>>) {
        let (units, batch) = (self.units(), pass.batch);
        let mut input: Vec<Dense<T>> = self.gates.iter().map(|(w, _)| pass.dense(w)).collect();
        let mut state: Vec<Dense<T>> = self.gates.iter().map(|(_, u)| pass.dense(u)).collect();
        let mut driven = Vec::new();
        for ((weights, _), operator) in self.gates.iter().zip(&mut input) {
            let z = operator.forward(&x, pass.threads);
            driven.push(match pass.bias(weights) {
                Some(bias) => z.plus_column(&bias),
                None => z,
            });
        }
        let zero = || Signal::new(DMatrix::from_element(units, batch, T::ZERO), 0);
        let mut h: Value<T> = Rc::new(Observed::from(zero()));
        let mut memory = zero();
        let mut steps = Vec::with_capacity(self.length);
        let mut states = Vec::with_capacity(self.length);
        for time in 0..self.length {
            let entry = self.entry + time;
            let now = Rc::new(Observed::from(slice(&x.signal, time, self.length)));
            let traces = (Trace::new(&now, units, pass), Trace::new(&h, units, pass));
            let products: Vec<Signal<T>> = state.iter_mut().map(|u| u.forward(&h, pass.threads)).collect();
            let drive = |k: usize| slice(&driven[k], time, self.length);
            let cell = match &self.cell {
                Cell::Plain(function) => {
                    let z = Rc::new(Observed::from(drive(0).plus(products[0].clone())));
                    pass.observe(entry, &z);
                    let act = Act { function: Arc::clone(function), completes: Some(entry) };
                    let (next, back) = act.forward(z, pass);
                    h = next;
                    StepCell::Plain(back)
                }
                Cell::Lstm => {
                    let z: Vec<Signal<T>> =
                        products.into_iter().enumerate().map(|(k, p)| drive(k).plus(p)).collect();
                    let act = |k: usize| if k == 2 { &self.tanh } else { &self.sigmoid };
                    let gates = [0, 1, 2, 3].map(|k: usize| gate(act(k), &z[k]));
                    let [i, f, g, o] = gates.each_ref().map(|gate| &gate.value);
                    let next = f.hadamard(&memory).plus(i.hadamard(g));
                    let before = std::mem::replace(&mut memory, next);
                    let out = gate(&self.tanh, &memory);
                    h = Rc::new(Observed::from(o.hadamard(&out.value)));
                    self.observe_gates(entry, &z, &gates, pass);
                    self.observe_state(entry, &h, pass);
                    StepCell::Lstm(LstmStep { gates, before, out })
                }
                Cell::Gru => {
                    let [r, u] = [0, 1].map(|k: usize| drive(k).plus(products[k].clone()));
                    let keep = gate(&self.sigmoid, &u.clone().times(Wide::from(-1.0))).value;
                    let reset = gate(&self.sigmoid, &r);
                    let update = gate(&self.sigmoid, &u);
                    let n = drive(2).plus(reset.value.hadamard(&products[2]));
                    let candidate = gate(&self.tanh, &n);
                    let next = keep.hadamard(&candidate.value).plus(update.value.hadamard(&h.signal));
                    let before = std::mem::replace(&mut h, Rc::new(Observed::from(next)));
                    let gates = [reset, update, candidate];
                    self.observe_gates(entry, &[r, u, n], &gates, pass);
                    self.observe_state(entry, &h, pass);
                    StepCell::Gru(GruStep { gates, keep, product: products[2].clone(), before })
                }
            };
            steps.push(Step { input: traces.0, state: traces.1, cell });
            if !self.last {
                states.push(h.signal.clone());
            }
        }
        if !pass.keep_weights {
            input.iter_mut().chain(&mut state).for_each(Dense::release);
        }
        let features = x.signal.values.nrows();
        let out = if self.last { h } else { Rc::new(Observed::from(joined(&states))) };
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

impl<T: Real> Back<T> for Tape<T> {
    fn backward(mut self: Box<Self>, d: Signal<T>, pass: &mut Pass<T>) -> Signal<T> {
        let length = self.layer.length;
        let (units, batch) = (self.layer.units(), pass.batch);
        let count = self.layer.gates.len();
        let zero = || Signal::new(DMatrix::from_element(units, batch, T::ZERO), 0);
        let (mut dh, mut dc) = (zero(), zero());
        let mut driven: Vec<Vec<Signal<T>>> = (0..count).map(|_| Vec::with_capacity(length)).collect();
        let mut d = Some(d);
        while let Some(step) = self.steps.pop() {
            let time = self.steps.len();
            let entry = self.layer.entry + time;
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
                    let dz = back.backward(std::mem::replace(&mut dh, zero()), pass);
                    Through { gates: vec![dz], products: None, direct: None }
                }
                StepCell::Lstm(step) => step.back(&dh, &mut dc),
                StepCell::Gru(step) => step.back(&dh),
            };
            pass.observe_gradient(entry, &Observed::from(stacked(&gates)));
            dh = direct.unwrap_or_else(zero);
            let (inner, outer) = ((units * units) as f64, (units * self.features) as f64);
            let mut groups = Vec::with_capacity(2 * count);
            for (k, (dz, (driving, recurring))) in gates.into_iter().zip(&self.layer.gates).enumerate() {
                let product = if k == 2 { products.clone() } else { None };
                let dz = Observed::from(dz);
                groups.push((step.input.gradient(driving, &dz, pass), outer));
                let product = product.map(Observed::from);
                let beside = product.as_ref().unwrap_or(&dz);
                groups.push((step.state.gradient(recurring, beside, pass), inner));
                dh = dh.plus(self.state[k].backward(beside, pass.threads));
                driven[k].push(dz.signal);
            }
            pass.observe_weight_gradient(entry, pooled(&groups));
        }
        let mut dx: Option<Signal<T>> = None;
        for (operator, mut steps) in self.input.iter_mut().zip(driven) {
            steps.reverse();
            let part = operator.backward(&Observed::from(joined(&steps)), pass.threads);
            dx = Some(match dx {
                None => part,
                Some(sum) => sum.plus(part),
            });
        }
        dx.unwrap_or_else(zero)
    }
}
