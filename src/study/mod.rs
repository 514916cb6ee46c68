//! Experiments made of many runs: a run beside an earlier one ([`baseline`]), one experiment at several widths ([`scaling`]), the
//! phase plane from short stacks ([`plane`]), and training from each initializer ([`train`]).
//!
//! ```
//! use initdiag::study::train::{Optimizer, Schedule};
//!
//! let adam = Optimizer::parse("adam")?;
//! assert_eq!((adam.moments(), adam.default_rate()), (2, 0.001));
//! assert!(Schedule::parse("step(10, 0.5)").is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod baseline;
pub mod jacobian;
pub mod plane;
pub mod scaling;
pub mod train;
