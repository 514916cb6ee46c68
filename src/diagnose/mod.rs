//! From records and theory to verdict, cause, flags, number formats and a recommendation.

pub mod recommend;
mod report;
pub mod verdict;

pub use report::run;
