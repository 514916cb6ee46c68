//! The gated perceptron of Llama and its kin: W_down·(φ(W_gate·x) ⊙ W_up·x), with SiLU called SwiGLU, with GELU GEGLU (Shazeer 2020,
//! arXiv:2002.05202).

use super::glu::gated;
use super::layer::{self, Assembler, LayerType, Port, features, read};
use super::linear::{self, Part, project};
use super::{BiasSpec, ByPart, check_parts, of_part};
use serde::{Deserialize, Serialize};

/// As an architecture file spells it.
pub const LAYER: LayerType =
    LayerType { name: "gated-mlp", fields: &["hidden", "fn", "out", "init", "bias"], read: read::<Spec> };

/// The fields of a gated perceptron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Units between.
    hidden: usize,
    /// φ, of the gate.
    #[serde(rename = "fn", default = "silu", skip_serializing_if = "is_silu")]
    function: String,
    /// Units behind; as many as features come in where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out: Option<usize>,
    /// Of all three matrices or of each, in place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<ByPart<String>>,
    /// Law of the biases, likewise; none where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<ByPart<BiasSpec>>,
}

/// The gate's function where a file names none.
pub fn silu() -> String {
    "silu".into()
}

/// It need not be written.
pub fn is_silu(function: &str) -> bool {
    function == "silu"
}

/// Its matrices.
pub const PARTS: [&str; 3] = ["gate", "up", "down"];

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("gated-mlp", inputs)?;
        let hidden = linear::output(input.shape, self.hidden)?;
        let out = input.shape.with(self.out.unwrap_or(input.shape.channels));
        check_parts("init", &self.init, &PARTS)?;
        check_parts("bias", &self.bias, &PARTS)?;
        let part = |name: &'static str, beside: bool| Part {
            name: Some(name),
            init: of_part(&self.init, name).map(String::as_str),
            bias: Some(of_part(&self.bias, name).unwrap_or(&BiasSpec::Has(false))),
            beside,
            ..Part::default()
        };
        let [gate, up, down] = PARTS;
        // The gate stands beside what it gates: both are one step in depth.
        let gate = project(to, input, hidden, &part(gate, true))?;
        let up = project(to, input, hidden, &part(up, false))?;
        let between = gated(to, up, gate, &self.function)?;
        project(to, between, out, &part(down, false)).map(|port| vec![port])
    }
}
