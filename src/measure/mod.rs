//! Summaries over trials of what was recorded: quantiles, means and standard deviations of logarithms.
//!
//! ```
//! use initdiag::measure::summary::{median, quantile};
//!
//! assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
//! assert_eq!(median([Some(3.0), None, Some(1.0)].into_iter()), Some(2.0));
//! ```

pub mod spread;
pub mod summary;
