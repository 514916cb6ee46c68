//! One run: one network from one start, step by step.

use super::objective::Outcome;
use super::optimizer::At;
use super::outcome::{Epoch, LayerSnapshot, Point, Snapshot};
use super::{Cell, Plan, Set};
use crate::data::Labelled;
use crate::graph::{Graph, backward, forward};
use crate::numeric::product::Threads;
use crate::numeric::signal::Signal;
use crate::numeric::slice::for_each_machine;
use crate::numeric::stream::{Key, Part, Role};
use crate::numeric::wide::Wide;
use crate::op::parameters::{Gradient, gradients_like};
use crate::op::record::LayerRecord;
use crate::op::{Arrays, Context, Gradients, ParameterArrays};
use nalgebra::DMatrix;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Samples that go through the network together: half a batch within these bounds. A batch is cut the same way whatever the number
/// of threads, so sums are the same for all; smaller parts would spend more on weight gradients than on products.
const SHARD: std::ops::RangeInclusive<usize> = 32..=64;
/// Parts of a batch at most; larger batches have larger parts.
const MOST_SHARDS: usize = 64;

/// Samples of each part of a batch.
pub fn shard(batch: usize) -> usize {
    (batch / 2).clamp(*SHARD.start(), *SHARD.end()).max(batch.div_ceil(MOST_SHARDS))
}
/// Samples of a test that go through the network together.
const TEST: usize = 256;
/// Samples over which the accuracy is taken that is to reach the target.
const RECENT: u32 = 1000;
/// Points of a curve.
const POINTS: u64 = 200;

/// What a run has come to; with its [`TrainedParameters`] enough to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps taken.
    pub step: u64,
    /// Complete epochs.
    pub epochs: Vec<Epoch>,
    /// Curves, in stretches of equal length.
    pub points: Vec<Point>,
    /// Layers at some steps.
    pub snapshots: Vec<Snapshot>,
    /// The step that led beyond all numbers.
    pub diverged: Option<u64>,
    /// The first step before which the target was met.
    pub reached: Option<u64>,
    epoch: Sum,
    point: Sum,
    recent: VecDeque<(u32, u32)>,
}

impl State {
    /// No step of so many is left.
    pub fn is_done(&self, steps: u64) -> bool {
        self.diverged.is_some() || self.step >= steps
    }

    /// No sum has more hits than samples.
    pub fn sums_are_possible(&self) -> bool {
        let sums = [&self.epoch, &self.point].iter().all(|sum| sum.hits <= sum.samples);
        let recent: Option<u32> =
            self.recent.iter().try_fold(0u32, |all, (_, samples)| all.checked_add(*samples));
        sums && recent.is_some() && self.recent.iter().all(|(hits, samples)| hits <= samples)
    }
}

/// Sums over some steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    cost: f64,
    hits: u64,
    samples: u64,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.cost += outcome.cost;
        self.hits += u64::from(outcome.hits);
        self.samples += u64::from(outcome.samples);
    }

    /// Mean cost and share of hits, from here on of what follows.
    fn take(&mut self) -> (f64, f64) {
        let Self { cost, hits, samples } = std::mem::take(self);
        (cost / samples.max(1) as f64, hits as f64 / samples.max(1) as f64)
    }
}

/// Parameters of a run, and what its rule keeps of each: all weights, then the biases.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedParameters {
    /// By the numbers of their streams.
    pub parameters: Arrays<f32>,
    /// Moments of weights and of biases.
    pub moments: BTreeMap<u64, [Vec<Vec<f32>>; 2]>,
}

impl TrainedParameters {
    fn new(parameters: Arrays<f32>, moments: usize) -> Self {
        let zeros = |entries: usize| vec![vec![0.0; entries]; moments];
        let of = |(stream, p): (&u64, &ParameterArrays<f32>)| {
            (*stream, [zeros(p.weights.len()), zeros(p.bias.as_ref().map_or(0, DMatrix::len))])
        };
        let moments = parameters.iter().map(of).collect();
        Self { parameters, moments }
    }
}

/// What a part of a batch uses, step after step.
#[derive(Default)]
struct Workspace {
    gradients: Option<Gradients<f32>>,
    scratch: Vec<f32>,
}

/// A run under way.
pub struct Learner<'a> {
    plan: &'a Plan,
    cell: &'a Cell,
    set: &'a Set,
    seed: usize,
    /// The machine is this run's alone.
    alone: bool,
    /// What it has come to.
    pub state: State,
    /// Its parameters.
    pub weights: TrainedParameters,
    workspaces: Vec<Workspace>,
    /// The epoch's order of samples, and its number.
    order: (Option<u64>, Vec<usize>),
}

impl<'a> Learner<'a> {
    /// At its start, or where it was left.
    pub fn new(
        plan: &'a Plan,
        set: &'a Set,
        (cell, seed): (&'a Cell, usize),
        alone: bool,
        saved: Option<(State, TrainedParameters)>,
    ) -> Self {
        let (state, weights) = saved.unwrap_or_else(|| {
            let start = start(plan, set, cell, seed);
            (State::default(), TrainedParameters::new(start, cell.rule.moments()))
        });
        Self {
            plan,
            cell,
            set,
            seed,
            alone,
            state,
            weights,
            workspaces: Vec::new(),
            order: (None, Vec::new()),
        }
    }

    /// No step is left.
    pub fn is_done(&self) -> bool {
        self.state.is_done(self.plan.steps())
    }

    fn threads(&self) -> Threads {
        if self.alone { Threads::All } else { Threads::One }
    }

    /// Samples of a step.
    fn places(&mut self, step: u64) -> Vec<usize> {
        let epoch = step / self.plan.epoch();
        if self.order.0 != Some(epoch) {
            let mut order: Vec<usize> = (0..self.set.train.len()).collect();
            let key = Key { layer: epoch, ..self.plan.key(self.seed) };
            order.shuffle(&mut key.stream(Role::Order, Part::Block(0)));
            self.order = (Some(epoch), order);
        }
        let batch = self.plan.training.batch;
        let from = (step % self.plan.epoch()) as usize * batch;
        self.order.1[from..(from + batch).min(self.order.1.len())].to_vec()
    }

    /// Takes one step, with all that is to be noted before and after it.
    pub fn step(&mut self) {
        let step = self.state.step;
        self.look();
        let places = self.places(step);
        let outcome = self.gradients(step, &places);
        let mean = outcome.cost / f64::from(outcome.samples.max(1));
        let finite = mean <= f64::from(f32::MAX) && self.update(step);
        if !finite {
            self.state.diverged = Some(step + 1);
            return;
        }
        self.note(step, outcome);
        self.state.step = step + 1;
        if self.state.step.is_multiple_of(self.plan.epoch()) {
            let (train_loss, train_accuracy) = self.state.epoch.take();
            let test = self.test();
            let samples = f64::from(test.samples.max(1));
            let loss = test.cost / samples;
            self.state.epochs.push(Epoch {
                epoch: self.state.epochs.len() + 1,
                train_loss,
                train_accuracy,
                test_loss: (loss <= f64::from(f32::MAX)).then_some(loss),
                test_accuracy: f64::from(test.hits) / samples,
            });
        }
        if self.state.step == self.plan.steps() {
            self.look();
        }
    }

    fn note(&mut self, step: u64, outcome: Outcome) {
        let state = &mut self.state;
        state.epoch.add(outcome);
        state.point.add(outcome);
        let length = self.plan.steps().div_ceil(POINTS);
        if (step + 1).is_multiple_of(length) || step + 1 == self.plan.steps() {
            let (loss, accuracy) = state.point.take();
            state.points.push(Point { step: step + 1, loss, accuracy });
        }
        if state.reached.is_some() {
            return;
        }
        state.recent.push_back((outcome.hits, outcome.samples));
        let total = |recent: &VecDeque<(u32, u32)>| {
            recent.iter().fold((0, 0), |sum, (hits, samples)| (sum.0 + hits, sum.1 + samples))
        };
        let (mut hits, mut samples) = total(&state.recent);
        while let Some((first_hits, first)) = state.recent.front().copied()
            && samples - first >= RECENT
        {
            state.recent.pop_front();
            (hits, samples) = (hits - first_hits, samples - first);
        }
        if samples >= RECENT.min(self.set.train.len() as u32)
            && f64::from(hits) >= self.plan.training.target * f64::from(samples)
        {
            state.reached = Some(step + 1);
            state.recent.clear();
        }
    }

    /// Fills the first workspace with the gradient of a batch.
    fn gradients(&mut self, step: u64, places: &[usize]) -> Outcome {
        let size = if self.cell.net.mixes_samples() { places.len() } else { shard(self.plan.batch()) };
        let shards: Vec<&[usize]> = places.chunks(size).collect();
        while self.workspaces.len() < shards.len() {
            self.workspaces.push(Workspace::default());
        }
        let (net, parameters, train) = (&*self.cell.net, &self.weights.parameters, &self.set.train);
        let objective = self.plan.training.loss;
        let key = self.plan.key(self.seed);
        let inner = if shards.len() > 1 { Threads::One } else { self.threads() };
        let work = |(index, (shard, workspace)): (usize, (&&[usize], &mut Workspace))| {
            let mut pass = net.context(key.of_step(step, index), shard.len(), inner);
            pass.quiet = true;
            pass.given = Some(parameters);
            pass.scratch = std::mem::take(&mut workspace.scratch);
            let mut gradients = workspace.gradients.take().unwrap_or_else(|| gradients_like(parameters));
            gradients.values_mut().for_each(Gradient::restart);
            pass.gradients = Some(gradients);
            let batch = train.select(shard);
            let outcome =
                through(net, batch, &mut pass, |out, labels| objective.evaluate(out, labels, places.len()));
            *workspace = Workspace { gradients: pass.gradients, scratch: pass.scratch };
            outcome
        };
        let pairs = shards.iter().zip(&mut self.workspaces).enumerate();
        let outcomes: Vec<Outcome> = if self.alone && shards.len() > 1 {
            pairs.collect::<Vec<_>>().into_par_iter().map(work).collect()
        } else {
            pairs.map(work).collect()
        };
        let count = shards.len();
        if let Some((Workspace { gradients: Some(sum), .. }, others)) =
            self.workspaces[..count].split_first_mut()
        {
            for gradients in others.iter().filter_map(|workspace| workspace.gradients.as_ref()) {
                for (sum, part) in sum.values_mut().zip(gradients.values()) {
                    add(sum.weights.as_mut_slice(), part.weights.as_slice());
                    if let (Some(sum), Some(part)) = (&mut sum.bias, &part.bias) {
                        add(sum.as_mut_slice(), part.as_slice());
                    }
                }
            }
        }
        outcomes.into_iter().fold(Outcome::default(), Outcome::plus)
    }

    /// Follows the gradient; whether all numbers stay finite.
    fn update(&mut self, step: u64) -> bool {
        let plan = self.plan;
        let share = plan.schedule.share(step, plan.steps(), plan.epoch(), plan.training.warmup);
        let at = At { step: step + 1, rate: self.cell.rate * share, decay: self.cell.decay };
        let Some(Workspace { gradients: Some(gradients), .. }) = self.workspaces.first() else { return true };
        let mut finite = true;
        let TrainedParameters { parameters, moments } = &mut self.weights;
        let pairs = parameters.values_mut().zip(gradients.values()).zip(moments.values_mut());
        for ((parameter, gradient), [of_weights, of_biases]) in pairs {
            let mut follow = |w: &mut [f32], g: &[f32], moments: &mut [Vec<f32>]| {
                self.cell.rule.step(w, g, moments, at);
                finite &= all_finite(g) && all_finite(w);
            };
            let weights = Arc::make_mut(&mut parameter.weights);
            follow(weights.as_mut_slice(), gradient.weights.as_slice(), of_weights);
            if let (Some(bias), Some(gradient)) = (&mut parameter.bias, &gradient.bias) {
                follow(bias.as_mut_slice(), gradient.as_slice(), of_biases);
            }
        }
        finite
    }

    /// Cost and hits on the test samples.
    fn test(&self) -> Outcome {
        let (net, parameters, test) = (&*self.cell.net, &self.weights.parameters, &self.set.test);
        let objective = self.plan.training.loss;
        let key = self.plan.key(self.seed);
        let places: Vec<usize> = (0..test.len()).collect();
        let work = |part: &[usize]| {
            let mut pass = net.context::<f32>(key, part.len(), Threads::One);
            (pass.quiet, pass.evaluating, pass.given) = (true, true, Some(parameters));
            let batch = test.select(part);
            let out = forward(net, vec![Signal::new(batch.samples, 0)], &mut pass, false, &|| true);
            out.map_or(Outcome::default(), |(out, _)| objective.evaluate(&out.signal, &batch.labels, 1).0)
        };
        let outcomes: Vec<Outcome> = if self.alone {
            places.par_chunks(TEST).map(work).collect()
        } else {
            places.chunks(TEST).map(work).collect()
        };
        outcomes.into_iter().fold(Outcome::default(), Outcome::plus)
    }

    /// Notes the layers where this step is among those wanted: variances over the first batch of the training samples.
    fn look(&mut self) {
        let step = self.state.step;
        let wanted =
            self.plan.snapshots.contains(&step) && self.state.snapshots.last().is_none_or(|l| l.step < step);
        if !wanted {
            return;
        }
        let net = &*self.cell.net;
        let batch = first_batch(self.plan, self.set);
        let key = self.plan.key(self.seed).of_step(step, 0);
        let mut pass = net.context::<f32>(key, batch.len(), self.threads());
        pass.given = Some(&self.weights.parameters);
        let (count, objective) = (batch.len(), self.plan.training.loss);
        through(net, batch, &mut pass, |out, labels| objective.evaluate(out, labels, count));
        let layers = pass.records.iter().map(LayerSnapshot::from).collect();
        self.state.snapshots.push(Snapshot { step, layers });
    }
}

/// Forward and back; the outcome.
fn through<'a>(
    net: &'a Graph,
    batch: Labelled,
    pass: &mut Context<'a, f32>,
    evaluate: impl FnOnce(&Signal<f32>, &[u32]) -> (Outcome, Signal<f32>),
) -> Outcome {
    let Ok((out, tape)) = forward(net, vec![Signal::new(batch.samples, 0)], pass, false, &|| true) else {
        return Outcome::default();
    };
    let (outcome, upstream) = evaluate(&out.signal, &batch.labels);
    drop(out);
    let _ = backward(net, tape, upstream, pass, &|| true);
    outcome
}

fn first_batch(plan: &Plan, set: &Set) -> Labelled {
    let places: Vec<usize> = (0..plan.batch()).collect();
    set.train.select(&places)
}

/// Parameters as a run begins with them. A procedure that rescales weights (LSUV) sees the first batch.
pub fn start(plan: &Plan, set: &Set, cell: &Cell, seed: usize) -> Arrays<f32> {
    let (key, net) = (plan.key(seed), &*cell.net);
    let mut arrays = net.arrays(&net.context::<f32>(key, 1, Threads::One));
    if !net.parameters.iter().any(|parameter| parameter.rescaled) {
        return arrays;
    }
    let batch = first_batch(plan, set);
    let mut context = net.context::<f32>(key, batch.len(), Threads::One);
    context.quiet = true;
    // Nothing stops a pass whose step always says to go on.
    let _ = forward(net, vec![Signal::new(batch.samples, 0)], &mut context, false, &|| true);
    for parameter in net.own_parameters() {
        let factor = context.factor(parameter).map(|factor| factor.to_f64() as f32);
        if let Some((factor, array)) = factor.zip(arrays.get_mut(&parameter.stream)) {
            Arc::make_mut(&mut array.weights).as_mut_slice().iter_mut().for_each(|w| *w *= factor);
        }
    }
    arrays
}

impl From<&LayerRecord> for LayerSnapshot {
    fn from(record: &LayerRecord) -> Self {
        let log = |variance: Wide| variance.log10_abs();
        Self {
            activation: log(record.activation.variance),
            gradient: log(record.gradient.second_moment),
            weight_gradient: log(record.weight_gradient.second_moment),
        }
    }
}

for_each_machine! {
    fn add(sum: &mut [f32], values: &[f32]) {
        sum.iter_mut().zip(values).for_each(|(s, v)| *s += *v);
    }
}

for_each_machine! {
    fn all_finite(values: &[f32]) -> bool {
        values.iter().fold(0u32, |bad, v| bad | u32::from(!v.is_finite())) == 0
    }
}
