//! Gated linear units: a ⊙ φ(b) of the two halves a, b of the channels (Dauphin et al. 2017; Shazeer 2020, arXiv:2002.05202).

use super::act::activated;
use super::exactly;
use super::layer::{self, Assembler, LayerType, NewNode, Port, divided, features, read};
use super::mul::multiplied;
use super::split::Split;
use serde::{Deserialize, Serialize};

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "glu", fields: &["fn"], read: read::<Spec> };

/// The fields of a gated linear unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {
    /// φ, of the second half.
    #[serde(rename = "fn", default = "sigmoid", skip_serializing_if = "is_sigmoid")]
    function: String,
}

fn sigmoid() -> String {
    "sigmoid".into()
}

fn is_sigmoid(function: &str) -> bool {
    function == "sigmoid"
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("glu", inputs)?;
        let channels = input.shape.channels;
        if channels % 2 == 1 {
            return Err(format!(
                "glu takes an even number of channels, two halves, not {channels}; {} fits",
                channels.saturating_add(1)
            ));
        }
        let half = input.shape.with(divided("parts", 2, channels)?);
        let split = NewNode::plain(Split { rows: vec![half.channels; 2] }, input, half);
        let [a, b] = exactly(to.node(NewNode { outputs: vec![half; 2], ..split })?);
        gated(to, a, b, &self.function).map(|port| vec![port])
    }
}

/// Adds value ⊙ φ(gate) of two values of one shape.
///
/// # Errors
/// A function that cannot be read.
pub fn gated(to: &mut dyn Assembler, value: Port, gate: Port, function: &str) -> Result<Port, String> {
    let gate = activated(to, gate, Some(function))?;
    multiplied(to, value, gate)
}
