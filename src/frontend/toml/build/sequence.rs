//! Layers of tokens and sequences.

use super::{Level, Matrix, State, checked, fault};
use crate::frontend::toml::{AttentionSpec, BiasSpec, EmbeddingSpec, RecurrentSpec};
use crate::frontend::toml::{NetError, count};
use crate::graph::{Entry, Kind};
use crate::law::draw::Affine;
use crate::op::attention::Attention;
use crate::op::embedding::Embedding;
use crate::op::linear::Linear;
use crate::op::pass::Weights;
use crate::op::recurrent::{Cell, Recurrent};
use crate::op::{Shape, Space};
use std::sync::Arc;

impl State<'_> {
    /// The table that a layer with tied weights shares.
    pub(super) fn table(&self, path: &str, (features, tokens): (usize, usize)) -> Result<Weights, NetError> {
        match &self.table {
            None => Err(fault(path, "tied = true needs an `embedding` at the bottom of the network".into())),
            Some(table) if (table.units, table.fan_in) != (features, tokens) => Err(fault(
                path,
                format!(
                    "tied weights make {} features {} tokens, not {features} {tokens}: out = {} behind [.., {}] fits",
                    table.units, table.fan_in, table.fan_in, table.units
                ),
            )),
            Some(table) => Ok(table.clone()),
        }
    }

    pub(super) fn embedding(
        &mut self,
        spec: &EmbeddingSpec,
        level: &mut Level,
        shape: Shape,
    ) -> Result<Shape, NetError> {
        let path = level.path("embedding", spec.name.as_ref());
        let Space::Tokens(length) = shape.space else {
            let reason =
                format!("embedding takes tokens, not {shape}: input = {{ tokens = .., length = .. }} fits");
            return Err(fault(&path, reason));
        };
        let out = checked(&path, Shape { channels: spec.out, space: Space::Sequence(length) })?;
        let init = spec.init.as_deref().unwrap_or("normal(0, 1)");
        let matrix = |rows: usize| Matrix {
            path: &path,
            kind: "embedding",
            fans: (rows, spec.out),
            size: (rows, spec.out),
            convolution: false,
            init: Some(init),
            bias: Some(&BiasSpec::Has(false)),
        };
        let cost = self.net.cost;
        let table = self.weights(&matrix(shape.channels), level, length)?;
        if Affine::of(table.law).is_none() {
            return Err(fault(
                &path,
                format!("`{init}` does not draw its entries independently, as a table needs"),
            ));
        }
        let positions = match spec.positions {
            true => Some(self.matrix(&matrix(length), level, length, table.entry)?),
            false => None,
        };
        // A look-up is no product, and only the rows that occur are drawn.
        self.net.cost = cost;
        self.net.tape += 8 * length as u128;
        self.table = Some(table.clone());
        level.put(path, Kind::Embedding(Embedding { table, positions, length }));
        Ok(out)
    }

    pub(super) fn attention(
        &mut self,
        spec: &AttentionSpec,
        level: &mut Level,
        shape: Shape,
    ) -> Result<Shape, NetError> {
        let path = level.path("attention", spec.name.as_ref());
        let Space::Sequence(length) = shape.space else {
            return Err(fault(&path, format!("attention takes a sequence [length, features], not {shape}")));
        };
        let features = shape.channels;
        if spec.heads == 0 || !features.is_multiple_of(spec.heads) {
            let fits =
                (1..=features).filter(|h| features.is_multiple_of(*h)).min_by_key(|h| h.abs_diff(spec.heads));
            return Err(fault(
                &path,
                format!(
                    "heads = {} does not divide the {features} features; {} does",
                    spec.heads,
                    fits.unwrap_or(1)
                ),
            ));
        }
        let project = |part: &str, state: &mut Self, level: &mut Level, advances: bool| {
            let path = format!("{path}/{part}");
            let matrix = Matrix {
                path: &path,
                kind: "linear",
                fans: (features, features),
                size: (features, features),
                convolution: false,
                init: spec.init.as_deref(),
                bias: spec.bias.as_ref(),
            };
            let before = level.branch;
            let weights = state.weights(&matrix, level, length)?;
            if !advances {
                level.branch = before;
            }
            let trunk = &mut state.net.entries[weights.entry].trunk;
            *trunk = *trunk && part == "out";
            state.net.tape += 4 * shape.size() as u128;
            Ok(Linear { weights, first: false, tied: None })
        };
        let q = project("query", self, level, false)?;
        let k = project("key", self, level, false)?;
        let v = project("value", self, level, true)?;
        let out = project("out", self, level, true)?;
        let square = length as u128 * length as u128 * spec.heads as u128;
        self.net.tape += 4 * square + 12 * shape.size() as u128;
        self.net.cost += 12.0 * length as f64 * length as f64 * features as f64;
        let attention = Attention { project: [q, k, v], out, heads: spec.heads, causal: spec.causal, length };
        level.put(path, Kind::Attention(Box::new(attention)));
        Ok(shape)
    }

    pub(super) fn recurrent(
        &mut self,
        kind: &'static str,
        spec: &RecurrentSpec,
        level: &mut Level,
        shape: Shape,
    ) -> Result<Shape, NetError> {
        let path = level.path(kind, spec.name.as_ref());
        let Space::Sequence(length) = shape.space else {
            return Err(fault(
                &path,
                format!(
                    "{kind} takes a sequence [length, features], not {shape}: input = {{ shape = [length, features] }} fits"
                ),
            ));
        };
        if length as u64 + self.net.entries.len() as u64 > count::MOST {
            return Err(fault(&path, format!("{length} steps would be more than {} layers", count::MOST)));
        }
        let space = if spec.last { Space::Flat } else { shape.space };
        let out = checked(&path, Shape { channels: spec.out, space })?;
        let act = |state: &mut Self, text: &str| {
            state.laws.activation(text).map_err(|f| fault(&path, f.to_string()))
        };
        let (sigmoid, tanh) = (act(self, "sigmoid")?, act(self, "tanh")?);
        let (cell, count) = match (kind, &spec.function) {
            ("lstm", _) => (Cell::Lstm, 4),
            ("gru", _) => (Cell::Gru, 3),
            (_, None) => (Cell::Plain(Arc::clone(self.default)), 1),
            (_, Some(text)) => (Cell::Plain(act(self, text)?), 1),
        };
        let (features, units) = (shape.channels, spec.out);
        let entry = self.net.entries.len();
        let mut gates = Vec::new();
        let forget = spec.forget.map(|value| BiasSpec::Law(format!("constant({value})")));
        for gate in 0..count {
            let bias = if kind == "lstm" && gate == 1 {
                forget.as_ref().or(spec.bias.as_ref())
            } else {
                spec.bias.as_ref()
            };
            let matrix = Matrix {
                path: &path,
                kind,
                fans: (features, units),
                size: (features, units),
                convolution: false,
                init: spec.init.as_deref(),
                bias,
            };
            let input = self.matrix(&matrix, level, length, entry)?;
            let matrix = Matrix {
                fans: (units, units),
                size: (units, units),
                init: spec.recurrent.as_deref(),
                bias: Some(&BiasSpec::Has(false)),
                ..matrix
            };
            let state = self.matrix(&matrix, level, length, entry)?;
            gates.push((input, state));
        }
        level.advance();
        let (law, bias) = (gates[0].1.law, gates[0].0.bias);
        self.net.entries.extend((1..=length).map(|step| Entry {
            path: format!("{path}/step{step}"),
            kind,
            fan_in: features + units,
            fan_out: units,
            units: count * units,
            positions: 1,
            weights: law,
            bias,
            weighted: true,
            trunk: self.depth == 0,
        }));
        self.net.tape += (4 * length * (features + (2 + 5 * count) * units)) as u128;
        level.pending = None;
        let last = spec.last;
        level.put(path, Kind::Recurrent(Recurrent { cell, gates, entry, length, last, sigmoid, tanh }));
        Ok(out)
    }
}
