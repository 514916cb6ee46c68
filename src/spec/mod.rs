//! *What* to simulate: checked and serialisable, no behaviour.

pub mod architecture;
pub mod call;

pub use architecture::Architecture;
pub use call::CatalogError;

use serde::{Deserialize, Serialize};

/// Everything that is needed to run an experiment again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Number of linear + activation layers.
    pub depth: usize,
    /// `depth + 1` widths: the input's, then each layer's.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub widths: Vec<usize>,
    /// An architecture in place of a plain stack.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub net: Option<Architecture>,
    /// Canonical texts of the activations.
    pub act: Vec<String>,
    /// Canonical texts of the initialisers.
    pub init: Vec<String>,
    /// Law of the biases; `None`: what the initialiser brings, else zeros.
    pub bias: Option<String>,
    /// Rows pushed through.
    pub batch: usize,
    /// `normal`, `uniform`, `correlated(c)` or the path of a data file.
    pub input: String,
    /// What is differentiated at the top.
    pub loss: Loss,
    /// Independent draws of all weights.
    pub trials: usize,
    /// Names all random streams of the run.
    pub seed: u64,
    /// How products with the weights are drawn.
    pub engine: Engine,
    /// A whole-stack change beyond this many decades is vanishing or exploding.
    pub threshold: f64,
}

impl Experiment {
    /// A stack of `depth` layers, each of `width` units, with the command line's defaults otherwise.
    pub fn plain(depth: usize, width: usize) -> Self {
        Self {
            depth,
            widths: vec![width; depth + 1],
            net: None,
            act: vec!["relu".into()],
            init: vec!["xavier-normal".into()],
            bias: None,
            batch: 64,
            input: "normal".into(),
            loss: Loss::Random,
            trials: 10,
            seed: 0,
            engine: Engine::Auto,
            threshold: 1.0,
        }
    }
}

/// A text from outside, fit for a line of output: control characters, and those that turn the direction of writing, stand
/// as their escapes, such as `\u{1b}`.
pub fn printable(text: &str) -> String {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if hidden(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// What is differentiated at the top of the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Random linear read-out: ∂C/∂H_L iid N(0, 1), independent of the forward pass.
    #[default]
    Random,
    /// Mean over the batch of ½‖h − t‖², targets t iid N(0, 1).
    Mse,
    /// Softmax cross-entropy, mean over the batch, against uniformly random classes.
    CrossEntropy,
}

/// How a layer's weights are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The exact engine with the least predicted cost.
    #[default]
    Auto,
    /// Every weight is drawn.
    Dense,
    /// Products with the weights are drawn from their joint law; no weight is.
    Lazy,
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(printable("a\u{1b}[31m\n\u{202e}é.csv"), "a\\u{1b}[31m\\u{a}\\u{202e}é.csv");
    }
}
