//! What an initialiser does to signal and gradient in a deep network, before anyone trains it.
//!
//! Data flows one way: [`spec`] says what to simulate; [`initializer`] and [`activation`] are the catalogues it names;
//! [`operator`] draws a layer's weights; [`simulate`] pushes a batch forward and a gradient back; [`measure`] records
//! every layer; [`verdict`] puts it in words; [`result`] is what comes out and [`report`] renders it.

pub mod activation;
pub mod cli;
pub mod data;
pub mod expression;
pub mod initializer;
pub mod layer;
pub mod measure;
pub mod operator;
pub mod product;
pub mod real;
pub mod report;
pub mod result;
pub mod signal;
pub mod simulate;
pub mod spec;
pub mod stream;
pub mod theory;
pub mod verdict;
pub mod wide;

/// The README's examples, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
