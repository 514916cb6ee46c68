//! From an experiment to its records: every cell's trials forward and back, in parallel. Nothing is judged here.
//!
//! ```
//! use initdiag::simulate::{Control, Input, Plan, record};
//! use initdiag::spec::Experiment;
//! use std::sync::atomic::AtomicBool;
//!
//! let plan = Plan::new(&Experiment { trials: 2, ..Experiment::plain(3, 16) }, Input::Normal)?;
//! let control = Control { threads: 1, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
//! let recorded = record(&plan, &control)?;
//! // One cell, two trials, three layers.
//! assert_eq!(recorded.cells.len(), 1);
//! assert!(recorded.cells[0].trials.iter().all(|layers| layers.len() == 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cost;
mod engine;
mod expected;
mod input;
mod memory;
pub mod pilot;
mod plan;
pub mod rates;
mod rounding;
pub mod streamed;
mod trial;

pub use engine::{Choice, Drawing, Engine, draws};
pub use expected::{Expectation, expectation};
pub use input::{Input, InputError, InputStatistics, Inputs};
pub use memory::{PROGRAM, keeps_weights, least_bytes, plan_bytes, recomputes};
pub use plan::{CellPlan, LayerPlan, Plan, PlanError};

use crate::numeric::product::Threads;
use crate::op::record::LayerRecord;
use crate::spec::Precision;
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use trial::Trial;

/// What a caller can see and steer while a run goes on.
#[derive(Clone, Copy)]
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

impl Control<'_> {
    /// Its threads.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn pool(&self) -> Result<rayon::ThreadPool, RunError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build();
        pool.map_err(|fault| RunError::Threads { threads: self.threads, reason: fault.to_string() })
    }
}

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum RunError {
    #[error("cannot start {threads} threads: {reason}")]
    Threads { threads: usize, reason: String },
}

/// What the trials of a run left behind.
pub struct Recorded {
    /// For each cell of the plan, what its complete trials recorded.
    pub cells: Vec<RecordedCell>,
    /// The run was stopped before its end.
    pub interrupted: bool,
}

/// What the trials of a cell left behind.
pub struct RecordedCell {
    /// The records of the complete trials, in the order of trials.
    pub trials: Vec<Vec<LayerRecord>>,
    /// Those of the norms in each of these trials.
    pub norms: Vec<Vec<LayerRecord>>,
    /// They were computed in double precision.
    pub double: bool,
    /// The cross-entropies of the trials where that is the loss.
    pub losses: Vec<f64>,
}

impl RecordedCell {
    /// From records of a graph's entries with those of its norms behind them.
    fn new(cell: &CellPlan, mut trials: Vec<Vec<LayerRecord>>, double: bool, losses: Vec<f64>) -> Self {
        let norms = cell.graph.recorded_norms.len();
        let norms =
            trials.iter_mut().map(|trial| trial.split_off(trial.len().saturating_sub(norms))).collect();
        Self { trials, norms, double, losses }
    }
}

/// Runs all trials of all cells.
///
/// # Errors
/// When the threads cannot be started.
pub fn record(plan: &Plan, control: &Control) -> Result<Recorded, RunError> {
    let pool = control.pool()?;
    let trials = plan.experiment.trials;
    // Cells take turns: what the first jobs take then tells of all cells, however unlike they are.
    let count = plan.cells.len();
    let jobs: Vec<(usize, usize)> = (0..trials).flat_map(|t| (0..count).map(move |c| (c, t))).collect();
    // Trials side by side with products on one thread each; threads within a product only where trials are too few.
    let inner = if jobs.len() < control.threads { Threads::All } else { Threads::One };
    let all = |jobs: &[(usize, usize)], double: bool| -> Vec<Option<Trial>> {
        pool.install(|| {
            jobs.par_iter()
                .with_max_len(1)
                .map(|(cell, number)| trial::one(plan, &plan.cells[*cell], *number, double, inner, control))
                .collect()
        })
    };
    let always = plan.experiment.precision == Precision::Double;
    let first = all(&jobs, always);
    let interrupted = || control.stop.load(Ordering::Relaxed);
    let mut cut = interrupted() && first.iter().any(Option::is_none);
    let mut cells = Vec::with_capacity(count);
    let mut found: Vec<Vec<Option<Trial>>> = (0..count).map(|_| Vec::with_capacity(trials)).collect();
    for ((cell, _), trial) in jobs.iter().zip(first) {
        found[*cell].push(trial);
    }
    for ((index, cell), found) in plan.cells.iter().enumerate().zip(found) {
        let doubtful = found.iter().flatten().any(|trial| trial.doubtful);
        let ask = doubtful
            && plan.experiment.precision != Precision::Single
            && cell.choice.engine != Engine::Streamed
            && found.iter().all(Option::is_some);
        let found: Vec<Trial> = found.into_iter().flatten().collect();
        let losses: Vec<f64> = found.iter().filter_map(|trial| trial.loss).collect();
        let jobs: Vec<(usize, usize)> = (0..trials).map(|number| (index, number)).collect();
        let alone = |trials: Vec<Trial>, double| {
            let records = trials.into_iter().map(|trial| trial.records).collect();
            RecordedCell::new(cell, records, double, losses.clone())
        };
        if !ask {
            cells.push(alone(found, always));
            continue;
        }
        // One trial in the other precision tells whether the others are needed.
        let Some(Some(probe)) = all(&jobs[..1], !always).pop() else {
            cut |= interrupted();
            cells.push(alone(found, always));
            continue;
        };
        if !rounding::is_lost(&found[0].records, &probe.records) {
            cells.push(alone(found, always));
            continue;
        }
        let mut other = vec![Some(probe)];
        other.extend(all(&jobs[1..], !always));
        cut |= other.iter().any(Option::is_none);
        let pairs = found.into_iter().zip(other).filter_map(|(found, other)| Some((found, other?)));
        let ordered = |(found, other): (Trial, Trial)| {
            let (single, double) = if always { (other, found) } else { (found, other) };
            (single.records, double.records)
        };
        let trials = rounding::resolved(pairs.map(ordered).collect());
        cells.push(RecordedCell::new(cell, trials, true, losses));
    }
    Ok(Recorded { cells, interrupted: cut })
}
