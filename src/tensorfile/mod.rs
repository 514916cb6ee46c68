//! Readers and writers of named arrays, one file a format.
//!
//! ```
//! use initdiag::tensorfile::safetensors::{Tensor, decode, encode};
//!
//! let bias = Tensor { shape: vec![2], values: vec![0.5, -0.5].into() };
//! let bytes = encode(vec![("head.bias".into(), bias)], ("about", "an example".into()));
//! let (arrays, about) = decode(&bytes, "about")?;
//! assert_eq!((arrays["head.bias"].as_slice(), about.as_str()), (&[0.5, -0.5][..], "an example"));
//! # Ok::<(), String>(())
//! ```

pub mod safetensors;
