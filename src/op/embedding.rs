//! Tokens become features: rows of a table, of which only those that occur are drawn.

use super::forms::Factor;
use super::layer::{self, Assembler, LayerType, NewEntry, NewNode, Port, Wanted, read, single};
use super::record::{Moments, pooled, product_moments};
use super::sinusoid::Sinusoids;
use super::{
    Activations, BiasSpec, ByPart, Context, Counts, Exported, Exports, Operator, Parameter, Role, Shape,
    Shapes, Space, Unary, UnaryBackward, check_parts, of_part,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::sums;
use crate::numeric::stream::{self, Part};
use crate::numeric::wide::Wide;
use rand::RngExt;
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType {
    name: "embedding",
    fields: &["out", "scale", "positions", "table", "init"],
    read: read::<Spec>,
};

/// The fields of an embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Features.
    out: usize,
    /// Factor of the rows of tokens: the Transformer and Gemma have √width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<Factor>,
    /// What is added at each position.
    #[serde(default, skip_serializing_if = "Positions::is_none")]
    positions: Positions,
    /// The name of a table of tokens that embeddings share, as encoder and decoder may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    /// Law of the rows, in a table of `tokens` or `positions` alone: normal(0, 1) where it is left out. `--init` is for products, which
    /// a table of rows is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<ByPart<String>>,
}

/// What is added at each position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Positions {
    /// Nothing.
    #[default]
    None,
    /// A learnt row.
    Learnt,
    /// Sines and cosines.
    Fixed(Sinusoids),
}

impl Positions {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Serialize for Positions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(form) => form.serialize(serializer),
            _ => serializer.serialize_bool(*self == Self::Learnt),
        }
    }
}

impl<'de> Deserialize<'de> for Positions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let unknown = || de::Error::custom("true, false, \"sinusoidal\" or \"sinusoidal-halves\" is needed");
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Boolean(false) => Ok(Self::None),
            toml::Value::Boolean(true) => Ok(Self::Learnt),
            word => Sinusoids::deserialize(word).map(Self::Fixed).map_err(|_| unknown()),
        }
    }
}

/// The law of a table unless something else is said (torch/nn/modules/sparse.py).
pub const TABLE: &str = "normal(0, 1)";
/// Its tables.
const PARTS: [&str; 2] = ["tokens", "positions"];

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = single("embedding", inputs)?;
        let Space::Tokens(length) = input.shape.space else {
            return Err(format!(
                "embedding takes tokens, not {}: input = {{ tokens = .., length = .. }} fits",
                input.shape
            ));
        };
        let out = Shape { channels: self.out, space: Space::Sequence(length) };
        let tokens = input.shape.channels;
        let entry = to.entry(&NewEntry {
            part: None,
            kind: "embedding",
            fans: (tokens, self.out),
            units: self.out,
            positions: length,
            weighted: true,
        })?;
        let learnt = self.positions == Positions::Learnt;
        let parts = if learnt { &PARTS[..] } else { &PARTS[..1] };
        check_parts("init", &self.init, parts)?;
        let [of_tokens, of_positions] = PARTS;
        let wanted = |part: &str, rows: usize, role: Role, deepens: bool| {
            let init = of_part(&self.init, part).map(String::as_str);
            Wanted {
                role,
                deepens,
                counts: Counts::of_width(self.out),
                usual: Some(TABLE),
                ..Wanted::linear(entry, rows, self.out).with(init, Some(&BiasSpec::Has(false)))
            }
        };
        let table = wanted(of_tokens, tokens, Role::Embedding, true);
        let name = self.table.as_deref();
        let known = name.map(|name| to.known(name, &table)).transpose()?.flatten();
        let mut parameters = vec![known.unwrap_or_else(|| to.table(name, &table))];
        if learnt {
            parameters.push(to.parameter(&wanted(of_positions, length, Role::Position, false)));
        }
        let scale = self.scale.as_ref().map_or(Ok(1.0), |factor| factor.value("scale", self.out))?;
        if !scale.is_finite() {
            return Err(format!("scale = {scale} is not a finite number"));
        }
        let sinusoids = match self.positions {
            Positions::Fixed(form) => Some(form),
            _ => None,
        };
        sinusoids.map_or(Ok(()), |form| form.check(self.out))?;
        let operator = Embedding { input: input.value, length, scale, sinusoids };
        to.node(NewNode { parameters, entry: Some(entry), ..NewNode::plain(operator, input, out) })
    }
}

/// An embedding of tokens: a table, features × tokens, and perhaps one of features × positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Embedding {
    /// The number of the network's input that it takes.
    pub input: usize,
    /// Tokens of a sequence.
    pub length: usize,
    /// Factor of the rows of tokens.
    pub scale: f64,
    /// Adds these.
    pub sinusoids: Option<Sinusoids>,
}

impl Embedding {
    /// Of what comes from a table, what is added.
    fn scaled<T: Real>(&self, parameter: &Parameter, rows: Signal<T>) -> Signal<T> {
        let is_plain = parameter.role == Role::Position || self.scale == 1.0;
        if is_plain { rows } else { rows.times(Wide::from(self.scale)) }
    }
}

impl Operator for Embedding {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        let each =
            2.0 * f64::from(u8::from(self.scale != 1.0)) + f64::from(u8::from(self.sinusoids.is_some()));
        each * shapes.output_size() as f64
    }

    fn tape_bytes(&self, _: &Shapes, samples: usize) -> u128 {
        8 * self.length as u128 * samples as u128
    }

    fn export(&self, exported: &Exported) -> Vec<Exports> {
        export(exported)
    }
}

/// Tables as `nn.Embedding` has them: rows × features.
pub fn export(exported: &Exported) -> Vec<Exports> {
    let one = |(parameter, arrays): &(&Parameter, &super::ParameterArrays<f32>)| {
        let name = if parameter.role == Role::Position { "positions" } else { "weight" };
        // Features × rows by columns is rows × features by rows.
        let shape = vec![arrays.weights.ncols(), arrays.weights.nrows()];
        Exports::of(&parameter.path, name, shape, arrays.weights.as_slice().to_vec())
    };
    exported.parameters.iter().map(one).collect()
}

struct Tape {
    embedding: Embedding,
    tokens: Vec<usize>,
}

impl Tape {
    /// Of each column, the position that it stands at.
    fn places(&self) -> Vec<usize> {
        (0..self.tokens.len()).map(|k| k % self.embedding.length).collect()
    }
}

super::one_to_one!(Embedding);

impl<T: Real> Unary<T> for Embedding {
    fn apply(
        &self,
        _: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let given = context.tokens.get(self.input).cloned().flatten();
        let tokens = given.unwrap_or_else(|| {
            let mut rng = context.key.of_input(self.input).stream(stream::Role::Input, Part::Block(0));
            let count = context.parameter(0).shape.1;
            (0..self.length * context.batch).map(|_| rng.random_range(0..count)).collect()
        });
        let tape = Tape { embedding: *self, tokens };
        let mut out: Option<Signal<T>> = None;
        let own: Vec<&Parameter> = context.own().collect();
        for parameter in own {
            let table = context.table(parameter);
            let rows = match parameter.role {
                Role::Position => table.borrow_mut().look_up(&tape.places()),
                _ => table.borrow_mut().look_up(&tape.tokens),
            };
            let rows = self.scaled(parameter, rows);
            out = Some(match out {
                None => rows,
                Some(sum) => sum.plus(rows),
            });
        }
        let out = out.unwrap_or_else(Signal::empty);
        let out = match self.sinusoids {
            Some(form) => form.added_to(out, self.length),
            None => out,
        };
        (Rc::new(CachedSignal::from(out)), Box::new(tape))
    }
}

/// Moments of a table's gradient: for each row the sum over the places where it occurs.
fn table_gradient<T: Real>(parameter: &Parameter, places: &[usize], d: &Signal<T>) -> Moments {
    let mut by_row: BTreeMap<usize, Vec<T>> = BTreeMap::new();
    for (column, row) in d.values.as_slice().chunks_exact(parameter.rows()).zip(places) {
        let sum = by_row.entry(*row).or_insert_with(|| vec![T::ZERO; parameter.rows()]);
        sum.iter_mut().zip(column).for_each(|(s, v)| *s += *v);
    }
    let (mut total, mut square) = (0.0, 0.0);
    for sum in by_row.values() {
        let (plain, squares) = sums(sum);
        total += plain;
        square += squares;
    }
    let moments = product_moments((parameter.shape.1, parameter.rows()), square, total, d.exponent);
    // Most rows get nothing: the variance is the second moment to rounding.
    Moments { variance: moments.second_moment + -(moments.mean * moments.mean), ..moments }
}

impl<T: Real> UnaryBackward<T> for Tape {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let scale = self.embedding.scale;
        let scaled = (scale != 1.0).then(|| d.signal.clone().times(Wide::from(scale)));
        let of_tokens = scaled.as_ref().unwrap_or(&d.signal);
        let group = |parameter: &Parameter| {
            let count = parameter.shape.0 as f64 * parameter.shape.1 as f64;
            match parameter.role {
                Role::Position => (table_gradient(parameter, &self.places(), &d.signal), count),
                _ => (table_gradient(parameter, &self.tokens, of_tokens), count),
            }
        };
        if !context.quiet {
            let groups: Vec<(Moments, f64)> = context.own().map(group).collect();
            context.observe_own_weight_gradient(pooled(&groups));
        }
        d.signal.times(Wide::ZERO)
    }
}
