//! Layers as an architecture file spells them, and what assembles their nodes.

use super::forms::BiasSpec;
use super::parameter::{Counts, GateBias, Role, Source};
use super::{Operator, Shape, Shapes, Space, WantedVector};
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
    &super::linear::LAYER,
    &super::conv::ONE,
    &super::conv::TWO,
    &super::conv::THREE,
    &super::conv_transpose::ONE,
    &super::conv_transpose::TWO,
    &super::conv_transpose::THREE,
    &super::upsample::LAYER,
    &super::pixel_shuffle::SHUFFLE,
    &super::pixel_shuffle::UNSHUFFLE,
    &super::pool::MAX,
    &super::pool::MEAN,
    &super::flatten::LAYER,
    &super::flatten::SEQUENCE,
    &super::act::LAYER,
    &super::glu::LAYER,
    &super::gated_mlp::LAYER,
    &super::moe::LAYER,
    &super::norm::BATCH,
    &super::norm::LAYER,
    &super::norm::RMS,
    &super::groupnorm::LAYER,
    &super::groupnorm::INSTANCE,
    &super::dropout::LAYER,
    &super::dropout::PATH,
    &super::recurrent::RNN,
    &super::recurrent::LSTM,
    &super::recurrent::GRU,
    &super::attention::LAYER,
    &super::embedding::LAYER,
    &super::add::LAYER,
    &super::mul::LAYER,
    &super::concat::LAYER,
    &super::split::LAYER,
    &super::matmul::LAYER,
    &super::softmax::LAYER,
    &super::scale::LAYER,
    &super::affine::LAYER,
    &super::affine::POSITIONS,
    &super::token::LAYER,
    &super::prelu::LAYER,
    &super::squeeze::LAYER,
    &super::position::REVERSE,
    &super::position::SELECT,
    &super::position::SHIFT,
    &super::transpose::LAYER,
    &super::graph_conv::LAYER,
    &super::ssm::LAYER,
];

/// What stands in an architecture file.
pub trait Fields {
    /// The fields as the file would have them.
    fn fields(&self) -> Table;
}

impl<S: Serialize> Fields for S {
    fn fields(&self) -> Table {
        Table::try_from(self).unwrap_or_default()
    }
}

/// A layer of an architecture file with its fields.
pub trait Layer: Fields + Debug + Send + Sync {
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
    Ok(Arc::new(deserialized::<L>(Value::Table(table))?))
}

/// A value of a file as what it stands for.
///
/// # Errors
/// The field that is wrong, what it holds, and what is needed there.
pub fn deserialized<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|fault: serde_path_to_error::Error<toml::de::Error>| {
        let path = fault.path().to_string();
        let reason = in_words(&fault.inner().message().trim().replace('\n', " "));
        if path == "." { reason } else { format!("{path}: {reason}") }
    })
}

/// serde's message without the names of Rust's types.
fn in_words(message: &str) -> String {
    let rest = ["invalid type: ", "invalid value: "].iter().find_map(|start| message.strip_prefix(start));
    let Some((found, expected)) = rest.and_then(|rest| rest.split_once(", expected ")) else {
        return message.replacen("unknown variant", "unknown word", 1);
    };
    let needed = match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number from 0 on",
        "isize" | "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        "a sequence" => "a list",
        "a string" => "a text in quotes",
        "a boolean" => "true or false",
        other => other,
    };
    let found = found.replace("floating point", "number").replace("integer", "number");
    let found = found.replace("string", "text").replace("sequence", "list").replace("map", "table");
    format!("{found} where {needed} is needed")
}

/// A field that is 1 where it is left out.
pub fn one() -> usize {
    1
}

/// Such a field need not be written.
pub fn is_one(count: &usize) -> bool {
    *count == 1
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
    /// The gate of a recurrent layer that it belongs to.
    pub gate: Option<&'static str>,
    /// What it is for.
    pub role: Role,
    /// Rows and columns of W.
    pub shape: (usize, usize),
    /// Entries of b.
    pub biases: usize,
    /// fan_in and fan_out as initializers count them.
    pub fans: (usize, usize),
    /// Groups, heads, width.
    pub counts: Counts,
    /// Depth, height and width of a convolution's kernel.
    pub kernel: Option<[usize; 3]>,
    /// The initializer that the file names.
    pub init: Option<&'a str>,
    /// The biases that the file asks for.
    pub bias: Option<&'a BiasSpec>,
    /// The initializer of a table unless the file, or one that knows tables, says otherwise.
    pub usual: Option<&'static str>,
    /// Biases of one gate that have a law of their own.
    pub gate_bias: Option<GateBias>,
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
            gate: None,
            role: Role::Weight,
            shape: (units, features),
            biases: units,
            fans: (features, units),
            counts: Counts::of_width(features),
            kernel: None,
            init: None,
            bias: None,
            usual: None,
            gate_bias: None,
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
pub struct NewNode<'a> {
    /// Path segment below the layer's own.
    pub part: Option<&'a str>,
    /// What it does.
    pub operator: Arc<dyn Operator>,
    /// Its inputs.
    pub inputs: Vec<Port>,
    /// Shapes of its outputs.
    pub outputs: Vec<Shape>,
    /// Its parameters.
    pub parameters: Vec<usize>,
    /// Its parameters that are vectors.
    pub vectors: Vec<usize>,
    /// Where its first output is recorded, before an activation.
    pub entry: Option<usize>,
    /// The norm, among those that are recorded, whose output its first output is.
    pub norm: Option<usize>,
}

impl NewNode<'_> {
    /// With one input, one output, no parameters and no record.
    pub fn plain(operator: impl Operator + 'static, input: Port, output: Shape) -> Self {
        Self {
            part: None,
            operator: Arc::new(operator),
            inputs: vec![input],
            outputs: vec![output],
            parameters: Vec::new(),
            vectors: Vec::new(),
            entry: None,
            norm: None,
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

    /// Adds a vector parameter; its place in the list of all vectors.
    fn vector(&mut self, wanted: &WantedVector) -> usize;

    /// Adds a line of the result; its place.
    ///
    /// # Errors
    /// More lines than a network may have.
    fn entry(&mut self, entry: &NewEntry) -> Result<usize, String>;

    /// Adds a norm of values of this shape to those that are recorded; its place among them.
    fn norm(&mut self, kind: &'static str, shape: Shape) -> usize;

    /// Adds a node; its outputs.
    ///
    /// # Errors
    /// Outputs that are empty or too large.
    fn node(&mut self, node: NewNode) -> Result<Vec<Port>, String>;

    /// The rows and columns of a table of the network's embedding, with its place among the parameters.
    fn embedding(&self) -> Option<(usize, (usize, usize))>;

    /// The place of the table that an earlier layer has called so; `None` where none has.
    ///
    /// # Errors
    /// It is another one than is wanted, by its size or its law.
    fn known(&self, name: &str, wanted: &Wanted) -> Result<Option<usize>, String>;

    /// Adds a table, which later layers may share by its name; its place in the list of all parameters.
    fn table(&mut self, name: Option<&str>, wanted: &Wanted) -> usize;

    /// Random streams of dropout layers so far, and one more from now on.
    fn next_mask(&mut self) -> u64;

    /// What a message calls a value: the path of the layer that makes it, with an index where that layer makes several.
    fn name_of(&self, port: &Port) -> String;
}

/// The single input of a layer that takes one.
///
/// # Errors
/// Another number of inputs.
pub fn single(kind: &str, inputs: &[Port]) -> Result<Port, String> {
    match inputs {
        [one] => Ok(*one),
        many => {
            Err(format!("{kind} takes one input, not {}: `from` names the one that it takes", many.len()))
        }
    }
}

/// The single input of a layer that takes features.
///
/// # Errors
/// Another number of inputs, or tokens.
pub fn features(kind: &str, inputs: &[Port]) -> Result<Port, String> {
    let port = single(kind, inputs)?;
    has_features(kind, &port)?;
    Ok(port)
}

/// The single input of a layer that takes a sequence, and its length.
///
/// # Errors
/// Another number of inputs, or no sequence.
pub fn sequence(kind: &str, inputs: &[Port]) -> Result<(Port, usize), String> {
    let input = single(kind, inputs)?;
    let Space::Sequence(length) = input.shape.space else {
        return Err(format!(
            "{kind} takes a sequence [length, features], not {}: input = {{ shape = [length, features] }} fits",
            input.shape
        ));
    };
    Ok((input, length))
}

fn has_features(kind: &str, port: &Port) -> Result<(), String> {
    if matches!(port.shape.space, Space::Tokens(_)) {
        return Err(format!("{kind} takes features, not {}: put an `embedding` before it", port.shape));
    }
    Ok(())
}

/// The two inputs of a layer that takes two with features.
///
/// # Errors
/// Another number of inputs, or tokens.
pub fn two(kind: &str, inputs: &[Port]) -> Result<[Port; 2], String> {
    let [first, second] = inputs else {
        let reason =
            format!("{kind} takes two inputs, not {}: `from = [\"a\", \"b\"]` names them", inputs.len());
        return Err(reason);
    };
    inputs.iter().try_for_each(|port| has_features(kind, port))?;
    Ok([*first, *second])
}

/// The inputs of a layer that joins two or more with features.
///
/// # Errors
/// Fewer inputs, or tokens.
pub fn several(kind: &str, inputs: &[Port]) -> Result<Port, String> {
    let [first, _, ..] = inputs else {
        let reason = format!(
            "{kind} takes two or more inputs, not {}: `from = [\"a\", \"b\"]` names them",
            inputs.len()
        );
        return Err(reason);
    };
    inputs.iter().try_for_each(|port| has_features(kind, port))?;
    Ok(*first)
}

/// Says which two inputs do not go together, with their shapes.
pub fn clash(to: &dyn Assembler, what: &str, a: &Port, b: &Port) -> String {
    format!("{what}, but {} gives {} and {} gives {}", to.name_of(a), a.shape, to.name_of(b), b.shape)
}

/// The divisor of a number up to 10¹² that is nearest to a wish.
pub fn divisor_near(number: usize, wish: usize) -> usize {
    // There are at most 6720 divisors, found among the first million numbers.
    let pairs = (1..=number.isqrt()).filter(|d| number.is_multiple_of(*d)).flat_map(|d| [d, number / d]);
    pairs.min_by_key(|d| (d.abs_diff(wish), *d)).unwrap_or(1)
}

/// The greatest number that divides both.
pub fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A number of parts that a layer's channels are divided into.
///
/// # Errors
/// A number that does not divide them, with the nearest that does.
pub fn divided(field: &str, parts: usize, channels: usize) -> Result<usize, String> {
    if parts == 0 || !channels.is_multiple_of(parts) {
        let fits = divisor_near(channels, parts);
        return Err(format!("{field} = {parts} does not divide the {channels} features; {fits} does"));
    }
    Ok(channels / parts)
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

/// The sum of sizes.
///
/// # Errors
/// A sum beyond 2⁶⁴, which no machine holds.
pub fn total(what: &str, sizes: &[usize]) -> Result<usize, String> {
    sizes
        .iter()
        .try_fold(0usize, |sum, size| sum.checked_add(*size))
        .ok_or_else(|| format!("{what} would be more than any machine holds"))
}

fn product_of(factors: &[usize]) -> String {
    factors.iter().map(ToString::to_string).collect::<Vec<_>>().join("·")
}
