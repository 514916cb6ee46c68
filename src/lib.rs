//! What an initialiser does to signal and gradient in a deep network, before anyone trains it.
//!
//! Data flows one way: [`spec`] says what to simulate; [`initializer`] and [`activation`] are the catalogues it names;
//! [`operator`] draws a layer's weights; [`simulate`] pushes a batch forward and a gradient back; [`measure`] records
//! every layer; [`verdict`] puts it in words; [`result`] is what comes out and [`report`] renders it.
//!
//! ```
//! use initdiag::simulate::{Control, Input, Plan, run};
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
pub mod baseline;
pub mod cli;
pub mod data;
pub mod draw;
pub mod expression;
pub mod initializer;
pub mod layer;
pub mod measure;
pub mod net;
pub mod observed;
pub mod operator;
pub mod product;
pub mod real;
pub mod recommend;
pub mod report;
pub mod result;
pub mod scaling;
pub mod signal;
pub mod simulate;
pub(crate) mod slice;
pub mod spec;
pub mod stream;
pub mod tensors;
pub mod theory;
pub mod train;
pub mod verdict;
pub mod wide;
