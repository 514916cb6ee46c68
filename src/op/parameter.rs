//! What a network's parameters are: their names, roles, fans, laws and where their numbers come from.

use super::forms::BiasSpec;
use crate::law::Law;
use crate::weights::Method;

/// What a weight matrix is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// The weights of a layer that has one matrix.
    #[default]
    Weight,
    /// Projection to the queries of an attention.
    Query,
    /// Projection to its keys.
    Key,
    /// Projection to its values.
    Value,
    /// Projection behind its heads, or of a recurrent layer's cell to a smaller state.
    Output,
    /// From the input to a gate of a recurrent layer.
    Gate,
    /// From the state to a gate of a recurrent layer.
    Recurrent,
    /// Rows for tokens.
    Embedding,
    /// Rows for positions.
    Position,
}

/// Where the numbers of a weight matrix come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Its law.
    #[default]
    Law,
    /// The matrix of the parameter with this place in the list, transposed.
    Transposed(usize),
}

/// What laws may ask of a layer beside its fans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Groups of a convolution.
    pub groups: usize,
    /// Heads of an attention.
    pub heads: usize,
    /// Features, or channels, that enter the layer; of a table those of its rows.
    pub width: usize,
    /// Equal blocks of rows that the matrix consists of: gates that have one matrix.
    pub blocks: usize,
    /// Blocks of the matrix that frameworks draw where this one is, or is part of.
    pub packed: usize,
    /// The kernel is that of a transposed convolution.
    pub transposed: bool,
}

impl Counts {
    /// Of a layer without groups and heads.
    pub fn of_width(width: usize) -> Self {
        Self { groups: 1, heads: 1, width, blocks: 1, packed: 1, transposed: false }
    }
}

/// Biases of one gate of a recurrent layer whose gates have one matrix, with a law of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct GateBias {
    /// The gate.
    pub gate: &'static str,
    /// Its place among the equal blocks of rows.
    pub block: usize,
    /// The law that the network's file names; `None` for what the experiment says.
    pub spec: Option<BiasSpec>,
    /// Its law.
    pub law: Law,
}

/// A weight matrix W and the bias vector b beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Path of the layer that holds it; frameworks add `.weight` and `.bias`.
    pub path: String,
    /// The gate of a recurrent layer that it belongs to.
    pub gate: Option<&'static str>,
    /// What it is for.
    pub role: Role,
    /// Running number in the order of the network, from 1: it names the random streams.
    pub stream: u64,
    /// Place among the records of the network.
    pub entry: usize,
    /// Rows and columns of W with all its taps.
    pub shape: (usize, usize),
    /// Entries of b: one for each unit, or channel, that comes out.
    pub biases: usize,
    /// fan_in and fan_out as initializers count them.
    pub fans: (usize, usize),
    /// Groups, heads, width.
    pub counts: Counts,
    /// Depth, height and width of a convolution's kernel; `None` for every other layer.
    pub kernel: Option<[usize; 3]>,
    /// Number of the innermost residual branch that holds it, and the place within that branch.
    pub branch: Option<(usize, usize)>,
    /// The initializer that the network's file names for it; `--init` does not touch it then.
    pub init: Option<String>,
    /// The biases that the network's file asks for; `None` for what the experiment says.
    pub bias_spec: Option<BiasSpec>,
    /// The initializer of tables unless the file, or one that knows tables, says otherwise.
    pub usual: Option<&'static str>,
    /// Biases among them that have a law of their own.
    pub gate_bias: Option<GateBias>,
    /// Where W comes from.
    pub source: Source,
    /// Law of the weights.
    pub law: Law,
    /// Law of the biases.
    pub bias: Law,
    /// On a convolution the law is that of the center tap, and all other taps are zero.
    pub center: bool,
    /// W is multiplied by the factor that gives the layer's first output unit variance (LSUV, Mishkin & Matas 2016).
    pub rescaled: bool,
    /// How products with W are drawn.
    pub method: Method,
}

impl Parameter {
    /// Path, gate and kind of the weights: `block1/attention1/query/weight`, `lstm1/forget/recurrent`. The layers of a plain stack are
    /// `layer1` and so on.
    pub fn name(&self) -> String {
        self.named(match self.role {
            Role::Recurrent => "recurrent",
            Role::Position => "positions",
            _ => "weight",
        })
    }

    /// The same of its biases: `lstm1/forget/bias`, and `lstm1/forget/recurrent_bias` beside the state's weights.
    pub fn bias_name(&self) -> String {
        self.named(self.bias_kind())
    }

    /// The same of the biases that have a law of their own.
    pub fn gate_bias_name(&self) -> Option<String> {
        self.gate_bias.as_ref().map(|own| self.named_at(Some(own.gate), self.bias_kind()))
    }

    fn bias_kind(&self) -> &'static str {
        if self.role == Role::Recurrent { "recurrent_bias" } else { "bias" }
    }

    fn named(&self, kind: &str) -> String {
        self.named_at(self.gate, kind)
    }

    fn named_at(&self, gate: Option<&str>, kind: &str) -> String {
        let path = if self.path.is_empty() { format!("layer{}", self.stream) } else { self.path.clone() };
        match gate {
            Some(gate) => format!("{path}/{gate}/{kind}"),
            None => format!("{path}/{kind}"),
        }
    }

    /// Rows of W: units, or channels; of a transposed convolution the channels that come in.
    pub fn rows(&self) -> usize {
        self.shape.0
    }

    /// Columns of W that are drawn: of a convolution whose law is that of the center tap, the columns of that tap.
    pub fn drawn_columns(&self) -> usize {
        if self.center { self.shape.1 / self.taps().max(1) } else { self.shape.1 }
    }

    /// Taps of a convolution; 1 for every other layer.
    pub fn taps(&self) -> usize {
        self.kernel.map_or(1, |kernel| kernel.iter().product())
    }

    /// The number of the tap in the middle of the kernel, the first of those nearest to it.
    pub fn center_tap(&self) -> usize {
        self.kernel.map_or(0, |kernel| kernel.iter().fold(0, |tap, length| tap * length + (length - 1) / 2))
    }

    /// All biases are zero.
    pub fn has_zero_biases(&self) -> bool {
        let zero = |law: &Law| *law == Law::Constant(0.0);
        zero(&self.bias) && self.gate_bias.as_ref().is_none_or(|own| zero(&own.law))
    }

    /// The layer has biases, be they zero at first.
    pub fn is_biased(&self) -> bool {
        !self.bias_spec.as_ref().is_some_and(BiasSpec::is_absent)
    }

    /// Has numbers of its own, not those of another parameter.
    pub fn is_own(&self) -> bool {
        self.source == Source::Law
    }
}
