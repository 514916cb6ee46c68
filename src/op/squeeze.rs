//! Squeeze and excitation (Hu et al. 2018): each channel times a gate that two layers make of the channels' means.

use super::act::activated;
use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, Port, features, read};
use super::linear::{Part, project};
use super::mul::multiplied;
use super::{ByPart, Shape, Space, check_parts, of_part, pool};
use serde::{Deserialize, Serialize};

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType {
    name: "squeeze-excite",
    fields: &["hidden", "fn", "gate", "init", "bias"],
    read: read::<Spec>,
};

/// The fields of a squeeze and excitation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Channels between the two layers.
    hidden: usize,
    /// The activation between them.
    #[serde(rename = "fn", default = "relu")]
    function: String,
    /// The activation that makes gates of what the second gives.
    #[serde(default = "sigmoid")]
    gate: String,
    /// Of both layers or of each, in place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<ByPart<String>>,
    /// Law of the biases, likewise; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<ByPart<BiasSpec>>,
}

fn relu() -> String {
    "relu".into()
}

fn sigmoid() -> String {
    "sigmoid".into()
}

/// Its layers.
const PARTS: [&str; 2] = ["reduce", "expand"];

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("squeeze-excite", inputs)?;
        check_parts("init", &self.init, &PARTS)?;
        check_parts("bias", &self.bias, &PARTS)?;
        let vector = |channels: usize| Shape { channels, space: Space::Flat };
        let channels = input.shape.channels;
        let mut port = pool::mean_of_all(to, input)?;
        for (name, units, function) in
            [(PARTS[0], self.hidden, &self.function), (PARTS[1], channels, &self.gate)]
        {
            let part = Part {
                name: Some(name),
                init: of_part(&self.init, name).map(String::as_str),
                bias: of_part(&self.bias, name),
                ..Part::default()
            };
            let made = project(to, port, vector(units), &part)?;
            port = activated(to, made, Some(function))?;
        }
        multiplied(to, input, port).map(|port| vec![port])
    }
}
