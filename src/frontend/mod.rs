//! Networks from outside as graphs: each frontend makes a graph and knows nothing of what happens to it.
//!
//! ```
//! use initdiag::activation::Activation;
//! use initdiag::frontend::toml::{Architecture, graph};
//! use std::sync::Arc;
//!
//! let file = r#"
//!     input = { shape = [8] }
//!     layer = [{ type = "linear", out = 16 }, { type = "act" }, { type = "linear", out = 4 }]"#;
//! let act = Arc::new(Activation::parse("tanh")?);
//! let graph = graph(&Architecture::parse(file)?, &act)?;
//! assert_eq!(graph.output().channels, 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bundled;
pub mod stack;
pub mod toml;
