//! Results in every form that a person or a program reads. Nothing is computed here.
//!
//! A result says what it consists of through [`export::Presentation`]: one JSON text, tables, figures, lines of code. A format
//! turns these parts into files through [`export::Exporter`], one file a format, and knows nothing of the commands.
//!
//! ```
//! use initdiag::activation::Activation;
//! use initdiag::report::export::{Format, Rendering};
//! use initdiag::theory::survey::Survey;
//!
//! let survey = Survey::new(&Activation::parse("tanh")?, 1.5, 0.1);
//! let rendering = Rendering::new(&survey);
//! let files = Format::Json.export(&rendering)?;
//! assert_eq!(files[0].name, "theory.json");
//! let mut text = Vec::new();
//! files[0].write(&mut text)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod export;
#[cfg(feature = "figures")]
pub mod figure;
pub mod jacobian;
#[cfg(feature = "figures")]
mod outline;
pub mod phase;
pub mod recommend;
pub mod run;
pub mod scaling;
mod table;
#[cfg(feature = "cli")]
pub mod terminal;
pub mod theory;
pub mod train;
