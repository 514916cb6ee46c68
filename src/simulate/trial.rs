//! One trial of a cell: a batch forward through freshly drawn weights, a gradient back.

use super::Control;
use super::engine::Engine;
use super::memory::recomputes;
use super::plan::{CellPlan, Plan};
use super::streamed::Stack;
use crate::graph::trial;
use crate::numeric::product::Threads;
use crate::numeric::stream::Key;
use crate::op::Precision;
use crate::op::record::LayerRecord;
use std::sync::atomic::Ordering;

/// What one trial recorded.
pub struct Trial {
    /// One for each entry of the network, and behind them one for each norm that is recorded.
    pub records: Vec<LayerRecord>,
    /// Rounding may have decided some of it.
    pub doubtful: bool,
    /// The cross-entropy where that is the loss.
    pub loss: Option<f64>,
}

/// One trial in single or in double precision; `None` when the run was stopped.
pub fn one(
    plan: &Plan,
    cell: &CellPlan,
    number: usize,
    double: bool,
    threads: Threads,
    control: &Control,
) -> Option<Trial> {
    // Many trials may be left when a run is stopped.
    if control.stop.load(Ordering::Relaxed) {
        return None;
    }
    let e = &plan.experiment;
    let key = Key { seed: e.seed, trial: number as u64, layer: 0 };
    let effective_rank = number < plan.ranked_trials();
    let units = plan.units_a_step(cell);
    let step = || {
        (control.progress)(units);
        !control.stop.load(Ordering::Relaxed)
    };
    if cell.choice.engine == Engine::Streamed {
        let (layers, act, input) = (&*cell.layers, plan.act(cell), &plan.inputs.common);
        let (batch, loss, saturation) = (e.batch, e.loss, e.saturation);
        let stack = Stack { layers, act, input, batch, loss, key, threads, effective_rank, saturation };
        return stack.pass(&step).map(|records| Trial { records, doubtful: false, loss: None });
    }
    let stored = Stored { plan, cell, key, threads, side_by_side: control.threads, effective_rank };
    if double { stored.pass::<f64>(&step) } else { stored.pass::<f32>(&step) }
}

/// A trial whose layers stay in memory.
struct Stored<'a> {
    plan: &'a Plan,
    cell: &'a CellPlan,
    key: Key,
    threads: Threads,
    /// Trials that run at once.
    side_by_side: usize,
    effective_rank: bool,
}

impl Stored<'_> {
    /// In one precision.
    fn pass<T: Precision>(&self, step: &dyn Fn() -> bool) -> Option<Trial> {
        let (e, graph) = (&self.plan.experiment, &*self.cell.graph);
        let inputs = self.plan.inputs.draw::<T>(graph, e.batch, self.key);
        let mut context = graph.context(self.key, e.batch, self.threads);
        context.keep_weights = self.plan.keeps_weights(self.cell, self.side_by_side);
        context.effective_rank = self.effective_rank;
        context.saturation = e.saturation;
        context.tokens = self.plan.inputs.tokens(graph, e.batch, self.key);
        let passed = trial(graph, inputs, e.loss, context, recomputes(graph, e.batch), step).ok()?;
        let records = [passed.records, passed.norms].concat();
        Some(Trial { records, doubtful: passed.doubtful, loss: passed.loss })
    }
}
