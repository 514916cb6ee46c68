//! What to simulate: everything that is needed to run an experiment again, as plain data.
//!
//! ```
//! use initdiag::spec::Experiment;
//!
//! let experiment = Experiment { init: vec!["he".into()], act: vec!["gelu".into()], ..Experiment::plain(20, 256) };
//! assert_eq!((experiment.depth, experiment.widths.len()), (20, 21));
//! ```

pub mod compare;

pub use crate::op::loss::Loss;

use crate::frontend::toml::Architecture;
use crate::op::act::SATURATED;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that is needed to run an experiment again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Number of linear + activation layers.
    pub depth: usize,
    /// `depth + 1` widths: the input's, then each layer's.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub widths: Vec<usize>,
    /// Widths of further stacks of the grid, each as in `widths`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub more_widths: Vec<Vec<usize>>,
    /// An architecture in place of a plain stack.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub net: Option<Architecture>,
    /// Canonical texts of the activations.
    pub act: Vec<String>,
    /// Canonical texts of the initializers.
    pub init: Vec<String>,
    /// Law of the biases; `None`: what the initializer brings, else zeros.
    pub bias: Option<String>,
    /// Laws of single parameters, each as `PATTERN=LAW` ([`crate::graph::Override`]); of several that match, the last counts.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub set: Vec<String>,
    /// Rows pushed through.
    pub batch: usize,
    /// `normal`, `uniform`, `uniform(low, high)`, `correlated(c)` or the path of a data file.
    pub input: String,
    /// What single inputs of a network are given in its place, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub inputs: BTreeMap<String, String>,
    /// What is differentiated at the top.
    pub loss: Loss,
    /// Independent draws of all weights.
    pub trials: usize,
    /// Names all random streams of the run.
    pub seed: u64,
    /// How products with the weights are drawn.
    pub engine: Engine,
    /// What trials are computed in.
    #[serde(default)]
    pub precision: Precision,
    /// A whole-stack change beyond this many decades is vanishing or exploding.
    pub threshold: f64,
    /// An entry whose |φ′| is below this share of its maximum is saturated.
    #[serde(default = "saturation", skip_serializing_if = "is_usual_saturation")]
    pub saturation: f64,
}

fn saturation() -> f64 {
    SATURATED
}

#[allow(clippy::trivially_copy_pass_by_ref, clippy::float_cmp)]
fn is_usual_saturation(share: &f64) -> bool {
    *share == SATURATED
}

impl Experiment {
    /// What goes in, in words: that of every input, and of those that are given their own by name.
    pub fn input_in_words(&self) -> String {
        let own = self.inputs.iter().map(|(name, input)| format!("{name}={input}"));
        let common = (self.inputs.is_empty() || self.input != "normal").then(|| self.input.clone());
        common.into_iter().chain(own).collect::<Vec<_>>().join(", ")
    }

    /// The widths of every stack of the grid; of a network, those of nothing.
    pub fn stacks(&self) -> impl Iterator<Item = &[usize]> {
        std::iter::once(self.widths.as_slice()).chain(self.more_widths.iter().map(Vec::as_slice))
    }

    /// A stack of `depth` layers, each of `width` units, with the command line's defaults otherwise.
    pub fn plain(depth: usize, width: usize) -> Self {
        Self {
            depth,
            widths: vec![width; depth + 1],
            more_widths: Vec::new(),
            net: None,
            act: vec!["relu".into()],
            init: vec!["xavier-normal".into()],
            bias: None,
            set: Vec::new(),
            batch: 64,
            input: "normal".into(),
            inputs: BTreeMap::new(),
            loss: Loss::Random,
            trials: 10,
            seed: 0,
            engine: Engine::Auto,
            precision: Precision::Auto,
            threshold: 1.0,
            saturation: SATURATED,
        }
    }
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
    #[serde(alias = "lazy")]
    Implicit,
}

/// What trials are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision, and double where single precision would round a recorded figure away.
    #[default]
    Auto,
    /// Single precision.
    Single,
    /// Double precision.
    Double,
}
