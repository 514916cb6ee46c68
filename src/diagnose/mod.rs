//! From records and theory to a diagnosis: verdict, cause, flags, number formats and a recommendation.
//!
//! [`run`] simulates a plan and judges every cell of it, [`report()`] judges what is recorded;
//! [`recommend`] ranks the catalog for a network.
//!
//! ```
//! use initdiag::diagnose::run;
//! use initdiag::result::{Flag, Verdict};
//! use initdiag::simulate::{Control, Input, Plan};
//! use initdiag::spec::Experiment;
//! use std::sync::atomic::AtomicBool;
//!
//! let experiment = Experiment { init: vec!["zeros".into()], trials: 1, ..Experiment::plain(3, 16) };
//! let plan = Plan::new(&experiment, Input::Normal)?;
//! let control = Control { threads: 1, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
//! let cell = &run(&plan, &control)?.cells[0];
//! assert_eq!(cell.forward.verdict, Verdict::Vanishing);
//! assert!(cell.flags.contains(&Flag::ZeroSignal));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod recommend;
mod report;
pub mod verdict;

pub use report::{report, run};
