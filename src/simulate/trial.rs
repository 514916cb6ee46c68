//! One trial: a batch forward through freshly drawn layers, a gradient back.

use super::Control;
use super::engine::Engine;
use super::plan::{CellPlan, LayerPlan, Plan};
use super::streamed::Stack;
use crate::activation::Activation;
use crate::law::Law;
use crate::law::draw;
use crate::numeric::cached::Observed;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::{Key, Role};
pub use crate::op::act::SATURATED;
use crate::op::activate::{activate, activation, dead_units};
use crate::op::loss;
use crate::op::record::{self, InputTrace, LayerRecord, Moments};
use crate::spec::Loss;
use crate::weights::{Method, Operator, operator};
use std::sync::atomic::Ordering;

/// What the backward pass needs of a layer.
struct Tape<T: Real> {
    operator: Box<dyn Operator<T>>,
    input: InputTrace<T>,
    slope: Signal<T>,
}

/// The records of one trial in single precision; `None` when the run was stopped.
pub fn one(
    plan: &Plan,
    cell: &CellPlan,
    trial: usize,
    threads: Threads,
    control: &Control,
) -> Option<Vec<LayerRecord>> {
    let e = &plan.experiment;
    let key = Key { seed: e.seed, trial: trial as u64, layer: 0 };
    let effective_rank = trial < plan.ranked_trials();
    let units = plan.units_a_step(cell);
    let step = || {
        (control.progress)(units);
        !control.stop.load(Ordering::Relaxed)
    };
    if let Some(net) = &cell.net {
        return super::network::one(plan, net, key, (threads, control.threads), effective_rank, &step);
    }
    let (layers, act) = (&*cell.layers, plan.act(cell));
    let method = match cell.choice.engine {
        Engine::Dense => Method::Dense,
        Engine::Lazy => Method::Lazy,
        Engine::Streamed => {
            let (input, batch, loss) = (&plan.input, e.batch, e.loss);
            return Stack { layers, act, input, batch, loss, key, threads, effective_rank }.pass(&step);
        }
    };
    let input = plan.input.draw::<f32>(e.widths[0], e.batch, key);
    let keep_weights = plan.keeps_weights(cell, control.threads);
    Network { layers, act, method, key, threads, keep_weights, effective_rank }.pass(input, e.loss, &step)
}

/// A stack of layers whose weights are named by a key.
pub struct Network<'a> {
    /// First to last.
    pub layers: &'a [LayerPlan],
    /// Behind every layer.
    pub act: &'a Activation,
    /// How products with the weights are drawn.
    pub method: Method,
    /// Names the streams of this trial.
    pub key: Key,
    /// Threads that this trial may use.
    pub threads: Threads,
    /// Keep weights for the backward pass instead of drawing them again.
    pub keep_weights: bool,
    /// Compute the effective rank at each layer.
    pub effective_rank: bool,
}

impl Network<'_> {
    /// Forward and back. `step` is called after each layer of each pass and says whether to go on.
    pub fn pass<T: Real>(
        &self,
        input: Signal<T>,
        loss: Loss,
        step: &dyn Fn() -> bool,
    ) -> Option<Vec<LayerRecord>> {
        let mut records = Vec::with_capacity(self.layers.len());
        let mut tapes = Vec::with_capacity(self.layers.len());
        let mut h = input.into();
        for (index, layer) in self.layers.iter().enumerate() {
            let (next, tape, record) = self.forward(index, layer, h);
            h = next;
            tapes.push(tape);
            records.push(record);
            if !step() {
                return None;
            }
        }
        let top = Key { layer: self.layers.len() as u64 + 1, ..self.key };
        let mut upstream = loss::gradient(loss, &h.signal, top, 0);
        drop(h);
        for (index, mut tape) in tapes.into_iter().enumerate().rev() {
            let d = Observed::from(upstream.hadamard(&tape.slope));
            let record = &mut records[index];
            record.gradient = record::moments(&d, 0.0);
            record.weight_gradient = tape.input.weight_gradient(&d, self.threads);
            upstream = if index > 0 { tape.operator.backward(&d, self.threads) } else { d.signal };
            if !step() {
                return None;
            }
        }
        Some(records)
    }

    fn key(&self, index: usize) -> Key {
        Key { layer: index as u64 + 1, ..self.key }
    }

    /// Z = W·H + b·1ᵀ with the operator that drew W.
    fn linear<T: Real>(
        &self,
        index: usize,
        layer: &LayerPlan,
        h: &Observed<T>,
    ) -> (Signal<T>, Box<dyn Operator<T>>) {
        let key = self.key(index);
        let mut operator = operator(self.method, layer.weights, layer.fan_in, layer.fan_out, key);
        let mut z = operator.forward(h, self.threads);
        if layer.bias != Law::Constant(0.0) {
            let bias = draw::vector(layer.bias, layer.fan_out, key, Role::Bias);
            z = z.plus_column(&bias);
        }
        (z, operator)
    }

    fn forward<T: Real>(
        &self,
        index: usize,
        layer: &LayerPlan,
        h: Observed<T>,
    ) -> (Observed<T>, Tape<T>, LayerRecord) {
        let (z, mut operator) = self.linear(index, layer, &h);
        let input = InputTrace::new(h, layer.fan_out, self.threads);
        if !self.keep_weights {
            operator.release();
        }
        let activated = activate(self.act, &z);
        let (z, psi) = (Observed::from(z), Observed::from(activated.psi));
        let threshold = self.act.shape.max_slope.map(|top| SATURATED * top);
        let (steepest, below) = record::slopes(&activated.slope, threshold.unwrap_or(0.0).into());
        let dead = dead_units(self.act, &z.signal, &steepest);
        let at_zero = self.act.shape.at_zero;
        let record = LayerRecord {
            preactivation: record::moments(&z, 0.0),
            activation: record::moments(&psi, at_zero),
            gradient: Moments::ZERO,
            weight_gradient: Moments::ZERO,
            dead_fraction: dead as f64 / layer.fan_out as f64,
            saturated_fraction: threshold.map(|_| below as f64 / z.signal.values.len() as f64),
            correlation: record::correlation(&z),
            effective_rank: if self.effective_rank { record::effective_rank(&z, self.threads) } else { None },
            unit_symmetry: record::unit_symmetry(&z.signal),
        };
        let next = if at_zero == 0.0 { psi } else { activation(psi.signal, at_zero).into() };
        (next, Tape { operator, input, slope: activated.slope }, record)
    }
}

/// The gradient D_l of every layer, and the last activation, as the engine computes them: what the tests compare with
/// finite differences.
pub fn backward_gradients<T: Real>(
    network: &Network,
    input: Signal<T>,
    loss: Loss,
) -> (Signal<T>, Vec<Signal<T>>) {
    let mut h = Observed::from(input);
    let mut tapes = Vec::new();
    for (index, layer) in network.layers.iter().enumerate() {
        let (next, tape, _) = network.forward(index, layer, h);
        h = next;
        tapes.push(tape);
    }
    let top = Key { layer: network.layers.len() as u64 + 1, ..network.key };
    let mut upstream = loss::gradient(loss, &h.signal, top, 0);
    let mut gradients = Vec::new();
    for mut tape in tapes.into_iter().rev() {
        let d = upstream.hadamard(&tape.slope);
        let d = Observed::from(d);
        upstream = tape.operator.backward(&d, network.threads);
        gradients.push(d.signal);
    }
    gradients.reverse();
    (h.signal, gradients)
}
