//! The catalogue of initialisers.

pub mod law;

pub use law::{EntryMoments, Law};
