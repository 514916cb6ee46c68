//! From an experiment to its records: every cell's trials forward and back, in parallel. Nothing is judged here.

mod engine;
mod expected;
mod input;
mod memory;
mod plan;
pub mod streamed;
mod trial;

pub use engine::{Choice, Drawing, Engine, draws};
pub use expected::{Expectation, expectation};
pub use input::{Entrance, Input, InputError};
pub use memory::{keeps_weights, recomputes};
pub use plan::{CellPlan, LayerPlan, LeftOut, Plan, PlanError};

use crate::numeric::product::Threads;
use crate::op::record::LayerRecord;
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

/// What the trials of a run left behind.
pub struct Recorded {
    /// For each cell of the plan, the records of its complete trials, in the order of trials.
    pub cells: Vec<Vec<Vec<LayerRecord>>>,
    /// The run was stopped before its end.
    pub interrupted: bool,
}

/// Runs all trials of all cells.
///
/// # Errors
/// When the threads cannot be started.
pub fn record(plan: &Plan, control: &Control) -> Result<Recorded, RunError> {
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
    let interrupted = control.stop.load(Ordering::Relaxed) && records.iter().any(Option::is_none);
    let mut records = records.into_iter();
    let cells = plan.cells.iter().map(|_| records.by_ref().take(trials).flatten().collect()).collect();
    Ok(Recorded { cells, interrupted })
}
