//! Parameters that are vectors beside the weight matrices: gains and shifts of norms, learned scales, slopes, class tokens. They have
//! laws of their own, which `--init` does not touch, and no line in the result.

use super::forms::BiasSpec;
use super::{Exported, Exports, ParameterArrays};
use crate::law::Law;

/// A vector parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorParameter {
    /// Path of the layer that holds it.
    pub path: String,
    /// What it is, the last part of its name: `gain`, `shift`.
    pub kind: &'static str,
    /// Names its random stream, apart from those of the weight matrices.
    pub stream: u64,
    /// Its entries.
    pub length: usize,
    /// Number of the innermost residual branch that holds it, and of the branch's layers with weights those before it.
    pub branch: Option<(usize, usize)>,
    /// The law that the network's file names; `None` for `usual`.
    pub init: Option<BiasSpec>,
    /// The law where nothing else is said.
    pub usual: &'static str,
    /// The constant with which it does nothing.
    pub neutral: f64,
    /// Its law.
    pub law: Law,
}

impl VectorParameter {
    /// Path and kind: `block1/batchnorm1/gain`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.path, self.kind)
    }

    /// All entries begin as what does nothing.
    pub fn is_neutral(&self) -> bool {
        self.law == Law::Constant(self.neutral)
    }
}

/// Kinds of vectors, as names end.
pub const KINDS: [&str; 6] = ["gain", "shift", "slope", "factor", "token", "table"];

/// Streams of vectors, numbered from here on.
pub const STREAMS: u64 = 1 << 40;

/// Vectors as PyTorch's modules have them: gain and slope as the weight, the shift as the bias, others under their own name.
pub fn export(exported: &Exported) -> Vec<Exports> {
    let of = |(vector, arrays): &(&VectorParameter, &ParameterArrays<f32>)| {
        let name = match vector.kind {
            "gain" | "slope" => "weight",
            "shift" => "bias",
            other => other,
        };
        let values = arrays.weights.as_slice().to_vec();
        Exports::of(&vector.path, name, vec![values.len()], values)
    };
    exported.vectors.iter().map(of).collect()
}

/// A vector parameter, as a layer asks for it.
#[derive(Debug)]
pub struct WantedVector<'a> {
    /// What it is.
    pub kind: &'static str,
    /// Its entries.
    pub length: usize,
    /// The law that the file names.
    pub init: Option<&'a BiasSpec>,
    /// The law where nothing else is said.
    pub usual: &'static str,
    /// The constant with which it does nothing.
    pub neutral: f64,
}

impl<'a> WantedVector<'a> {
    /// The gains of so many channels, 1 unless the file says otherwise; `None` where it wants none.
    pub fn gain(length: usize, init: Option<&'a BiasSpec>) -> Option<Self> {
        Self { kind: "gain", length, init, usual: "constant(1)", neutral: 1.0 }.wanted()
    }

    /// The shifts of so many channels, 0 unless the file says otherwise; `None` where it wants none.
    pub fn shift(length: usize, init: Option<&'a BiasSpec>) -> Option<Self> {
        Self { kind: "shift", length, init, usual: "zeros", neutral: 0.0 }.wanted()
    }

    fn wanted(self) -> Option<Self> {
        (!self.init.is_some_and(BiasSpec::is_absent)).then_some(self)
    }
}
