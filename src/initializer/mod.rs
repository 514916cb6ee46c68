//! The catalog of initializers: the law that each gives to a layer's weights and biases, and where that is written.
//!
//! A [`Site`] says which layer is asked about: its fans, its place in the stack, its activation. Beside the literature and the
//! defaults of frameworks the catalog holds formulas of widely copied articles as they are written there.
//!
//! ```
//! use initdiag::activation::Activation;
//! use initdiag::initializer::{Initializer, Site};
//!
//! let relu = Activation::parse("relu")?;
//! let site = Site::dense(512, 256, 1, 50, &relu);
//! let law = Initializer::parse("he")?.weights(&site)?;
//! assert!((law.moments(512, 256).variance - 2.0 / 512.0).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalog;
mod classic;
mod defaults;
mod folklore;
mod framework;
mod orthogonal;
mod scheme;

pub use catalog::{
    Entry, Group, Nearest, Parameter, ParameterKind, Procedure, VectorSite, Vectors, entries, nearest_proper,
};

use crate::activation::Activation;
use crate::law::Law;
use crate::law::call::{Call, CatalogError, split_list};
use crate::law::expression::{Formula, mentions};

/// The layer that weights are drawn for.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Columns of the weight matrix.
    pub fan_in: usize,
    /// Rows of the weight matrix.
    pub fan_out: usize,
    /// 1-based.
    pub layer: usize,
    /// Linear layers of the stack.
    pub depth: usize,
    /// The activation that follows the layer.
    pub act: &'a Activation,
    /// Where it stands in a network that is no plain stack.
    pub place: Place,
}

/// What a weight matrix is part of, as far as the classes of frameworks draw it in ways of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// A linear layer, and whatever is none of the others.
    #[default]
    Linear,
    /// A convolution.
    Convolution,
    /// A transposed convolution; its fans are PyTorch's.
    TransposedConvolution,
    /// The projection to an attention's queries.
    Query,
    /// That to its keys.
    Key,
    /// That to its values.
    Value,
    /// That behind its heads.
    AttentionOutput,
    /// From the input of a recurrent layer to its gates.
    GateInput,
    /// From its state to its gates.
    GateState,
    /// From the cell of a recurrent layer to a smaller state.
    Projection,
    /// Rows for tokens.
    Embedding,
    /// Rows for positions.
    Positions,
}

/// What an initializer may ask of a layer's place beside its fans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What it is part of.
    pub class: Class,
    /// Equal blocks of rows that the matrix consists of: gates of a recurrent layer that has one matrix for all.
    pub blocks: usize,
    /// Blocks of the matrix that frameworks draw where this one is, or is part of: 3 for queries, keys and values of one input, 4 for
    /// the gates of an LSTM, 3 for those of a GRU.
    pub packed: usize,
    /// The layer's biases that are asked about are those of an LSTM's forget gate.
    pub forget: bool,
    /// Groups of a convolution, 1 of every other layer.
    pub groups: usize,
    /// Heads of the attention that it belongs to, 1 of every other layer.
    pub heads: usize,
    /// Features, or channels, that enter the layer; `None` for its fan-in.
    pub width: Option<usize>,
    /// Residual branches of the network that have weights.
    pub branches: usize,
    /// Within a residual branch: the place among the branch's layers with weights, from 0, and their number.
    pub branch: Option<(usize, usize)>,
    /// Running number of that branch among those that have weights, from 1; 0 in none.
    pub number: usize,
}

impl Default for Place {
    /// Of a layer of a plain stack.
    fn default() -> Self {
        Self {
            class: Class::Linear,
            blocks: 1,
            packed: 1,
            forget: false,
            groups: 1,
            heads: 1,
            width: None,
            branches: 0,
            branch: None,
            number: 0,
        }
    }
}

impl Place {
    /// The layer is the last with weights of its residual branch: its output is what the branch adds to the stream.
    pub fn is_projection(self) -> bool {
        self.branch.is_some_and(|(place, of)| place + 1 == of)
    }
}

impl<'a> Site<'a> {
    /// Values of what a formula may name: both fans; the network's layers with weights and the number of this one; layers with weights
    /// of the residual branch that holds it, of the network where none does; residual branches; groups, heads and width.
    fn variables(&self, gain: f64) -> [f64; VARIABLES.len()] {
        let Place { groups, heads, width, branches, branch, .. } = self.place;
        let layers = branch.map_or(self.depth, |(_, of)| of);
        let width = width.unwrap_or(self.fan_in);
        let counts =
            [self.fan_in, self.fan_out, self.depth, self.layer, layers, branches, groups, heads, width];
        std::array::from_fn(|place| counts.get(place).map_or(gain, |count| *count as f64))
    }

    /// A layer of a plain stack.
    pub fn dense(fan_in: usize, fan_out: usize, layer: usize, depth: usize, act: &'a Activation) -> Self {
        Self { fan_in, fan_out, layer, depth, act, place: Place::default() }
    }
}

/// What a formula in a law may name, in the order of [`Site::variables`]; PyTorch's gain, which not every activation has, is the last.
const VARIABLES: &[&str] =
    &["fan_in", "fan_out", "depth", "layer", "layers", "branches", "groups", "heads", "width", "gain"];

/// An initializer as the user named it: an entry of the catalog with its arguments.
#[derive(Clone, Debug)]
pub struct Initializer {
    /// Canonical text; parses back to the same initializer.
    pub name: String,
    entry: &'static Entry,
    arguments: Vec<Argument>,
}

#[derive(Clone, Debug)]
enum Argument {
    Number { name: &'static str, text: String, formula: Box<Formula> },
    Word(String),
    Unset,
}

/// The arguments of an entry, evaluated at a layer, in the order of its parameters.
pub struct Values(Vec<Value>);

enum Value {
    Number(f64),
    Word(String),
    Unset,
}

impl Values {
    /// A parameter that is a number.
    fn number(&self, place: usize) -> f64 {
        self.option(place).unwrap_or(f64::NAN)
    }

    /// A parameter that may be left out.
    fn option(&self, place: usize) -> Option<f64> {
        match self.0.get(place) {
            Some(Value::Number(x)) => Some(*x),
            _ => None,
        }
    }

    fn word(&self, place: usize) -> &str {
        match self.0.get(place) {
            Some(Value::Word(word)) => word,
            _ => "",
        }
    }
}

impl Initializer {
    /// Reads a name of the catalog with arguments, each of which may be a formula: `normal(0, sqrt(2/fan_in))`.
    ///
    /// # Errors
    /// An unknown name, parameter or word, a formula that cannot be read, or an initializer that has no meaning for a
    /// dense layer.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let parsed = Self::parse_for_net(text)?;
        match parsed.entry.not_dense {
            Some(advice) => Err(CatalogError::argument(parsed.entry.name, advice)),
            None => Ok(parsed),
        }
    }

    /// Reads a name for a network of any architecture, where initializers for convolutions and residual branches have a
    /// meaning too.
    ///
    /// # Errors
    /// As for [`Initializer::parse`], but for the last.
    pub fn parse_for_net(text: &str) -> Result<Self, CatalogError> {
        let call = Call::parse(text)?;
        let entry = catalog::find(&call.name)?;
        let names: Vec<&str> = entry.parameters.iter().map(|p| p.name).collect();
        let arguments = entry
            .parameters
            .iter()
            .zip(call.bind(&names)?)
            .map(|(parameter, given)| read(entry, parameter.name, &parameter.kind, given))
            .collect::<Result<_, _>>()?;
        Ok(Self { name: canonical(entry, &call), entry, arguments })
    }

    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// As for [`Initializer::parse`], for the first faulty item.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, CatalogError> {
        split_list(text)?.into_iter().map(Self::parse).collect()
    }

    /// Reads a comma-separated list for a network of any architecture.
    ///
    /// # Errors
    /// As for [`Initializer::parse_for_net`], for the first faulty item.
    pub fn parse_list_for_net(text: &str) -> Result<Vec<Self>, CatalogError> {
        split_list(text)?.into_iter().map(Self::parse_for_net).collect()
    }

    /// On a convolution the law is that of the center tap, and all other taps are zero.
    pub fn is_of_the_center(&self) -> bool {
        self.entry.center
    }

    /// What the initializer does beside drawing weights.
    pub fn procedure(&self) -> Option<Procedure> {
        self.entry.procedure
    }

    /// The entry of the catalog that this is an instance of.
    pub fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// The law of a layer's weights.
    ///
    /// # Errors
    /// A formula without a finite value at this layer, a law that cannot be drawn, `gain` for an activation that
    /// PyTorch's table does not know, or no critical point.
    pub fn weights(&self, site: &Site) -> Result<Law, CatalogError> {
        self.law(site, self.entry.weights)
    }

    /// The law of the biases that come with the initializer; zeros for most.
    ///
    /// # Errors
    /// As for [`Initializer::weights`].
    pub fn bias(&self, site: &Site) -> Result<Law, CatalogError> {
        self.entry.bias.map_or(Ok(Law::Constant(0.0)), |bias| self.law(site, bias))
    }

    /// n·Var that the source of the entry states for its weights, n the fan-in.
    pub fn nominal(&self, site: &Site) -> Option<f64> {
        let values = self.values(site).ok()?;
        self.entry.nominal.map(|nominal| nominal(&values, site))
    }

    /// The law changes with the layer's number, not only with its fans.
    pub fn depends_on_layer(&self) -> bool {
        self.entry.depends_on_layer
            || self
                .arguments
                .iter()
                .any(|a| matches!(a, Argument::Number { text, .. } if mentions(text, "layer")))
    }

    fn law(&self, site: &Site, law: catalog::LawAt) -> Result<Law, CatalogError> {
        let fault = |reason: String| {
            let place = format!("at layer {} (fan_in {}, fan_out {})", site.layer, site.fan_in, site.fan_out);
            CatalogError::argument(&self.name, format!("{reason} {place}"))
        };
        let law = law(&self.values(site).map_err(fault)?, site).map_err(fault)?;
        law.check().map_err(fault)?;
        Ok(law)
    }

    fn values(&self, site: &Site) -> Result<Values, String> {
        let evaluate = |argument: &Argument| match argument {
            Argument::Unset => Ok(Value::Unset),
            Argument::Word(word) => Ok(Value::Word(word.clone())),
            Argument::Number { name, text, formula } => {
                let gain = match site.act.torch_gain {
                    Some(gain) => gain,
                    None if mentions(text, "gain") => {
                        return Err(format!("PyTorch's table has no gain for {}", site.act.name));
                    }
                    None => f64::NAN,
                };
                let value = formula.value(&site.variables(gain));
                if value.is_finite() {
                    Ok(Value::Number(value))
                } else {
                    Err(format!("{name} = {text} has no finite value"))
                }
            }
        };
        self.arguments.iter().map(evaluate).collect::<Result<_, _>>().map(Values)
    }
}

fn read(
    entry: &'static Entry,
    name: &'static str,
    kind: &ParameterKind,
    given: Option<&str>,
) -> Result<Argument, CatalogError> {
    let number = |text: &str| {
        let text = if text == "torch" { "gain" } else { text };
        let formula = Formula::parse(text, VARIABLES)
            .map_err(|fault| CatalogError::argument(entry.name, format!("{name} = `{text}`: {fault}")))?;
        Ok(Argument::Number { name, text: text.into(), formula: Box::new(formula) })
    };
    match (kind, given) {
        (ParameterKind::Number(default), None) => number(default),
        (ParameterKind::Number(_) | ParameterKind::Optional, Some(text)) => number(text),
        (ParameterKind::Optional, None) => Ok(Argument::Unset),
        (ParameterKind::Word(choices), given) => {
            // Code of a framework has words in quotes.
            let word = given.unwrap_or(choices[0]).trim_matches(['\'', '"']).to_lowercase().replace('-', "_");
            if choices.contains(&word.as_str()) {
                return Ok(Argument::Word(word));
            }
            let reason = format!("{name} = `{word}` is not one of {}", choices.join(", "));
            Err(CatalogError::argument(entry.name, reason))
        }
    }
}

/// The entry's own name with the arguments as written, less trailing ones that repeat a default.
fn canonical(entry: &Entry, call: &Call) -> String {
    let default = |place: usize, name: &Option<String>, text: &str| {
        let parameter = match name {
            Some(name) => entry.parameters.iter().find(|p| p.name == name),
            None => entry.parameters.get(place),
        };
        parameter.is_some_and(|p| match p.kind {
            ParameterKind::Number(default) => default == text,
            ParameterKind::Word(choices) => choices[0] == text,
            ParameterKind::Optional => false,
        })
    };
    let mut arguments: Vec<_> = call.arguments.iter().enumerate().collect();
    while arguments.last().is_some_and(|(place, (name, text))| default(*place, name, text)) {
        arguments.pop();
    }
    let shown: Vec<_> = arguments
        .into_iter()
        .map(|(_, (name, text))| name.as_ref().map_or(text.clone(), |name| format!("{name}={text}")))
        .collect();
    if shown.is_empty() { entry.name.into() } else { format!("{}({})", entry.name, shown.join(", ")) }
}

#[cfg(test)]
mod tests;
