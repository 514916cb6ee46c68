//! Random tokens become features: rows of a table, of which only those that occur are drawn.

use super::layer::{self, Assembler, LayerType, NewEntry, NewNode, Port, Wanted, read, single};
use super::record::{Moments, pooled, product_moments};
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
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType =
    LayerType { name: "embedding", fields: &["out", "positions", "init"], read: read::<Spec> };

/// The fields of an embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Features.
    out: usize,
    /// Adds a learnt row for each position.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    positions: bool,
    /// Law of the rows, in a table of `tokens` or `positions` alone: normal(0, 1) where it is left out. `--init` is for products, which
    /// a table of rows is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<ByPart<String>>,
}

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
        let parts = if self.positions { &PARTS[..] } else { &PARTS[..1] };
        check_parts("init", &self.init, parts)?;
        let [of_tokens, of_positions] = PARTS;
        let wanted = |part: &str, rows: usize, role: Role, deepens: bool| {
            let init = of_part(&self.init, part).map_or("normal(0, 1)", String::as_str);
            Wanted {
                role,
                deepens,
                counts: Counts::of_width(self.out),
                ..Wanted::linear(entry, rows, self.out).with(Some(init), Some(&BiasSpec::Has(false)))
            }
        };
        let mut parameters = vec![to.parameter(&wanted(of_tokens, tokens, Role::Embedding, true))];
        if self.positions {
            parameters.push(to.parameter(&wanted(of_positions, length, Role::Position, false)));
        }
        let node =
            NewNode { parameters, entry: Some(entry), ..NewNode::plain(Embedding { length }, input, out) };
        to.node(node)
    }
}

/// An embedding of tokens: a table, features × tokens, and perhaps one of features × positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// Tokens of a sequence.
    pub length: usize,
}

impl Operator for Embedding {
    fn tape_bytes(&self, _: &Shapes, samples: usize) -> u128 {
        8 * self.length as u128 * samples as u128
    }

    /// Rows × features, as `nn.Embedding` has it.
    fn export(&self, exported: &Exported) -> Vec<Exports> {
        let one = |(parameter, arrays): &(&Parameter, &super::ParameterArrays<f32>)| {
            let name = if parameter.role == Role::Position { "positions" } else { "weight" };
            // Features × rows by columns is rows × features by rows.
            let shape = vec![arrays.weights.ncols(), arrays.weights.nrows()];
            Exports::of(&parameter.path, name, shape, arrays.weights.as_slice().to_vec())
        };
        exported.parameters.iter().map(one).collect()
    }
}

struct Tape {
    tokens: Vec<usize>,
    length: usize,
}

impl Tape {
    /// Of each column, the position that it stands at.
    fn places(&self) -> Vec<usize> {
        (0..self.tokens.len()).map(|k| k % self.length).collect()
    }
}

super::one_to_one!(Embedding);

impl<T: Real> Unary<T> for Embedding {
    fn apply(
        &self,
        _: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let mut rng = context.key.stream(stream::Role::Input, Part::Block(0));
        let count = context.parameter(0).shape.1;
        let tokens: Vec<usize> =
            (0..self.length * context.batch).map(|_| rng.random_range(0..count)).collect();
        let tape = Tape { tokens, length: self.length };
        let mut out: Option<Signal<T>> = None;
        let own: Vec<&Parameter> = context.own().collect();
        for parameter in own {
            let table = context.table(parameter);
            let rows = match parameter.role {
                Role::Position => table.borrow_mut().look_up(&tape.places()),
                _ => table.borrow_mut().look_up(&tape.tokens),
            };
            out = Some(match out {
                None => rows,
                Some(sum) => sum.plus(rows),
            });
        }
        let out = out.unwrap_or_else(|| Signal::new(nalgebra::DMatrix::from_element(0, 0, T::ZERO), 0));
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
        let group = |parameter: &Parameter| {
            let count = parameter.shape.0 as f64 * parameter.shape.1 as f64;
            match parameter.role {
                Role::Position => (table_gradient(parameter, &self.places(), &d.signal), count),
                _ => (table_gradient(parameter, &self.tokens, &d.signal), count),
            }
        };
        if !context.quiet {
            let groups: Vec<(Moments, f64)> = context.own().map(group).collect();
            context.observe_own_weight_gradient(pooled(&groups));
        }
        d.signal.times(Wide::ZERO)
    }
}
