//! The one representation of a result: what `--json` prints and every report renders (schema `initdiag/1`).
//!
//! A [`Report`] holds one [`Cell`] for each combination of initializer and activation; a cell holds its [`Layer`]s, its two
//! [`Direction`]s and its [`Flag`]s. Words of the JSON are enumerations here. The types may grow: they are read, and written by
//! [`crate::diagnose::run`], and not put together by hand.
//!
//! ```
//! use initdiag::result::{Flag, Verdict};
//!
//! assert_eq!(Flag::parse("dead-units"), Some(Flag::DeadUnits));
//! assert_eq!(Verdict::ALL.len(), 3);
//! ```

mod baseline;
pub mod jacobian;
mod layer;
mod names;
pub mod role;

pub use crate::theory::formats::NumberFormat;
pub use baseline::{Baseline, Comparison, Difference};
#[cfg(test)]
pub(crate) use layer::tests as made;
pub use layer::{Drawing, Layer, Quantiles, Sample, Spread, Summary, Theory, Trace, WeightSize};
pub use names::{EngineUsed, Exactness, Flag, Kind, Quantity, Recorded, Rounding, Severity, Verdict};

use crate::spec::Experiment;
use jacobian::Jacobian;
use serde::{Deserialize, Deserializer, Serialize};

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "initdiag/1";

/// The result of a run: one cell for each initializer × activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of initdiag that wrote it.
    pub version: String,
    /// Everything needed to run it again.
    pub spec: Experiment,
    /// Of a network: numbers that a framework would count as its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// In the order of the grid: initializers, and activations within each.
    pub cells: Vec<Cell>,
    /// The run was stopped before its end; the cells hold what was complete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Combinations of the grid that cannot be built, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// With `--baseline`: the earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
}

/// A combination of a grid that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// The initializer.
    pub init: String,
    /// The activation.
    pub act: String,
    /// Why, in words.
    pub reason: String,
}

impl LeftOut {
    /// A combination with its reason.
    pub fn new(init: &str, act: &str, reason: &str) -> Self {
        Self { init: init.into(), act: act.into(), reason: reason.into() }
    }
}

/// Layers of a plain stack, and the units of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackSize {
    /// Linear layers, each with an activation.
    pub depth: usize,
    /// Units of the last layer.
    pub width: usize,
}

/// One initializer with one activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cell {
    /// The initializer by its full name, or the law as the user wrote it.
    pub init: String,
    /// The activation by its full name, or the expression as the user wrote it.
    pub act: String,
    /// Of a grid over several stacks: the size of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackSize>,
    /// How products with the weights were drawn.
    pub engine: EngineUsed,
    /// Why that engine was taken.
    #[serde(default)]
    pub engine_reason: String,
    /// Whether the engine drew from the law that was asked for or from its limit.
    pub law: Exactness,
    /// Trials completed.
    pub trials: usize,
    /// First to last.
    pub layers: Vec<Layer>,
    /// Of a network: its norms with a gain, at their outputs. `layer` is that of the layer before each, and the weights are its gain. The
    /// verdict, baselines and tables of layers are about `layers` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub norms: Vec<Layer>,
    /// What the stack does to the activations, first layer to last.
    pub forward: Direction,
    /// What the stack does to the gradients, last layer to first.
    pub backward: Direction,
    /// With `--loss cross-entropy`: the loss before the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_loss: Option<InitialLoss>,
    /// What else is wrong, see [`crate::diagnose::verdict`].
    #[serde(deserialize_with = "known_flags")]
    pub flags: Vec<Flag>,
    /// Where number formats lose it, widest first.
    #[serde(default)]
    pub formats: Vec<FormatRange>,
    /// The verdict in words, with its cause; one sentence each.
    pub words: Vec<String>,
    /// With `--jacobian`: singular values of ∂output/∂input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jacobian: Option<Jacobian>,
    /// With `--baseline`: this cell beside that of the earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Comparison>,
}

/// A cross-entropy before the first step, against random classes, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InitialLoss {
    /// Median over trials.
    pub value: f64,
    /// Of a guess that holds all classes for alike: ln(classes).
    pub uniform: f64,
}

impl InitialLoss {
    /// As a sentence.
    pub fn words(self) -> String {
        format!("loss: cross-entropy begins at {:.3}, where a guess has {:.3}", self.value, self.uniform)
    }
}

impl Cell {
    /// The initializer as tables and figures name it: of a grid over several stacks, with the size of the stack.
    pub fn label(&self) -> String {
        match self.stack {
            None => self.init.clone(),
            Some(StackSize { depth, width }) => format!("{} {depth}×{width}", self.init),
        }
    }
}

/// The layers at which the median root mean square leaves a format's normal range, in the direction of flow; `None` where it
/// never does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FormatRange {
    /// The format.
    pub format: NumberFormat,
    /// Layer at which the activation H leaves the range.
    pub activation: Option<usize>,
    /// Layer at which the gradient ∂C/∂Z leaves it, from the last layer down.
    pub gradient: Option<usize>,
    /// Layer at which the gradient's square leaves it, which Adam keeps.
    pub squared_gradient: Option<usize>,
}

/// What happens to a signal through the whole stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Direction {
    /// What is followed.
    #[serde(default)]
    pub quantity: Quantity,
    /// Robust slope of its median log₁₀ in the direction of flow, a layer; `None` with a `log10_change` of `None`.
    pub log10_per_layer: Option<f64>,
    /// Bootstrap interval over trials.
    pub ci95: Option<[f64; 2]>,
    /// Change of its median log₁₀ from the first layer to the last in the direction of flow, in decades; of a single
    /// layer's signal, from the input. `None` where it becomes zero or leaves the range of a [`crate::numeric::wide::Wide`].
    pub log10_change: Option<f64>,
    /// What the verdict decides by: the change, or that of the line through all layers where it is larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisive: Option<f64>,
    /// A change beyond ± this many decades is no chance and not small: the threshold asked for, and what the layers' widths
    /// leave to chance in so many trials.
    #[serde(default = "one_decade")]
    pub threshold: f64,
    /// What the change, or the slope times its steps where that is larger, amounts to.
    pub verdict: Verdict,
    /// How much that matters to training.
    #[serde(default)]
    pub severity: Severity,
    /// Of a network, and of a stack whose layers differ in width: median log₁₀ of what is followed at each layer, in the direction of flow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judged: Vec<Judged>,
    /// Of a network: what the change is made of, by kind of block, the largest share first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<Share>,
}

impl Direction {
    /// The verdict, with its severity where it has one: `vanishing (mild)`.
    pub fn graded(&self) -> String {
        match self.severity {
            Severity::None => self.verdict.to_string(),
            severity => format!("{} ({severity})", self.verdict),
        }
    }
}

/// Part of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The blocks that make it, by their path without numbers.
    pub path: String,
    /// What their layers are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Sum over their steps, in decades.
    pub log10: f64,
    /// How many steps.
    pub steps: usize,
}

/// What is followed, at a layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Its number.
    pub layer: usize,
    /// Median over trials; `None` for an exact zero.
    pub log10: Option<f64>,
}

fn one_decade() -> f64 {
    1.0
}

/// Flags that a later version may have written and this one does not know are left out: the numbers of its result can be
/// read all the same.
fn known_flags<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<Flag>, D::Error> {
    let names = Vec::<String>::deserialize(source)?;
    Ok(names.iter().filter_map(|name| Flag::parse(name)).collect())
}
