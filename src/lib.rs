//! What an initializer does to signal and gradient in a deep network, before anyone trains it.
//!
//! Data flows one way: [`frontend`] makes a [`graph`] of operators ([`op`]) whose parameters follow the laws that the catalog
//! [`initializer`] names; [`weights`] draws them; [`simulate`] pushes a batch forward and a gradient back and [`measure`]
//! summarizes what was recorded; [`diagnose`] puts it in words; [`result`] is what comes out and [`report`] renders it.
//!
//! ```
//! use initdiag::diagnose::run;
//! use initdiag::simulate::{Control, Input, Plan};
//! use initdiag::spec::Experiment;
//! use std::sync::atomic::AtomicBool;
//!
//! let experiment = Experiment { init: vec!["he".into()], ..Experiment::plain(10, 64) };
//! let plan = Plan::new(&experiment, Input::Normal)?;
//! let control = Control { threads: 2, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
//! let report = run(&plan, &control)?;
//! assert_eq!(report.cells[0].forward.verdict.name(), "stable");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod activation;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod diagnose;
pub mod expectation;
pub mod frontend;
pub mod graph;
pub mod initializer;
pub mod law;
pub mod measure;
pub mod numeric;
pub mod op;
pub mod report;
pub mod result;
pub mod simulate;
pub mod spec;
pub mod study;
pub mod tensorfile;
pub mod theory;
pub mod weights;
