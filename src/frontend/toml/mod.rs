//! An architecture file: the layers of a network as nested tables, and the graph that they make.

mod build;
mod files;
mod names;
mod read;

pub use build::graph;
pub use files::Load;
pub use read::ArchitectureError;

use crate::graph::{Graph, GraphError, INPUT, Laws, assign};
use crate::op::layer::{Layer, LayerType};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;
use toml::{Table, Value};

/// A network as its file describes it.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// As reports show it.
    pub name: Option<String>,
    /// What goes in, by name; the only input of a network is called `input` unless its file says otherwise.
    pub inputs: Vec<(String, InputSpec)>,
    /// Initializer of layers that name none, unless the user asks for another.
    pub init: Option<String>,
    /// Activation of layers that name none, unless the user asks for another.
    pub act: Option<String>,
    /// In the order in which the signal meets them.
    pub layers: Vec<Item>,
}

/// The shape of a sample, or of one of its parts where there are several inputs.
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

/// One layer, or a group of them.
#[derive(Clone, Debug)]
pub struct Item {
    /// Path segment in reports, and what `from` of a later layer may say.
    pub name: Option<String>,
    /// Named outputs of earlier layers that go in, in place of the output of the layer before.
    pub from: Option<Vec<String>>,
    /// What it is.
    pub body: Body,
}

/// What an [`Item`] is.
#[derive(Clone, Debug)]
pub enum Body {
    /// A layer of the table [`crate::op::layer::LAYERS`].
    Layer(&'static LayerType, Arc<dyn Layer>),
    /// shortcut(x) + scale·layers(x).
    Residual(Residual),
    /// The same layers several times, each with weights of its own.
    Repeat {
        /// How often.
        times: usize,
        /// What is repeated.
        layers: Vec<Item>,
    },
    /// Several lists of layers side by side, whose outputs a layer joins.
    Parallel {
        /// The lists; an empty one is the identity.
        branches: Vec<Vec<Item>>,
        /// The type of the layer that joins them.
        join: &'static LayerType,
    },
}

/// A residual block.
#[derive(Clone, Debug)]
pub struct Residual {
    /// The branch.
    pub layers: Vec<Item>,
    /// What passes around it; the identity where it is empty.
    pub shortcut: Vec<Item>,
    /// Factor of the branch.
    pub scale: f64,
}

impl Architecture {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong, with the place and the nearest name of what is misspelt.
    pub fn parse(text: &str) -> Result<Self, ArchitectureError> {
        let table = text.parse::<Table>().map_err(|fault| ArchitectureError::of_toml(&fault, text))?;
        read::architecture(table)
    }

    /// Reads a file's text, and what the files hold that it names.
    ///
    /// # Errors
    /// As for [`Architecture::parse`], or a file that cannot be read.
    pub fn parse_with(text: &str, load: Load) -> Result<Self, ArchitectureError> {
        let table = text.parse::<Table>().map_err(|fault| ArchitectureError::of_toml(&fault, text))?;
        let mut value = Value::Table(table);
        files::inline(&mut value, load)?;
        match value {
            Value::Table(table) => read::architecture(table),
            _ => Self::parse(text),
        }
    }

    /// The network as a table, every field that is not left out with its value.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        let mut put = |key: &str, value: Option<&String>| {
            if let Some(value) = value {
                table.insert(key.into(), Value::String(value.clone()));
            }
        };
        put("name", self.name.as_ref());
        put("init", self.init.as_ref());
        put("act", self.act.as_ref());
        let of = |spec: &InputSpec| Value::try_from(spec).unwrap_or(Value::Table(Table::new()));
        let input = match self.inputs.as_slice() {
            [(name, sole)] if name == INPUT => of(sole),
            all => Value::Table(all.iter().map(|(name, spec)| (name.clone(), of(spec))).collect()),
        };
        table.insert("input".into(), input);
        table.insert("layer".into(), list(&self.layers));
        table
    }

    /// The graph of this network, with the laws of an experiment.
    ///
    /// # Errors
    /// The first layer whose shape does not fit or whose law cannot be drawn.
    pub fn with_laws(&self, laws: &Laws) -> Result<Graph, GraphError> {
        let mut graph = graph(self, laws.act)?;
        assign(&mut graph, laws)?;
        Ok(graph)
    }
}

fn list(items: &[Item]) -> Value {
    Value::Array(items.iter().map(|item| Value::Table(item.table())).collect())
}

impl Item {
    fn table(&self) -> Table {
        let (kind, mut table) = match &self.body {
            Body::Layer(kind, layer) => (kind.name, layer.fields()),
            Body::Residual(block) => {
                let mut table = Table::new();
                table.insert("layers".into(), list(&block.layers));
                if !block.shortcut.is_empty() {
                    table.insert("shortcut".into(), list(&block.shortcut));
                }
                if block.scale != 1.0 {
                    table.insert("scale".into(), Value::Float(block.scale));
                }
                ("residual", table)
            }
            Body::Repeat { times, layers } => {
                let mut table = Table::new();
                table.insert("times".into(), Value::Integer(i64::try_from(*times).unwrap_or(i64::MAX)));
                table.insert("layers".into(), list(layers));
                ("repeat", table)
            }
            Body::Parallel { branches, join } => {
                let mut table = Table::new();
                let branches = branches.iter().map(|branch| list(branch)).collect();
                table.insert("branches".into(), Value::Array(branches));
                table.insert("join".into(), Value::String(join.name.into()));
                ("parallel", table)
            }
        };
        table.insert("type".into(), Value::String(kind.into()));
        if let Some(name) = &self.name {
            table.insert("name".into(), Value::String(name.clone()));
        }
        if let Some(from) = &self.from {
            let names = from.iter().map(|name| Value::String(name.clone())).collect();
            table.insert("from".into(), Value::Array(names));
        }
        table
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.table() == other.table()
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.table().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        read::architecture(table).map_err(serde::de::Error::custom)
    }
}
