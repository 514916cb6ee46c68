//! From an architecture file to a network: every shape and law checked, with the path of what does not fit.

mod laws;

use super::count::{self, Census};
use super::{Entry, Kind, Net, Node, Residual};
use crate::activation::Activation;
use crate::draw::Affine;
use crate::initializer::{Initializer, Law};
use crate::layer::act::Act;
use crate::layer::attention::Attention;
use crate::layer::conv::Conv;
use crate::layer::dropout::Dropout;
use crate::layer::embedding::Embedding;
use crate::layer::linear::{self, Linear};
use crate::layer::norm::{Norm, Over};
use crate::layer::pass::Weights;
use crate::layer::pool::{Of, Pool};
use crate::layer::recurrent::{Cell, Recurrent};
use crate::layer::window::Window;
use crate::layer::{Shape, Space};
use crate::spec::Architecture;
use crate::spec::architecture::{
    AttentionSpec, BiasSpec, ConvSpec, EmbeddingSpec, InputSpec, LayerSpec, LinearSpec, NormSpec, Padding,
    Pair, PoolSpec, RecurrentSpec, ResidualSpec,
};
use laws::Laws;
use std::collections::HashMap;
use std::sync::Arc;

/// Why a network cannot be built: where, and what would fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct NetError {
    /// As in `block3/conv1`.
    pub path: String,
    /// In words.
    pub reason: String,
}

/// What a network is built from.
pub struct Builder<'a> {
    /// The file.
    pub architecture: &'a Architecture,
    /// Of layers that name none.
    pub init: &'a Initializer,
    /// Of layers that say nothing of their biases; `None` for what the initialiser brings.
    pub bias: Option<&'a Initializer>,
    /// Of activations that name none.
    pub act: &'a Arc<Activation>,
}

impl Builder<'_> {
    /// Builds the network.
    ///
    /// # Errors
    /// The first layer whose shape does not fit or whose law cannot be drawn.
    pub fn build(&self) -> Result<Net, NetError> {
        let list = &self.architecture.layers;
        if count::layers(list) > count::MOST {
            return Err(fault("the network", format!("it has more than {} layers", count::MOST)));
        }
        let input = input(&self.architecture.input)?;
        let census = Census::of(list);
        let mut state = State {
            laws: Laws::new(self, &census),
            net: Net {
                nodes: Vec::new(),
                entries: Vec::new(),
                input,
                output: input,
                streams: 0,
                cost: 0.0,
                draws: 0.0,
                tape: 0,
                weights: (0, 0),
                widest: 0,
            },
            default: self.act,
            dropouts: 0,
            table: None,
            depth: 0,
            first: true,
        };
        state.net.widest = state.net.features();
        let mut nodes = Vec::new();
        let output = state.list(list, &mut Level::new("", &mut nodes), input)?;
        if state.net.streams == 0 {
            return Err(fault("the network", "no layer of it has weights".into()));
        }
        Ok(Net { nodes, output, ..state.net })
    }
}

fn fault(path: &str, reason: String) -> NetError {
    NetError { path: path.into(), reason }
}

/// More entries of a sample than this are refused: products of four such counts still fit 128 bits.
const LARGEST: u128 = 1_000_000_000_000;
/// Largest number of a window.
const WIDEST: usize = 1_000_000;

fn checked(path: &str, shape: Shape) -> Result<Shape, NetError> {
    let positions = match shape.space {
        Space::Flat => 1,
        Space::Sequence(length) | Space::Tokens(length) => length as u128,
        Space::Image(height, width) => (height as u128).saturating_mul(width as u128),
    };
    match positions.saturating_mul(shape.channels as u128) {
        0 => Err(fault(path, format!("its output {shape} is empty"))),
        size if size > LARGEST => Err(fault(path, format!("its output {shape} has more than 10^12 entries"))),
        _ => Ok(shape),
    }
}

fn input(spec: &InputSpec) -> Result<Shape, NetError> {
    let shape = match (spec.shape.as_deref(), spec.tokens, spec.length) {
        (Some([features]), None, None) => Shape { channels: *features, space: Space::Flat },
        (Some([length, features]), None, None) => {
            Shape { channels: *features, space: Space::Sequence(*length) }
        }
        (Some([channels, height, width]), None, None) => {
            Shape { channels: *channels, space: Space::Image(*height, *width) }
        }
        (None, Some(tokens), Some(length)) => Shape { channels: tokens, space: Space::Tokens(length) },
        _ => {
            let reason = "shape = [features], [length, features] or [channels, height, width] is needed, or tokens and length";
            return Err(fault("input", reason.into()));
        }
    };
    checked("input", shape)
}

/// One list of layers as it is built.
struct Level<'a> {
    prefix: String,
    nodes: &'a mut Vec<Node>,
    /// How often a name has come.
    names: HashMap<String, usize>,
    repeated: bool,
    /// The entry that an activation would complete.
    pending: Option<usize>,
    /// Within a residual branch: its layers with weights so far, and in all.
    branch: Option<(usize, usize)>,
}

impl<'a> Level<'a> {
    fn new(prefix: &str, nodes: &'a mut Vec<Node>) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { prefix, nodes, names: HashMap::new(), repeated: false, pending: None, branch: None }
    }

    /// The path of the next layer: a kind's name is numbered always, a name of the file's where it comes again.
    fn path(&mut self, kind: &str, name: Option<&String>) -> String {
        let base = name.map_or(kind, String::as_str);
        let count = self.names.entry(base.to_string()).or_insert(0);
        *count += 1;
        let prefix = &self.prefix;
        if name.is_some() && !self.repeated && *count == 1 {
            format!("{prefix}{base}")
        } else {
            format!("{prefix}{base}{count}")
        }
    }

    /// A layer with weights of a branch is done.
    fn advance(&mut self) {
        if let Some((place, _)) = &mut self.branch {
            *place += 1;
        }
    }

    fn put(&mut self, path: String, kind: Kind) {
        self.nodes.push(Node { path, kind });
    }
}

struct State<'a> {
    laws: Laws<'a>,
    net: Net,
    default: &'a Arc<Activation>,
    dropouts: u64,
    /// Of the embedding.
    table: Option<Weights>,
    /// Residual branches around the layer.
    depth: usize,
    /// No layer stands below.
    first: bool,
}

impl State<'_> {
    fn list(&mut self, list: &[LayerSpec], level: &mut Level, mut shape: Shape) -> Result<Shape, NetError> {
        for layer in list {
            shape = self.layer(layer, level, shape)?;
            self.net.widest = self.net.widest.max(shape.size());
            self.first = false;
        }
        Ok(shape)
    }

    fn layer(&mut self, layer: &LayerSpec, level: &mut Level, shape: Shape) -> Result<Shape, NetError> {
        match layer {
            LayerSpec::Repeat(repeat) => {
                let repeated = std::mem::replace(&mut level.repeated, true);
                let mut shape = shape;
                for _ in 0..repeat.times {
                    shape = self.list(&repeat.layers, level, shape)?;
                }
                level.repeated = repeated;
                Ok(shape)
            }
            LayerSpec::Linear(spec) => self.linear(spec, level, shape),
            LayerSpec::Conv2d(spec) => self.conv(spec, level, shape),
            LayerSpec::MaxPool(spec) => self.pool(spec, Of::Largest, level, shape),
            LayerSpec::AvgPool(spec) => self.pool(spec, Of::Mean, level, shape),
            LayerSpec::Flatten(spec) => {
                let path = level.path("flatten", spec.name.as_ref());
                if matches!(shape.space, Space::Tokens(_)) {
                    return Err(tokens(&path, "flatten", shape));
                }
                level.put(path, Kind::Flatten(shape.size()));
                level.pending = None;
                Ok(Shape { channels: shape.size(), space: Space::Flat })
            }
            LayerSpec::Act(spec) => {
                let path = level.path("act", spec.name.as_ref());
                self.features(&path, "act", shape)?;
                let function = match &spec.function {
                    None => Arc::clone(self.default),
                    Some(text) => self.laws.activation(text).map_err(|f| fault(&path, f.to_string()))?,
                };
                let bytes = if function.shape.homogeneous { 1 } else { 4 };
                self.net.tape += bytes * shape.size() as u128;
                let completes = level.pending.take();
                level.put(path, Kind::Act(Act { function, completes }));
                Ok(shape)
            }
            LayerSpec::BatchNorm(spec) => self.norm("batchnorm", spec, level, shape),
            LayerSpec::LayerNorm(spec) => self.norm("layernorm", spec, level, shape),
            LayerSpec::RmsNorm(spec) => self.norm("rmsnorm", spec, level, shape),
            LayerSpec::Dropout(spec) => {
                let path = level.path("dropout", spec.name.as_ref());
                self.features(&path, "dropout", shape)?;
                if !(0.0..1.0).contains(&spec.p) {
                    return Err(fault(&path, format!("p = {} is not at least 0 and below 1", spec.p)));
                }
                self.dropouts += 1;
                self.net.tape += shape.size() as u128;
                level.put(path, Kind::Dropout(Dropout { p: spec.p, stream: self.dropouts }));
                Ok(shape)
            }
            LayerSpec::Residual(spec) => self.residual(spec, level, shape),
            LayerSpec::Rnn(spec) => self.recurrent("rnn", spec, level, shape),
            LayerSpec::Lstm(spec) => self.recurrent("lstm", spec, level, shape),
            LayerSpec::Gru(spec) => self.recurrent("gru", spec, level, shape),
            LayerSpec::Attention(spec) => self.attention(spec, level, shape),
            LayerSpec::Embedding(spec) => self.embedding(spec, level, shape),
        }
    }

    fn features(&self, path: &str, kind: &str, shape: Shape) -> Result<(), NetError> {
        if matches!(shape.space, Space::Tokens(_)) { Err(tokens(path, kind, shape)) } else { Ok(()) }
    }

    fn linear(&mut self, spec: &LinearSpec, level: &mut Level, shape: Shape) -> Result<Shape, NetError> {
        let path = level.path("linear", spec.name.as_ref());
        let out = linear::output(shape, spec.out).map_err(|reason| fault(&path, reason))?;
        let out = checked(&path, out)?;
        let matrix = Matrix {
            path: &path,
            kind: "linear",
            fans: (shape.channels, spec.out),
            size: (shape.channels, spec.out),
            convolution: false,
            init: spec.init.as_deref(),
            bias: spec.bias.as_ref(),
        };
        let tied = match spec.tied {
            false => None,
            true => Some(self.table(&path, (shape.channels, spec.out))?),
        };
        let mut weights = self.weights(&matrix, level, out.positions())?;
        if let Some(table) = &tied {
            weights.law = table.law;
            if let Some(entry) = self.net.entries.last_mut() {
                entry.weights = table.law;
            }
        }
        self.net.tape += 4 * shape.size() as u128;
        let first = self.first;
        level.put(path, Kind::Linear(Linear { weights, first, tied }));
        Ok(out)
    }

    fn conv(&mut self, spec: &ConvSpec, level: &mut Level, shape: Shape) -> Result<Shape, NetError> {
        let path = level.path("conv", spec.name.as_ref());
        let refuse = |reason: String| Err(fault(&path, reason));
        let Space::Image(height, width) = shape.space else {
            return refuse(format!(
                "conv2d takes an image [channels, height, width], not {shape}; `linear` takes it as it is"
            ));
        };
        let window = window(&path, [height, width], spec.kernel, spec.stride, spec.padding, spec.dilation)?;
        if spec.groups == 0 || shape.channels % spec.groups != 0 || spec.out % spec.groups != 0 {
            let fits = (1..=shape.channels.min(spec.out))
                .rev()
                .filter(|g| shape.channels.is_multiple_of(*g) && spec.out.is_multiple_of(*g))
                .min_by_key(|g| g.abs_diff(spec.groups));
            return refuse(format!(
                "groups = {} does not divide both the {} channels that come in and out = {}; {} does",
                spec.groups,
                shape.channels,
                spec.out,
                fits.unwrap_or(1)
            ));
        }
        let space = Space::Image(window.output[0], window.output[1]);
        let out = checked(&path, Shape { channels: spec.out, space })?;
        let taps = window.taps();
        let fan_in = shape.channels / spec.groups * taps;
        let size = |centre: bool| (if centre { fan_in / taps } else { fan_in }, spec.out);
        let centre = self.laws.is_of_the_centre(&path, spec.init.as_deref())?;
        let matrix = Matrix {
            path: &path,
            kind: "conv2d",
            fans: (fan_in, spec.out * taps),
            size: size(centre),
            convolution: true,
            init: spec.init.as_deref(),
            bias: spec.bias.as_ref(),
        };
        let weights = self.weights(&matrix, level, out.positions())?;
        self.net.tape += 4 * shape.size() as u128;
        let (channels, groups, first) = (shape.channels, spec.groups, self.first);
        level.put(path, Kind::Conv(Conv { weights, window, channels, groups, centre, first }));
        Ok(out)
    }

    fn pool(&mut self, spec: &PoolSpec, of: Of, level: &mut Level, shape: Shape) -> Result<Shape, NetError> {
        let kind = if of == Of::Mean { "avgpool" } else { "maxpool" };
        let path = level.path(kind, spec.name.as_ref());
        let Space::Image(height, width) = shape.space else {
            return Err(fault(
                &path,
                format!(
                    "{kind} takes an image [channels, height, width], not {shape}: put it before `flatten`"
                ),
            ));
        };
        let kernel = spec.kernel.unwrap_or(Pair(height, width));
        let stride = spec.stride.unwrap_or(kernel);
        let window = window(&path, [height, width], kernel, stride, spec.padding, Pair(1, 1))?;
        if (0..2).any(|axis| 2 * window.padding[axis] as usize > window.kernel[axis]) {
            let reason = format!(
                "a padding of more than half the kernel would make windows without an entry; at most {} and {} fit",
                window.kernel[0] / 2,
                window.kernel[1] / 2
            );
            return Err(fault(&path, reason));
        }
        let space = Space::Image(window.output[0], window.output[1]);
        let out = checked(&path, Shape { channels: shape.channels, space })?;
        if of == Of::Largest {
            self.net.tape += 4 * out.size() as u128;
        }
        level.put(path, Kind::Pool(Pool { window, of }));
        Ok(out)
    }

    fn norm(
        &mut self,
        kind: &str,
        spec: &NormSpec,
        level: &mut Level,
        shape: Shape,
    ) -> Result<Shape, NetError> {
        let path = level.path(kind, spec.name.as_ref());
        self.features(&path, kind, shape)?;
        if !(spec.eps.is_finite() && spec.eps >= 0.0) {
            return Err(fault(&path, format!("eps = {} is not a number from 0 on", spec.eps)));
        }
        let over = match (kind, shape.space) {
            ("batchnorm", _) => Over::Batch,
            (_, Space::Image(..)) => Over::Sample,
            _ => Over::Position,
        };
        self.net.tape += 4 * shape.size() as u128;
        level.put(path, Kind::Norm(Norm { over, centred: kind != "rmsnorm", eps: spec.eps }));
        Ok(shape)
    }

    /// The table that a layer with tied weights shares.
    fn table(&self, path: &str, (features, tokens): (usize, usize)) -> Result<Weights, NetError> {
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

    fn embedding(
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

    fn attention(
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
        level.put(path, Kind::Attention(attention));
        Ok(shape)
    }

    fn recurrent(
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
            let own = spec.recurrent.as_ref().or(spec.init.as_ref());
            let matrix = Matrix {
                fans: (units, units),
                size: (units, units),
                init: own.map(String::as_str),
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

    fn residual(&mut self, spec: &ResidualSpec, level: &mut Level, shape: Shape) -> Result<Shape, NetError> {
        let path = level.path("block", spec.name.as_ref());
        self.features(&path, "residual", shape)?;
        if !spec.scale.is_finite() {
            return Err(fault(&path, format!("scale = {} is not a finite number", spec.scale)));
        }
        // The sum needs the gradients of both ways, whatever stands below.
        self.first = false;
        self.depth += 1;
        let mut branch = Vec::new();
        let mut inner = Level::new(&path, &mut branch);
        inner.branch = Some((0, count::depth(&spec.layers)));
        let out = self.list(&spec.layers, &mut inner, shape)?;
        let mut shortcut = Vec::new();
        let around =
            self.list(&spec.shortcut, &mut Level::new(&format!("{path}/shortcut"), &mut shortcut), shape)?;
        self.depth -= 1;
        if out != around {
            let what =
                if spec.shortcut.is_empty() { "the identity around it keeps" } else { "its shortcut gives" };
            return Err(fault(
                &path,
                format!("the branch makes {out} of {shape} and {what} {around}: {}", fitting(shape, out)),
            ));
        }
        let entry = self.net.entries.len();
        self.net.entries.push(Entry {
            path: path.clone(),
            kind: "residual",
            fan_in: out.channels,
            fan_out: out.channels,
            units: out.channels,
            positions: out.positions(),
            weights: Law::Identity { gain: 1.0 },
            bias: Law::Constant(0.0),
            weighted: false,
            trunk: self.depth == 0,
        });
        level.pending = Some(entry);
        level.put(path, Kind::Residual(Residual { entry, scale: spec.scale, branch, shortcut }));
        Ok(out)
    }

    /// Draws up the weights of a layer that is an entry of its own.
    fn weights(&mut self, matrix: &Matrix, level: &mut Level, positions: usize) -> Result<Weights, NetError> {
        let entry = self.net.entries.len();
        let weights = self.matrix(matrix, level, positions, entry)?;
        level.advance();
        self.net.entries.push(Entry {
            path: matrix.path.into(),
            kind: matrix.kind,
            fan_in: matrix.fans.0,
            fan_out: matrix.fans.1,
            units: matrix.size.1,
            positions,
            weights: weights.law,
            bias: weights.bias,
            weighted: true,
            trunk: self.depth == 0,
        });
        level.pending = Some(entry);
        Ok(weights)
    }

    /// Draws up a weight matrix that is recorded at this entry.
    fn matrix(
        &mut self,
        matrix: &Matrix,
        level: &Level,
        positions: usize,
        entry: usize,
    ) -> Result<Weights, NetError> {
        self.net.streams += 1;
        let stream = self.net.streams;
        let (law, bias) = self.laws.of(matrix, stream as usize, level.branch)?;
        let (fan_in, units) = matrix.size;
        let bytes = 4 * fan_in as u128 * units as u128;
        self.net.weights.0 += bytes;
        self.net.weights.1 = self.net.weights.1.max(bytes);
        self.net.draws += draws(law, fan_in, units);
        // Three products of two operations each, of all taps even where one is drawn.
        self.net.cost += 6.0 * matrix.fans.0 as f64 * units as f64 * positions as f64;
        Ok(Weights { entry, stream, law, bias, fan_in, units })
    }
}

/// Operations of a matrix product in the time of drawing a layer's weights, as the dense engine counts them.
fn draws(law: Law, fan_in: usize, units: usize) -> f64 {
    let (n, m) = (fan_in as f64, units as f64);
    match law {
        Law::Constant(_) | Law::Identity { .. } => 0.0,
        Law::Normal { .. } => 60.0 * n * m,
        Law::Haar { .. } | Law::UnitVarianceHaar => (3.0 * n.min(m) + 300.0) * n * m,
        _ => 300.0 * n * m,
    }
}

fn tokens(path: &str, kind: &str, shape: Shape) -> NetError {
    fault(path, format!("{kind} takes features, not {shape}: put an `embedding` before it"))
}

/// A layer's weights as its file asks for them.
struct Matrix<'a> {
    path: &'a str,
    kind: &'static str,
    /// As initialisers count them.
    fans: (usize, usize),
    /// Columns and rows that are drawn.
    size: (usize, usize),
    convolution: bool,
    init: Option<&'a str>,
    bias: Option<&'a BiasSpec>,
}

fn window(
    path: &str,
    input: [usize; 2],
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
) -> Result<Window, NetError> {
    for (name, pair, least) in [("kernel", kernel, 1), ("stride", stride, 1), ("dilation", dilation, 1)] {
        if pair.0.min(pair.1) < least || pair.0.max(pair.1) > WIDEST {
            return Err(fault(path, format!("{name} is a whole number from {least} to {WIDEST}")));
        }
    }
    let padding = match padding {
        Padding::Of(pair) => pair,
        Padding::Same => {
            let total = [dilation.0 * (kernel.0 - 1), dilation.1 * (kernel.1 - 1)];
            if total.iter().any(|t| t % 2 == 1) {
                return Err(fault(
                    path,
                    "padding = \"same\" needs an odd kernel; give the padding as a number".into(),
                ));
            }
            Pair(total[0] / 2, total[1] / 2)
        }
    };
    if padding.0.max(padding.1) > WIDEST {
        return Err(fault(path, format!("padding is a whole number from 0 to {WIDEST}")));
    }
    let pair = |p: Pair| [p.0, p.1];
    Window::place(input, pair(kernel), pair(stride), pair(padding), pair(dilation))
        .map_err(|reason| fault(path, reason))
}

/// The shortcut that would join a branch.
fn fitting(from: Shape, to: Shape) -> String {
    match (from.space, to.space) {
        (a, b) if a == b && !matches!(a, Space::Image(..)) => {
            format!(
                "a shortcut of linear with out = {} would fit, or a branch that ends with {}",
                to.channels, from.channels
            )
        }
        (Space::Image(h, w), Space::Image(a, b))
            if h.div_ceil(h.div_ceil(a)) == a && w.div_ceil(w.div_ceil(b)) == b =>
        {
            let stride = (h.div_ceil(a), w.div_ceil(b));
            let stride = if stride.0 == stride.1 {
                stride.0.to_string()
            } else {
                format!("[{}, {}]", stride.0, stride.1)
            };
            format!(
                "a shortcut of conv2d with out = {}, kernel = 1, stride = {stride} would fit",
                to.channels
            )
        }
        _ => format!("a branch that ends with {from} would fit"),
    }
}
