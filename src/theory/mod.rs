//! What theory says of wide and of finite networks before anything is drawn: pure functions of numbers.
//!
//! [`meanfield`] has the fixed points and depth scales of a stack of like layers, [`stack`] carries moments through unequal
//! layers, [`finite_width`] and [`prediction`] say how single trials scatter about them, [`phase`] spans the plane of weight and
//! bias variance, and [`survey`] gathers what the command `theory` prints.
//!
//! ```
//! use initdiag::activation::Activation;
//! use initdiag::theory::meanfield::{MeanField, Phase};
//!
//! let tanh = Activation::parse("tanh")?;
//! let summary = MeanField { act: &tanh, sigma_w2: 2.0, sigma_b2: 0.0 }.summary();
//! assert_eq!(summary.phase, Some(Phase::Chaotic));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod finite_width;
pub mod formats;
pub mod jacobian;
pub mod meanfield;
pub mod norm;
pub mod phase;
pub mod prediction;
pub mod stack;
pub mod survey;
