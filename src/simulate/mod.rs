//! From an experiment to its report: every cell's trials forward and back, in parallel.

mod engine;
mod expected;
mod input;
mod network;
mod plan;
pub mod plane;
pub mod streamed;
mod trial;

pub use engine::{Choice, Engine};
pub use expected::{Expectation, expectation};
pub use input::{Entrance, Input, InputError};
pub use plan::{CellPlan, LayerPlan, Plan, PlanError};
pub use trial::{Network, backward_gradients};

use crate::measure::LayerRecord;
use crate::measure::spread::add_spread;
use crate::measure::summary::{median, summary};
use crate::product::Threads;
use crate::result::{Cell, Layer, Report, SCHEMA};
use crate::verdict;
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a caller can see and steer while a run goes on.
pub struct Control<'a> {
    /// Worker threads; the result does not depend on them.
    pub threads: usize,
    /// Set to end the run early with what is complete.
    pub stop: &'a AtomicBool,
    /// Called with units of work done, from any thread; [`Plan::units`] of them in all.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Keep every trial's values.
    pub trace: bool,
}

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RunError {
    #[error("cannot start {threads} threads: {reason}")]
    Threads { threads: usize, reason: String },
}

/// Runs all trials of all cells.
///
/// # Errors
/// When the threads cannot be started.
pub fn run(plan: &Plan, control: &Control) -> Result<Report, RunError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(control.threads)
        .build()
        .map_err(|fault| RunError::Threads { threads: control.threads, reason: fault.to_string() })?;
    let trials = plan.experiment.trials;
    let jobs: Vec<(usize, usize)> =
        (0..plan.cells.len()).flat_map(|c| (0..trials).map(move |t| (c, t))).collect();
    // Trials side by side with products on one thread each; threads within a product only where trials are too few.
    let inner = if jobs.len() < control.threads { Threads::All } else { Threads::One };
    let records: Vec<Option<Vec<LayerRecord>>> = pool.install(|| {
        jobs.par_iter()
            .with_max_len(1)
            .map(|(cell, trial)| trial::one(plan, &plan.cells[*cell], *trial, inner, control))
            .collect()
    });
    let entrance = plan.input.entrance();
    let mut cells = Vec::new();
    for (cell, records) in plan.cells.iter().zip(records.chunks(trials)) {
        let complete: Vec<&Vec<LayerRecord>> = records.iter().flatten().collect();
        if !complete.is_empty() {
            cells.push(assemble(plan, cell, &complete, &entrance, control.trace));
        }
    }
    Ok(Report {
        schema: SCHEMA.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        spec: plan.experiment.clone(),
        cells,
        interrupted: control.stop.load(Ordering::Relaxed) && records.iter().any(Option::is_none),
        baseline: None,
    })
}

fn assemble(
    plan: &Plan,
    cell: &CellPlan,
    trials: &[&Vec<LayerRecord>],
    entrance: &Entrance,
    trace: bool,
) -> Cell {
    let mut layers: Vec<Layer> = cell
        .layers
        .iter()
        .enumerate()
        .map(|(index, layer)| {
            let records: Vec<&LayerRecord> = trials.iter().map(|t| &t[index]).collect();
            let entry = cell.net.as_ref().map(|net| &net.entries[index]);
            let middle =
                |quantity: fn(&LayerRecord) -> Option<f64>| median(records.iter().map(|r| quantity(r)));
            Layer {
                layer: index + 1,
                path: entry.map(|e| e.path.clone()),
                kind: entry.map_or("linear", |e| e.kind).into(),
                fan_in: layer.fan_in,
                fan_out: entry.map_or(layer.fan_out, |e| e.fan_out),
                units: entry.filter(|e| e.units != e.fan_out).map(|e| e.units),
                preactivation: summary(&records, |r| r.preactivation, trace),
                activation: summary(&records, |r| r.activation, trace),
                gradient: summary(&records, |r| r.gradient, trace),
                weight_gradient: summary(&records, |r| r.weight_gradient, trace),
                branch: entry.is_some_and(|e| !e.trunk),
                dead_fraction: middle(|r| Some(r.dead_fraction)).unwrap_or(0.0),
                saturated_fraction: middle(|r| r.saturated_fraction),
                correlation: middle(|r| r.correlation),
                effective_rank: middle(|r| r.effective_rank),
                unit_symmetry: middle(|r| Some(r.unit_symmetry)),
                theory: None,
            }
        })
        .collect();
    add_spread(&mut layers, trials);
    let expected = expectation(plan, cell, entrance);
    if let Some(expected) = &expected {
        let theory = expected.theory(&layers);
        layers.iter_mut().zip(theory).for_each(|(layer, theory)| layer.theory = Some(theory));
    }
    let judgement = verdict::judge(plan, cell, trials, &layers, entrance.moments, expected.as_ref());
    Cell {
        init: cell.init.clone(),
        act: plan.act(cell).name.clone(),
        engine: match cell.choice.engine {
            Engine::Dense => "dense".into(),
            Engine::Lazy | Engine::Streamed => "lazy".into(),
        },
        engine_reason: cell.choice.reason.clone(),
        law: if cell.choice.exact { "exact".into() } else { "asymptotic".into() },
        trials: trials.len(),
        layers,
        forward: judgement.forward,
        backward: judgement.backward,
        flags: judgement.flags,
        formats: judgement.formats,
        words: judgement.words,
        baseline: None,
    }
}
