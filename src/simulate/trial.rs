//! One trial of a cell: a batch forward through freshly drawn weights, a gradient back.

use super::Control;
use super::engine::Engine;
use super::memory::{keeps_weights, recomputes};
use super::plan::{CellPlan, Plan};
use super::streamed::Stack;
use crate::graph::trial;
use crate::numeric::product::Threads;
use crate::numeric::stream::Key;
use crate::op::Precision;
use crate::op::record::LayerRecord;
use std::sync::atomic::Ordering;

/// The records of one trial; `None` when the run was stopped.
pub fn one(
    plan: &Plan,
    cell: &CellPlan,
    number: usize,
    threads: Threads,
    control: &Control,
) -> Option<Vec<LayerRecord>> {
    let e = &plan.experiment;
    let key = Key { seed: e.seed, trial: number as u64, layer: 0 };
    let effective_rank = number < plan.ranked_trials();
    let units = plan.units_a_step(cell);
    let step = || {
        (control.progress)(units);
        !control.stop.load(Ordering::Relaxed)
    };
    if cell.choice.engine == Engine::Streamed {
        let (layers, act, input) = (&*cell.layers, plan.act(cell), &plan.input);
        let stack = Stack { layers, act, input, batch: e.batch, loss: e.loss, key, threads, effective_rank };
        return stack.pass(&step);
    }
    stored::<f32>(plan, cell, key, threads, control.threads, effective_rank, &step)
}

/// A trial whose layers stay in memory, in one precision.
fn stored<T: Precision>(
    plan: &Plan,
    cell: &CellPlan,
    key: Key,
    threads: Threads,
    side_by_side: usize,
    effective_rank: bool,
    step: &dyn Fn() -> bool,
) -> Option<Vec<LayerRecord>> {
    let (e, graph) = (&plan.experiment, &*cell.graph);
    let input = plan.input.draw::<T>(graph.features(), e.batch, key);
    let mut context = graph.context(key, e.batch, threads);
    context.keep_weights = keeps_weights(graph, e.batch, side_by_side);
    context.effective_rank = effective_rank;
    let passed = trial(graph, input, e.loss, context, recomputes(graph, e.batch), step);
    passed.ok().map(|passed| passed.records)
}
