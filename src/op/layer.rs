//! Layers as an architecture file spells them, and what assembles their nodes.

use super::forms::BiasSpec;
use super::parameter::{Role, Source};
use super::{
    Operator, Shape, Shapes, act, attention, conv, dropout, embedding, flatten, linear, norm, pool, recurrent,
};
use crate::activation::Activation;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use toml::{Table, Value};

/// A type of layer in an architecture file.
#[derive(Debug)]
pub struct LayerType {
    /// The word behind `type =`.
    pub name: &'static str,
    /// The fields that it takes beside `type`, `name` and `from`.
    pub fields: &'static [&'static str],
    /// Reads these fields.
    pub read: fn(Table) -> Result<Arc<dyn Layer>, String>,
}

/// Every type of layer, in the order in which they are listed.
pub const LAYERS: &[&LayerType] = &[
    &linear::LAYER,
    &conv::LAYER,
    &pool::MAX,
    &pool::MEAN,
    &flatten::LAYER,
    &act::LAYER,
    &norm::BATCH,
    &norm::LAYER,
    &norm::RMS,
    &dropout::LAYER,
    &recurrent::RNN,
    &recurrent::LSTM,
    &recurrent::GRU,
    &attention::LAYER,
    &embedding::LAYER,
];

/// A layer of an architecture file with its fields.
pub trait Layer: Debug + Send + Sync {
    /// The fields as the file would have them.
    fn fields(&self) -> Table;

    /// Makes the layer's nodes behind its inputs; its outputs.
    ///
    /// # Errors
    /// What does not fit, and what would, in words.
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String>;
}

/// Reads the fields of a layer type.
///
/// # Errors
/// A field that is missing or whose value has another type.
pub fn read<L: Layer + DeserializeOwned + 'static>(table: Table) -> Result<Arc<dyn Layer>, String> {
    match Value::Table(table).try_into::<L>() {
        Ok(layer) => Ok(Arc::new(layer)),
        Err(fault) => Err(fault.message().trim().replace('\n', " ")),
    }
}

/// The fields of a layer as a table.
pub fn table(layer: &impl Serialize) -> Table {
    Table::try_from(layer).unwrap_or_default()
}

/// A value of the graph under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub value: usize,
    /// Of a sample.
    pub shape: Shape,
}

/// A weight matrix with its biases, as a layer asks for it.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Path segment below the layer's own, as in `attention1/query`.
    pub part: Option<&'a str>,
    /// What it is for.
    pub role: Role,
    /// Rows and columns of W.
    pub shape: (usize, usize),
    /// fan_in and fan_out as initializers count them.
    pub fans: (usize, usize),
    /// Height and width of a convolution's kernel.
    pub kernel: Option<[usize; 2]>,
    /// The initializer that the file names.
    pub init: Option<&'a str>,
    /// The biases that the file asks for.
    pub bias: Option<&'a BiasSpec>,
    /// Where it is recorded.
    pub entry: usize,
    /// Where its numbers come from.
    pub source: Source,
    /// Initializers count it as a step in depth of the residual branch that holds it.
    pub deepens: bool,
}

impl<'a> Wanted<'a> {
    /// Of a linear layer from so many features to so many units.
    pub fn linear(entry: usize, features: usize, units: usize) -> Self {
        Self {
            part: None,
            role: Role::Weight,
            shape: (units, features),
            fans: (features, units),
            kernel: None,
            init: None,
            bias: None,
            entry,
            source: Source::Law,
            deepens: true,
        }
    }

    /// With the fields that a file gives.
    pub fn with(self, init: Option<&'a str>, bias: Option<&'a BiasSpec>) -> Self {
        Self { init, bias, ..self }
    }
}

/// A line of the result, as a layer asks for it.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// Path segment below the layer's own.
    pub part: Option<&'a str>,
    /// As in JSON.
    pub kind: &'static str,
    /// fan_in and fan_out as initializers count them.
    pub fans: (usize, usize),
    /// Rows of what is recorded.
    pub units: usize,
    /// Positions of a sample.
    pub positions: usize,
    /// It has weights.
    pub weighted: bool,
}

/// A node, as a layer asks for it.
#[derive(Debug)]
pub struct NewNode {
    /// Path segment below the layer's own.
    pub part: Option<&'static str>,
    /// What it does.
    pub operator: Arc<dyn Operator>,
    /// Its inputs.
    pub inputs: Vec<Port>,
    /// Shapes of its outputs.
    pub outputs: Vec<Shape>,
    /// Its parameters.
    pub parameters: Vec<usize>,
    /// Where its first output is recorded, before an activation.
    pub entry: Option<usize>,
}

impl NewNode {
    /// With one input, one output and neither parameters nor a record.
    pub fn plain(operator: impl Operator + 'static, input: Port, output: Shape) -> Self {
        Self {
            part: None,
            operator: Arc::new(operator),
            inputs: vec![input],
            outputs: vec![output],
            parameters: Vec::new(),
            entry: None,
        }
    }

    /// Shapes of inputs and outputs.
    pub fn shapes(&self) -> Shapes {
        Shapes { inputs: self.inputs.iter().map(|port| port.shape).collect(), outputs: self.outputs.clone() }
    }
}

/// A graph under construction, as layers see it.
pub trait Assembler {
    /// The activation of this name, or that of the experiment.
    ///
    /// # Errors
    /// A name that cannot be read.
    fn activation(&mut self, text: Option<&str>) -> Result<Arc<Activation>, String>;

    /// Adds a weight matrix; its place in the list of all.
    fn parameter(&mut self, wanted: &Wanted) -> usize;

    /// Adds a line of the result; its place.
    ///
    /// # Errors
    /// More lines than a network may have.
    fn entry(&mut self, entry: &NewEntry) -> Result<usize, String>;

    /// Adds a node; its outputs.
    ///
    /// # Errors
    /// Outputs that are empty or too large.
    fn node(&mut self, node: NewNode) -> Result<Vec<Port>, String>;

    /// The rows and columns of a table of the network's embedding, with its place among the parameters.
    fn table(&self) -> Option<(usize, (usize, usize))>;

    /// Random streams of dropout layers so far, and one more from now on.
    fn next_mask(&mut self) -> u64;
}

/// The single input of a layer that takes one.
///
/// # Errors
/// Another number of inputs.
pub fn single(kind: &str, inputs: &[Port]) -> Result<Port, String> {
    match inputs {
        [one] => Ok(*one),
        many => Err(format!("{kind} takes one input, not {}", many.len())),
    }
}

/// The single input of a layer that takes features.
///
/// # Errors
/// Another number of inputs, or tokens.
pub fn features(kind: &str, inputs: &[Port]) -> Result<Port, String> {
    let port = single(kind, inputs)?;
    if matches!(port.shape.space, super::Space::Tokens(_)) {
        return Err(format!("{kind} takes features, not {}: put an `embedding` before it", port.shape));
    }
    Ok(port)
}

/// The product of sizes, as a matrix's.
///
/// # Errors
/// A product beyond 2⁶⁴, which no machine holds.
pub fn sized(what: &str, factors: &[usize]) -> Result<usize, String> {
    factors
        .iter()
        .try_fold(1usize, |product, factor| product.checked_mul(*factor))
        .ok_or_else(|| format!("{what} is {} numbers, more than any machine holds", product_of(factors)))
}

fn product_of(factors: &[usize]) -> String {
    factors.iter().map(ToString::to_string).collect::<Vec<_>>().join("·")
}
