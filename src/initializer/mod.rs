//! The catalogue of initialisers.
