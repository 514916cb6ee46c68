//! How much memory a run takes, and what a trial keeps between its passes.

use super::engine::Engine;
use super::input::Input;
use super::plan::{CellPlan, Plan};
use super::streamed;
use crate::graph::Graph;
use crate::numeric::cached::SUMS;
use crate::op::record::LayerRecord;
use crate::op::{Parameter, Shape};
use crate::spec::{Experiment, Precision};
use crate::weights::Method;

/// Tapes of a trial may take so much before its forward pass is computed twice instead. Not a matter of threads or of free
/// memory: the same experiment computes the same everywhere.
const TAPES: u128 = 1 << 30;
/// Weights of all trials at once may stay between the passes up to this: to fetch fresh memory takes as long as to draw what fills it.
const WEIGHTS: u128 = 1 << 29;
/// Fewer nodes than this gain nothing by being computed twice.
const FEW: usize = 64;

/// The forward pass is computed twice, and only about the square root of the tape is kept.
pub fn recomputes(graph: &Graph, batch: usize) -> bool {
    graph.nodes.len() >= FEW && graph.tape_bytes(batch) > TAPES
}

/// Weights stay in memory between the passes: all, or none where they would outweigh the rest and a fair share of a fixed
/// allowance; then they are drawn again.
pub fn keeps_weights(graph: &Graph, batch: usize, threads: usize) -> bool {
    let tape = graph.tape_bytes(batch);
    let recomputed = graph.nodes.len() >= FEW && tape > TAPES;
    let drawn = graph.parameters.iter().map(|p| Drawn::of(graph, p, batch).draws).sum::<u128>();
    !recomputed && drawn <= (WEIGHTS / threads.max(1) as u128).max(tape)
}

/// Bytes of a parameter's map after the forward pass.
#[derive(Clone, Copy, Default)]
struct Drawn {
    /// What was drawn, and may be drawn again.
    draws: u128,
    /// What implicit maps have been asked about, which they must know as long as they are asked.
    asked: u128,
    /// What finding the directions of a query takes meanwhile.
    factor: u128,
}

impl Drawn {
    fn of(graph: &Graph, p: &Parameter, batch: usize) -> Self {
        let (rows, columns) = (p.rows() as u128, p.drawn_columns() as u128);
        if p.law.is_fixed() || !p.is_own() {
            return Self::default();
        }
        match p.method {
            Method::Dense => Self { draws: 4 * rows * columns, ..Self::default() },
            Method::Implicit => {
                let positions = graph.entries.get(p.entry).map_or(1, |entry| entry.positions) as u128;
                let asked = batch as u128 * positions;
                let rank = asked.min(columns);
                Self {
                    draws: 4 * rows * rank,
                    // The directions as columns and two factors; the images of them.
                    asked: 4 * asked * (columns + 2 * rank),
                    factor: factor(asked, rank),
                }
            }
        }
    }
}

/// Most bytes of a run at once, with this many trials side by side: what a trial in work holds, times the threads, and the
/// numbers that every trial leaves behind, which quantiles are taken of.
pub fn bytes(plan: &Plan, threads: usize) -> u128 {
    let e = &plan.experiment;
    let trials = e.trials as u128 * plan.cells.len() as u128;
    let side_by_side = (threads as u128).min(trials);
    // Each thread's heap keeps what a trial of many small matrices frees, and not all of it fits what comes next (measured).
    let kept =
        |cell: &CellPlan| cell.is_stack && cell.choice.engine == Engine::Dense && trials > threads as u128;
    let one = |cell: &CellPlan| trial_bytes(plan, cell, threads) * if kept(cell) { 6 } else { 5 } / 5;
    let in_work = plan.cells.iter().map(one).max().unwrap_or(0);
    let of_input = |input: &Input| match input {
        Input::Data(samples) => samples.len() as u128 * 4,
        Input::Tokens(tokens) => tokens.numbers.len() as u128 * 4,
        _ => 0,
    };
    let data: u128 = plan.inputs.all().map(of_input).sum();
    PROGRAM + data + side_by_side * in_work + left_bytes(plan, e.trials) + trials * 64
}

/// Bytes of the program itself.
pub const PROGRAM: u128 = 9 << 20;

/// Bytes that so many trials of each cell leave behind, and the result of them.
pub fn left_bytes(plan: &Plan, trials: usize) -> u128 {
    plan.cells.iter().map(|cell| cell.layers.len() as u128 * layer_bytes(trials)).sum()
}

/// Bytes that a run takes at least, as far as that is known before it is planned: what its layers leave behind. None of a network,
/// whose layers are not counted yet.
pub fn least_bytes(e: &Experiment) -> u128 {
    layers(e) * layer_bytes(e.trials)
}

/// Of them those of the plan.
pub fn plan_bytes(e: &Experiment) -> u128 {
    layers(e) * RESULT / 2
}

/// Layers of all cells.
fn layers(e: &Experiment) -> u128 {
    let one: u128 = match e.net {
        None => e.stacks().map(|widths| widths.len().saturating_sub(1) as u128).sum(),
        Some(_) => 0,
    };
    one * (e.init.len() * e.act.len()) as u128
}

/// What a layer takes in the plan, about half of it, in the result and as text.
const RESULT: u128 = 6 << 10;

/// The same with the numbers of each trial.
fn layer_bytes(trials: usize) -> u128 {
    RESULT + trials as u128 * size_of::<LayerRecord>() as u128
}

/// Bytes for each entry of a Gram matrix while its eigenvalues are sought, and while one of full rank is factored (measured).
const GRAM: u128 = 24;
const FACTOR: u128 = 44;

/// Bytes of a batch's Gram matrices and factors of this rank while one is made (measured).
fn factor(columns: u128, rank: u128) -> u128 {
    /// Matrices up to this many bytes lie on a heap, whose gaps count too.
    const HEAP: u128 = 32 << 20;
    let entries = columns * columns;
    if 8 * entries <= HEAP { 28 * entries } else { 12 * entries + (FACTOR - 12) * columns * rank }
}

/// Bytes of a sample's largest value with the sums of its columns.
fn widest(graph: &Graph) -> u128 {
    let bytes = |shape: Shape| 4 * shape.size() as u128 + SUMS * shape.positions() as u128;
    let made = graph.values.iter().skip(graph.inputs.len()).map(|value| bytes(value.shape)).max();
    made.unwrap_or(0).max(4 * graph.features() as u128)
}

/// Bytes of a trial's matrices.
fn trial_bytes(plan: &Plan, cell: &CellPlan, threads: usize) -> u128 {
    let batch = plan.experiment.batch;
    let samples = batch as u128;
    if cell.choice.engine == Engine::Streamed {
        // Gram matrices and factors of each layer, more of them for Haar matrices; partial sums; a factor in the making; blocks.
        let factors = if cell.layers.iter().any(|layer| layer.weights.is_orthogonal()) { 40 } else { 28 };
        let sums = 16 * streamed::waiting(&cell.layers, batch) as u128;
        return (cell.layers.len() as u128 * factors + sums + FACTOR) * samples * samples + (6 << 20);
    }
    let graph = &*cell.graph;
    let mut tape = graph.tape_bytes(batch);
    let widest = widest(graph) * samples;
    if recomputes(graph, batch) {
        let parts = (graph.nodes.len() as f64).sqrt() as u128;
        tape = 2 * tape / parts + parts * widest;
    }
    let maps = || graph.parameters.iter().map(|p| Drawn::of(graph, p, batch));
    let draws = maps().map(|drawn| drawn.draws);
    let kept = if plan.keeps_weights(cell, threads) { draws.clone().sum() } else { 0 };
    let orthogonal = graph.parameters.iter().any(|p| p.law.is_orthogonal());
    let largest = draws.max().unwrap_or(0);
    let asked: u128 = maps().map(|drawn| drawn.asked).sum();
    let weights = asked + kept.max(if orthogonal { 3 * largest } else { largest });
    // What is computed now, and Gram matrices in double precision: of which factors are made, and whose eigenvalues are sought, on the
    // side where they are fewer.
    let factor = maps().map(|drawn| drawn.factor).max().unwrap_or(0);
    let side = if graph.nodes.is_empty() { 0 } else { samples.min(graph.widest() as u128) };
    let grams = factor.max(GRAM * side * side);
    // The block of a convolution's gathered input.
    let gathered = if graph.parameters.iter().any(|p| p.kernel.is_some()) { 16 << 20 } else { 0 };
    let precision = if plan.experiment.precision == Precision::Double { 2 } else { 1 };
    precision * (tape + weights + 5 * widest / 2) + grams + gathered
}
