//! Singular values of the input-output Jacobian J = ∂output/∂input (SCIENCE 5.5 and 7), by products with J and Jᵀ.
//!
//! One sample is replicated in the batch. Where no layer mixes samples, the backward pass takes a read-out of its own from each
//! copy, so a pass with k read-outs gives k exact rows of J. Where J is small enough all its rows are formed, and its singular
//! values are the square roots of the eigenvalues of the smaller Gram matrix. Else random read-outs u give mean square and fourth
//! moment without bias, E‖Jᵀu‖² = tr JJᵀ and E⟨Jᵀu, Jᵀu′⟩² = tr (JJᵀ)² (Hutchinson 1990), and block power iteration the largest.
//!
//! All is in double precision. Passes of one trial see the same weights: those of the cell's own method where one pass is enough
//! and that method is not dearer with so many read-outs, and else drawn ones, which each pass draws from the same streams.

use crate::expectation::field::WeightMoments;
use crate::graph::{Graph, backward, forward};
use crate::law::Law;
use crate::numeric::product::{Threads, gram, gram_of_rows, mul, tr_mul};
use crate::numeric::signal::{Signal, aligned, reshaped};
use crate::numeric::spectrum::eigenvalues;
use crate::numeric::stream::{Key, Part, Role};
use crate::numeric::wide::Wide;
use crate::op::{Context, Parameter, Shape, exactly};
use crate::result::Report;
use crate::result::jacobian::{Jacobian, JacobianMethod, JacobianTheory, OverTrials};
use crate::simulate::cost::Cost;
use crate::simulate::rates::Rates;
use crate::simulate::{CellPlan, Control, Engine, InputStatistics, LayerPlan, PROGRAM, Plan, RunError};
use crate::theory::jacobian;
use crate::weights::{Factor, Method, largest_square};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// All singular values are computed up to so many.
const MOST: usize = 2048;
/// And up to so many entries of J, which are kept at once: 512 MiB.
const MOST_ENTRIES: usize = 1 << 26;
/// Trials beyond these are left out: one spectrum already averages over its singular values.
const MOST_TRIALS: usize = 10;
/// The tape of a pass may take so many bytes.
const TAPE: u128 = 1 << 28;
/// Random read-outs of an estimate, and steps of its power iteration.
const READ_OUTS: usize = 64;
const POWER_STEPS: usize = 4;
/// Ranks that a spectrum is given at.
const RANKS: usize = 64;
/// Entries of the largest weight matrix that can be drawn for several passes: 2 GiB.
const MOST_WEIGHTS: u128 = 1 << 30;

/// Why the Jacobian of a network is not measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NotMeasured {
    #[error("the network takes tokens, which have no derivative")]
    Tokens,
    #[error("the network has several inputs, and a Jacobian is that of one")]
    Inputs,
    #[error(
        "a batch norm makes the output of a sample depend on the others: a Jacobian of one sample is not defined"
    )]
    MixesSamples,
    #[error("its Jacobian takes several passes, and its weights are too many to be drawn for each")]
    TooLarge,
}

/// Whether the Jacobian of all cells can be measured.
///
/// # Errors
/// The first reason against it.
pub fn check(plan: &Plan) -> Result<(), NotMeasured> {
    plan.cells.iter().try_for_each(|cell| Measurement::new(cell).map(|_| ()))
}

/// Units of progress of [`measure`]: trials of all cells.
pub fn units(plan: &Plan) -> u64 {
    (plan.cells.len() * plan.experiment.trials.min(MOST_TRIALS)) as u64
}

/// Predicted seconds of [`measure`] on so many cores at the rates of this machine.
pub fn seconds(plan: &Plan, cores: usize, rates: Rates) -> f64 {
    let trials = plan.experiment.trials.min(MOST_TRIALS) as f64;
    let one = |cell: &CellPlan| Measurement::new(cell).map_or(Cost::default(), |m| m.cost() * trials);
    let all: Cost = plan.cells.iter().map(one).sum();
    // Eigenvalues are sought by one thread.
    let alone = Cost { factors: all.factors, ..Cost::default() };
    rates.seconds(Cost { factors: 0.0, ..all }) / cores.max(1) as f64 + rates.seconds(alone)
}

/// Trials that run side by side on so many threads: those of the first cell.
pub fn side_by_side(plan: &Plan, threads: usize) -> u64 {
    let trials = plan.experiment.trials.min(MOST_TRIALS);
    let first = plan.cells.first().and_then(|cell| Measurement::new(cell).ok());
    first.map_or(1, |measurement| measurement.side_by_side(trials, threads)) as u64
}

/// Most bytes of [`measure`] at once on so many threads.
pub fn bytes(plan: &Plan, threads: usize) -> u128 {
    let trials = plan.experiment.trials.min(MOST_TRIALS);
    let one = |cell: &CellPlan| {
        let measurement = Measurement::new(cell).ok()?;
        Some(measurement.side_by_side(trials, threads) as u128 * measurement.bytes())
    };
    PROGRAM + plan.cells.iter().filter_map(one).max().unwrap_or(0)
}

/// Measures the Jacobian of every cell of a complete report, and writes it there; each trial is a unit of progress.
///
/// # Errors
/// When the threads cannot be started.
pub fn measure(plan: &Plan, control: &Control, report: &mut Report) -> Result<(), RunError> {
    let pool = control.pool()?;
    if report.interrupted || report.cells.len() != plan.cells.len() {
        return Ok(());
    }
    // All from one thread: each has a heap of its own, which keeps what a cell has freed for the next on the same thread.
    pool.install(|| measure_cells(plan, control, report));
    Ok(())
}

fn measure_cells(plan: &Plan, control: &Control, report: &mut Report) {
    let entrance = plan.inputs.common.entrance();
    let trials = plan.experiment.trials.min(MOST_TRIALS);
    for (cell, to) in plan.cells.iter().zip(&mut report.cells) {
        let Ok(measurement) = Measurement::new(cell) else { continue };
        let one = |trial: usize, threads: Threads| {
            if control.stop.load(Ordering::Relaxed) {
                None
            } else {
                let spectrum = measurement.trial(plan, trial, threads, control.stop)?;
                (control.progress)(1);
                Some(spectrum)
            }
        };
        let spectra: Option<Vec<Spectrum>> = if measurement.side_by_side(trials, control.threads) > 1 {
            (0..trials).into_par_iter().with_max_len(1).map(|trial| one(trial, Threads::One)).collect()
        } else {
            (0..trials).map(|trial| one(trial, Threads::All)).collect()
        };
        // Stopped: what is complete stays without it.
        let Some(spectra) = spectra else { break };
        to.jacobian = Some(measurement.summary(&spectra, theory(plan, cell, &entrance)));
    }
}

/// What theory says of a cell: of stacks of square layers whose weights have no mean.
fn theory(plan: &Plan, cell: &CellPlan, entrance: &InputStatistics) -> Option<JacobianTheory> {
    let square = |layer: &LayerPlan| layer.fan_in == layer.fan_out && !layer.rescaled;
    if !cell.is_stack || !cell.layers.iter().all(square) {
        return None;
    }
    let laws: Option<Vec<WeightMoments>> =
        cell.layers.iter().map(|l| WeightMoments::of(l.fan_in, l.fan_out, &l.weights, &l.bias)).collect();
    let expected = jacobian::expected(plan.act(cell), &laws?, entrance.moments)?;
    Some(JacobianTheory {
        log10_mean_square: expected.log10_mean_square,
        relative_variance: expected.relative_variance,
    })
}

/// Singular values of one trial.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// log₁₀ of the largest.
    pub log10_largest: Option<f64>,
    /// Mean of their squares.
    pub mean_square: Wide,
    /// Variance of their squares over the squared mean.
    pub relative_variance: Option<f64>,
    /// log₁₀ of all, from the largest to the least; `None` for what is zero to rounding. Empty where they are not known.
    pub log10_values: Vec<Option<f64>>,
}

/// Implicit products of a pass with so many samples cost more than drawn weights: read-outs are as many as outputs.
fn dearer(parameter: &Parameter, samples: usize) -> bool {
    let (rows, columns) = (parameter.rows() as f64, parameter.drawn_columns() as f64);
    let cost = |of: fn(Law, f64, f64, f64) -> Cost| of(parameter.law, columns, rows, samples as f64).total();
    cost(Cost::dense) < cost(Cost::implicit)
}

/// How the Jacobian of one network is measured.
pub struct Measurement {
    graph: Graph,
    method: JacobianMethod,
    /// Samples of a pass.
    block: usize,
    inputs: usize,
    outputs: usize,
}

impl Measurement {
    /// For the network of a cell.
    ///
    /// # Errors
    /// Why it has no Jacobian that could be measured.
    pub fn new(cell: &CellPlan) -> Result<Self, NotMeasured> {
        let mut graph = cell.graph.as_ref().clone();
        let input = graph.sole_input().ok_or(NotMeasured::Inputs)?;
        if input.features() == 0 {
            return Err(NotMeasured::Tokens);
        }
        if graph.mixes_samples() {
            return Err(NotMeasured::MixesSamples);
        }
        let (inputs, outputs) = (input.size(), graph.output().size());
        let full = inputs.min(outputs) <= MOST && inputs.saturating_mul(outputs) <= MOST_ENTRIES;
        let (method, wanted) =
            if full { (JacobianMethod::Full, outputs) } else { (JacobianMethod::Estimated, READ_OUTS) };
        // Twice the bytes of single precision.
        let of_one = (2 * graph.tape_bytes(1)).max(1);
        let block = wanted.min((TAPE / of_one).clamp(1, 1 << 20) as usize);
        // Weights that are rescaled meet the trial's batch in a pass of its own.
        let rescaled = graph.parameters.iter().any(|parameter| parameter.rescaled);
        let one_pass = full && block == wanted && !rescaled;
        let implicit = cell.choice.engine == Engine::Streamed;
        for parameter in &mut graph.parameters {
            match (one_pass, implicit) {
                (true, true) => parameter.method = Method::Implicit,
                (true, false) if parameter.method == Method::Implicit && !dearer(parameter, block) => {}
                _ => parameter.method = Method::Dense,
            }
        }
        let drawn = graph.parameters.iter().any(|p| {
            p.method == Method::Dense
                && p.rows() as u128 * p.drawn_columns() as u128 > MOST_WEIGHTS
                && !p.law.is_fixed()
        });
        if drawn {
            return Err(NotMeasured::TooLarge);
        }
        Ok(Self { graph, method, block, inputs, outputs })
    }

    /// The same by random read-outs, however small J is.
    pub fn estimated(self) -> Self {
        let block = self.block.min(READ_OUTS);
        Self { method: JacobianMethod::Estimated, block, ..self }.drawn()
    }

    /// The same in passes of at most so many samples.
    pub fn in_blocks_of(self, samples: usize) -> Self {
        Self { block: samples.max(1), ..self }.drawn()
    }

    /// With weights that several passes can draw again.
    fn drawn(mut self) -> Self {
        self.graph.parameters.iter_mut().for_each(|parameter| parameter.method = Method::Dense);
        self
    }

    /// Trials may be computed side by side: many of them take little memory.
    fn is_small(&self) -> bool {
        self.inputs.saturating_mul(self.outputs) <= 1 << 20 && self.graph.tape_bytes(self.block) <= 1 << 24
    }

    fn side_by_side(&self, trials: usize, threads: usize) -> usize {
        if self.is_small() && trials >= threads { threads } else { 1 }
    }

    /// Samples that pass in a trial, forward and back, and passes.
    fn samples(&self) -> (f64, f64) {
        match self.method {
            JacobianMethod::Full => (self.outputs as f64, self.outputs.div_ceil(self.block) as f64),
            JacobianMethod::Estimated => {
                // A step of the power iteration goes forward twice and back, each time with weights of their streams.
                let passes = (1 + 3 * POWER_STEPS) * READ_OUTS.div_ceil(self.block);
                ((READ_OUTS * (1 + 2 * POWER_STEPS)) as f64, passes as f64)
            }
        }
    }

    /// Work of a trial. Products of double precision take twice the time of single precision.
    fn cost(&self) -> Cost {
        let (samples, passes) = self.samples();
        let drawn = |p: &Parameter| {
            let (rows, columns) = (p.rows() as f64, p.drawn_columns() as f64);
            match p.method {
                _ if p.law.is_fixed() || !p.is_own() => Cost::default(),
                Method::Dense => Cost::drawing(p.law, columns, rows) * passes,
                Method::Implicit => Cost::implicit(p.law, columns, rows, samples),
            }
        };
        let drawn: Cost = self.graph.parameters.iter().map(drawn).sum();
        let entries: usize = self.graph.nodes.iter().map(|node| self.graph.shapes(node).output_size()).sum();
        let (size, other) = (self.inputs.min(self.outputs) as f64, self.inputs.max(self.outputs) as f64);
        let spectrum = match self.method {
            JacobianMethod::Full => {
                Cost { products: 2.0 * size * size * other, factors: size.powi(3), ..Cost::default() }
            }
            JacobianMethod::Estimated => Cost::default(),
        };
        // Without the third that weight gradients take.
        let products = 2.0 * (2.0 / 3.0) * self.graph.operations() * samples;
        drawn + spectrum + Cost { products, entries: 2.0 * entries as f64 * samples, ..Cost::default() }
    }

    /// Bytes of a trial: the tape and the weights of a pass in double precision, the rows of J once more side by side, and a Gram
    /// matrix with its copy.
    fn bytes(&self) -> u128 {
        let weights = |p: &Parameter| match p.method {
            _ if p.law.is_fixed() || !p.is_own() => 0,
            Method::Dense => 8 * p.rows() as u128 * p.drawn_columns() as u128,
            Method::Implicit => 16 * (p.rows() + p.drawn_columns()) as u128 * self.block as u128,
        };
        let weights: u128 = self.graph.parameters.iter().map(weights).sum();
        let rows = if self.method == JacobianMethod::Full { self.outputs } else { READ_OUTS };
        let size = rows.min(self.inputs) as u128;
        let widest = self.graph.widest() as u128 * self.block as u128;
        let jacobian = 8 * (2 * rows as u128 * self.inputs as u128 + 2 * size * size);
        2 * self.graph.tape_bytes(self.block) + weights + 8 * 3 * widest + jacobian
    }

    /// The singular values of a trial, at the first sample of its batch; `None` where `stop` was set.
    pub fn trial(&self, plan: &Plan, number: usize, threads: Threads, stop: &AtomicBool) -> Option<Spectrum> {
        let e = &plan.experiment;
        let key = Key { seed: e.seed, trial: number as u64, layer: 0 };
        let [batch] = exactly(plan.inputs.draw::<f64>(&self.graph, e.batch, key));
        let mut context = self.graph.context::<f64>(key, e.batch, threads);
        (context.quiet, context.evaluating, context.input_gradient) = (true, true, true);
        let sample = Signal::new(batch.values.columns(0, 1).into_owned(), batch.exponent);
        if self.graph.parameters.iter().any(|parameter| parameter.rescaled) {
            // The factors are those of the trial's own batch.
            let _ = forward(&self.graph, vec![batch], &mut context, false, &goes_on(stop));
        }
        let mut passes = Passes { graph: &self.graph, context, sample, stop };
        match self.method {
            JacobianMethod::Full => self.all_rows(&mut passes),
            JacobianMethod::Estimated => self.read_outs(&mut passes, key),
        }
    }

    /// All rows of J, and its spectrum.
    fn all_rows(&self, passes: &mut Passes) -> Option<Spectrum> {
        let threads = passes.context.threads;
        let mut rows: Vec<Signal<f64>> = Vec::new();
        for first in (0..self.outputs).step_by(self.block) {
            let count = self.block.min(self.outputs - first);
            let unit = |i: usize, j: usize| if i == first + j { 1.0 } else { 0.0 };
            rows.push(passes.transposed(DMatrix::from_fn(self.outputs, count, unit))?);
        }
        let (transposed, exponent) = joined(&rows);
        // JᵀJ from rows and JJᵀ from columns have the same eigenvalues beside zeros.
        let square = if self.outputs <= self.inputs {
            gram(&transposed, threads)
        } else {
            gram_of_rows(&transposed, threads)
        };
        let size = square.nrows();
        let mut squares = eigenvalues(square).unwrap_or_else(|| vec![0.0; size]);
        squares.sort_by(|a, b| b.total_cmp(a));
        let largest = squares.first().copied().unwrap_or(0.0);
        // Below this an eigenvalue is the rounding of the largest.
        let least = largest * size as f64 * f64::EPSILON;
        squares.iter_mut().filter(|s| **s <= least).for_each(|s| *s = 0.0);
        let log = |square: f64| Wide::new(square, 2 * exponent).log10_abs().map(|log| 0.5 * log);
        let count = size as f64;
        let mean = squares.iter().sum::<f64>() / count;
        let variance = squares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / count;
        Some(Spectrum {
            log10_largest: log(largest),
            mean_square: Wide::new(mean, 2 * exponent),
            relative_variance: (mean > 0.0).then(|| variance / (mean * mean)),
            log10_values: squares.into_iter().map(log).collect(),
        })
    }

    /// Random read-outs, and block power iteration from what they gave.
    fn read_outs(&self, passes: &mut Passes, key: Key) -> Option<Spectrum> {
        let threads = passes.context.threads;
        let key = Key { layer: self.graph.streams() + 1, ..key };
        let mut rng = key.stream(Role::ReadOut, Part::Block(0));
        let normal = DMatrix::from_fn(self.outputs, READ_OUTS, |_, _| rng.sample::<f64, _>(StandardNormal));
        let mut rows = Vec::new();
        for first in (0..READ_OUTS).step_by(self.block) {
            let count = self.block.min(READ_OUTS - first);
            rows.push(passes.transposed(normal.columns(first, count).into_owned())?);
        }
        let (v, exponent) = joined(&rows);
        let products = gram(&v, threads);
        let size = self.inputs.min(self.outputs) as f64;
        let count = READ_OUTS as f64;
        let second = products.diagonal().sum() / count / size;
        let of_pairs = products.norm_squared() - products.diagonal().norm_squared();
        let fourth = of_pairs / (count * (count - 1.0)) / size;
        let mut log10_largest = None;
        let mut v = v;
        for _ in 0..POWER_STEPS {
            let square = gram(&v, threads);
            let factor = Factor::new(&square, largest_square(&square), 1e-10);
            let basis = mul(&v, &factor.whitener, 1.0, threads);
            // A sample of zeros has no scale.
            if passes.sample.values.norm() == 0.0 {
                break;
            }
            let images = passes.product(&basis, self.block)?;
            let square = eigenvalues(tr_mul(&images.values, &images.values, 1.0, threads));
            let largest = square.and_then(|all| all.into_iter().reduce(f64::max)).unwrap_or(0.0);
            log10_largest = Wide::new(largest, 2 * images.exponent).log10_abs().map(|log| 0.5 * log);
            let mut rows = Vec::new();
            for first in (0..images.values.ncols()).step_by(self.block) {
                let count = self.block.min(images.values.ncols() - first);
                rows.push(passes.transposed(images.values.columns(first, count).into_owned())?);
            }
            v = joined(&rows).0;
        }
        Some(Spectrum {
            log10_largest,
            mean_square: Wide::new(second, 2 * exponent),
            relative_variance: (second > 0.0).then(|| fourth / (second * second) - 1.0),
            log10_values: Vec::new(),
        })
    }

    fn summary(&self, spectra: &[Spectrum], theory: Option<JacobianTheory>) -> Jacobian {
        let over = |of: &dyn Fn(&Spectrum) -> Option<f64>| quantiles(spectra.iter().map(of).collect());
        let total = spectra.iter().fold(Wide::ZERO, |sum, s| sum + s.mean_square);
        let mean = total * Wide::from(1.0 / spectra.len().max(1) as f64);
        let known = spectra.iter().map(|s| s.log10_values.len()).min().unwrap_or(0);
        let ranks = RANKS.min(known.saturating_sub(1));
        let at = |k: usize| {
            let rank = (k * (known - 1) + ranks / 2).checked_div(ranks).unwrap_or(0);
            quantiles(spectra.iter().map(|s| s.log10_values[rank]).collect()).median
        };
        Jacobian {
            inputs: self.inputs,
            outputs: self.outputs,
            method: self.method,
            trials: spectra.len(),
            log10_largest: over(&|s| s.log10_largest),
            log10_mean_square: over(&|s| s.mean_square.log10_abs()),
            log10_of_mean_square: mean.log10_abs(),
            relative_variance: over(&|s| s.relative_variance),
            log10_singular_values: if known == 0 { Vec::new() } else { (0..=ranks).map(at).collect() },
            theory,
        }
    }
}

/// Quantiles with exact zeros below all else.
fn quantiles(mut values: Vec<Option<f64>>) -> OverTrials {
    values.sort_by(|a, b| a.unwrap_or(f64::NEG_INFINITY).total_cmp(&b.unwrap_or(f64::NEG_INFINITY)));
    let at = |part: f64| {
        let place = part * values.len().saturating_sub(1) as f64;
        let (below, above) = (values.get(place.floor() as usize)?, values.get(place.ceil() as usize)?);
        below.zip(*above).map(|(a, b)| a + (b - a) * place.fract())
    };
    OverTrials { median: at(0.5), q05: at(0.05), q95: at(0.95) }
}

/// Columns of several blocks side by side, and their exponent.
fn joined(blocks: &[Signal<f64>]) -> (DMatrix<f64>, i64) {
    let (exponent, scales) = aligned(blocks);
    let rows = blocks.first().map_or(0, |block| block.values.nrows());
    let columns = blocks.iter().map(|block| block.values.ncols()).sum();
    let mut values = DMatrix::zeros(rows, columns);
    let mut entries = values.as_mut_slice().iter_mut();
    for (block, scale) in blocks.iter().zip(scales) {
        block.values.iter().zip(entries.by_ref()).for_each(|(v, to)| *to = v * scale);
    }
    (values, exponent)
}

/// The step of a pass that `stop` ends.
fn goes_on(stop: &AtomicBool) -> impl Fn() -> bool {
    || !stop.load(Ordering::Relaxed)
}

/// Products with J and Jᵀ at one sample.
struct Passes<'a> {
    graph: &'a Graph,
    context: Context<'a, f64>,
    /// features × 1.
    sample: Signal<f64>,
    stop: &'a AtomicBool,
}

impl Passes<'_> {
    /// JᵀU for U outputs × k: inputs × k, both in the order of the network's own arrays; `None` when it was stopped.
    fn transposed(&mut self, read_outs: DMatrix<f64>) -> Option<Signal<f64>> {
        let count = read_outs.ncols();
        self.context.batch = count;
        let row = self.sample.values.column(0);
        let copies = DMatrix::from_fn(row.len(), count, |i, _| row[i]);
        let input = Signal { values: copies, exponent: self.sample.exponent };
        let goes_on = goes_on(self.stop);
        let (_, tape) = forward(self.graph, vec![input], &mut self.context, false, &goes_on).ok()?;
        // A sample's entries lie side by side: its columns are its positions, and a position's channels are neighbors.
        let upstream = reshaped(Signal::new(read_outs, 0), self.graph.output().channels);
        let passed = backward(self.graph, tape, upstream, &mut self.context, &goes_on).ok()?;
        let [gradient] = exactly(passed);
        Some(reshaped(gradient, row.len()))
    }

    /// J·V for orthonormal V by central differences, inputs × k to outputs × k; `None` when it was stopped.
    ///
    /// The step is ∛ε of the sample's norm, where cutting off the series and rounding balance.
    fn product(&mut self, directions: &DMatrix<f64>, block: usize) -> Option<Signal<f64>> {
        let step = f64::EPSILON.cbrt() * self.sample.values.norm();
        let (graph, goes_on) = (self.graph, goes_on(self.stop));
        let (context, sample) = (&mut self.context, &self.sample);
        let [shape] = exactly(graph.inputs().collect());
        let mut images = Vec::new();
        for first in (0..directions.ncols()).step_by(block) {
            let count = block.min(directions.ncols() - first);
            context.batch = count;
            let mut at = |sign: f64| {
                let entry = |i: usize, j: usize| {
                    sample.values[(i, 0)] + sign * step * directions[(arranged(shape, i), first + j)]
                };
                let values = DMatrix::from_fn(directions.nrows(), count, entry);
                let input = Signal { values, exponent: sample.exponent };
                forward(graph, vec![input], context, false, &goes_on).ok().map(|(out, _)| out.signal.clone())
            };
            let (above, below) = (at(1.0)?, at(-1.0)?);
            let difference = above.plus(below.times(Wide::from(-1.0))).times(Wide::from(0.5 / step));
            let shifted = Signal { exponent: difference.exponent - sample.exponent, ..difference };
            images.push(reshaped(shifted, graph.output().size()));
        }
        let (values, exponent) = joined(&images);
        Some(Signal { values, exponent })
    }
}

/// The place of a feature among the entries of a sample as the network holds them: channels of a position side by side.
fn arranged(input: Shape, feature: usize) -> usize {
    let positions = input.positions();
    match input.space.has_channels_first() {
        true => feature % positions * input.channels + feature / positions,
        false => feature,
    }
}
