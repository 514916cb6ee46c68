//! An architecture file: the layers of a network as nested tables, no behaviour.

pub mod build;
mod check;
pub mod count;
mod forms;

pub use build::{Builder, NetError};
pub use check::ArchitectureError;
pub use forms::{BiasSpec, Padding, Pair};

use serde::{Deserialize, Serialize};

/// A network as its file describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// As reports show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What goes in.
    pub input: InputSpec,
    /// Initialiser of layers that name none, unless the user asks for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Activation of layers that name none, unless the user asks for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
    /// In the order in which the signal meets them.
    #[serde(rename = "layer")]
    pub layers: Vec<LayerSpec>,
}

/// The shape of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// `[features]`, `[length, features]` or `[channels, height, width]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<usize>>,
    /// Tokens are drawn from so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// Tokens of a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
}

impl Architecture {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong, with the place and the nearest name of what is misspelt.
    pub fn parse(text: &str) -> Result<Self, ArchitectureError> {
        let table = text.parse::<toml::Table>().map_err(|fault| ArchitectureError::of_toml(&fault, text))?;
        check::table(&table)?;
        toml::Value::Table(table).try_into().map_err(|fault: toml::de::Error| ArchitectureError::Value {
            place: "the file".into(),
            reason: fault.message().trim().to_string(),
        })
    }
}

/// One layer, or a group of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum LayerSpec {
    /// W·h + b, at each position of a sequence.
    Linear(LinearSpec),
    /// Two-dimensional convolution (cross-correlation, as frameworks have it).
    Conv2d(ConvSpec),
    /// Largest entry of a window.
    MaxPool(PoolSpec),
    /// Mean of a window, or of all positions where no kernel is given.
    AvgPool(PoolSpec),
    /// All positions of a sample become features.
    Flatten(PlainSpec),
    /// Activation.
    Act(ActSpec),
    /// Over the batch and all positions, a channel.
    BatchNorm(NormSpec),
    /// Over the features of a position, or over all of an image.
    LayerNorm(NormSpec),
    /// As layernorm, without the mean.
    RmsNorm(NormSpec),
    /// Entries zero with probability p, the others scaled by 1/(1 − p).
    Dropout(DropoutSpec),
    /// shortcut(x) + scale·layers(x).
    Residual(ResidualSpec),
    /// The same layers several times, each with weights of its own.
    Repeat(RepeatSpec),
    /// h_t = φ(W x_t + b + U h_{t−1}).
    Rnn(RecurrentSpec),
    /// Long short-term memory.
    Lstm(RecurrentSpec),
    /// Gated recurrent unit.
    Gru(RecurrentSpec),
    /// Multi-head self-attention with softmax.
    Attention(AttentionSpec),
    /// A row of a table for each token.
    Embedding(EmbeddingSpec),
}

/// Fields that a layer with weights shares with others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearSpec {
    /// Units.
    pub out: usize,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Law of the biases; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<BiasSpec>,
    /// The weights are those of the network's embedding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tied: bool,
}

/// A convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvSpec {
    /// Channels.
    pub out: usize,
    /// Height and width of the kernel.
    pub kernel: Pair,
    /// Positions between two outputs.
    #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
    pub stride: Pair,
    /// Zeros around the image.
    #[serde(default)]
    pub padding: Padding,
    /// Positions between two taps.
    #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
    pub dilation: Pair,
    /// Groups of channels that do not see one another.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Law of the biases; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<BiasSpec>,
}

/// A pooling layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Height and width of the window; all of the image where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Pair>,
    /// Positions between two windows; the kernel where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Pair>,
    /// Positions around the image: zeros to a mean, nothing to a maximum.
    #[serde(default)]
    pub padding: Padding,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A layer without numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainSpec {
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An activation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActSpec {
    /// In place of `--act`.
    #[serde(rename = "fn", default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A norm, with its gain 1 and shift 0 as they start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormSpec {
    /// Added to the variance.
    #[serde(default = "NormSpec::eps")]
    pub eps: f64,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl NormSpec {
    fn eps() -> f64 {
        1e-5
    }
}

/// Dropout as in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DropoutSpec {
    /// Probability of a zero.
    #[serde(default = "DropoutSpec::half")]
    pub p: f64,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl DropoutSpec {
    fn half() -> f64 {
        0.5
    }
}

/// A residual block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResidualSpec {
    /// The branch.
    pub layers: Vec<LayerSpec>,
    /// The identity where it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortcut: Vec<LayerSpec>,
    /// Factor of the branch.
    #[serde(default = "ResidualSpec::unit", skip_serializing_if = "ResidualSpec::is_unit")]
    pub scale: f64,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl ResidualSpec {
    fn unit() -> f64 {
        1.0
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_unit(scale: &f64) -> bool {
        *scale == 1.0
    }
}

/// Layers that follow one another several times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepeatSpec {
    /// How often.
    pub times: usize,
    /// What is repeated.
    pub layers: Vec<LayerSpec>,
}

/// A recurrent layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecurrentSpec {
    /// Units of the state.
    pub out: usize,
    /// In place of `--act`; of a plain rnn only.
    #[serde(rename = "fn", default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Of the input's weights, in place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Of the state's weights, in place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrent: Option<String>,
    /// Law of the biases; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<BiasSpec>,
    /// Biases of the forget gate, of an lstm only; as the others where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget: Option<f64>,
    /// The last state alone goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Multi-head self-attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttentionSpec {
    /// Heads, of width features/heads each.
    pub heads: usize,
    /// A position sees those before it and itself only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub causal: bool,
    /// Of all four projections, in place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Law of the biases; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<BiasSpec>,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An embedding of tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingSpec {
    /// Features.
    pub out: usize,
    /// Adds a learnt row for each position.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub positions: bool,
    /// Law of the rows: normal(0, 1) where it is left out. `--init` is for products, which a table is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Path segment in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(count: &usize) -> bool {
    *count == 1
}
