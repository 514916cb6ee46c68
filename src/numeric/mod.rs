//! Numbers, loops and random streams: what every other room computes with.
//!
//! A [`signal::Signal`] is a matrix of mantissas beside a power of two, so no stack of layers overflows or underflows it.
//! A [`wide::Wide`] is one number of that kind. A [`stream::Stream`] is named by what it is for, so it can be drawn again.
//!
//! ```
//! use initdiag::numeric::wide::Wide;
//!
//! let tiny = Wide::new(1.0, -100_000);
//! assert_eq!((tiny * tiny).exponent(), -200_000);
//! ```

pub mod cached;
pub mod normal;
pub(crate) mod pieces;
pub mod product;
pub mod quadrature;
pub mod real;
pub mod signal;
pub(crate) mod slice;
pub mod spectrum;
pub mod stream;
pub mod wide;
