//! From an architecture file to a network: every shape and law checked, with the path of what does not fit.

mod image;
mod laws;
mod residual;
mod sequence;

use super::count::{self, Census};
use crate::activation::Activation;
use crate::frontend::toml::Architecture;
use crate::frontend::toml::{BiasSpec, InputSpec, LayerSpec, LinearSpec, NormSpec};
use crate::graph::{Entry, Kind, Net, Node};
use crate::initializer::Initializer;
use crate::law::Law;
use crate::op::act::Act;
use crate::op::dropout::Dropout;
use crate::op::linear::{self, Linear};
use crate::op::norm::{Norm, Over};
use crate::op::pass::Weights;
use crate::op::pool::Of;
use crate::op::{Shape, Space};
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
                level.put(path, Kind::Flatten { rows: shape.size(), channels: shape.channels });
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
        let (biased, own) = (!laws::without(matrix.bias), matrix.init.is_some());
        Ok(Weights { entry, stream, law, bias, fan_in, units, biased, own })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn built(text: &str, init: &str) -> Net {
        let architecture = Architecture::parse(text).unwrap();
        let init = Initializer::parse_for_net(init).unwrap();
        let act = Arc::new(Activation::parse("relu").unwrap());
        Builder { architecture: &architecture, init: &init, bias: None, act: &act }.build().unwrap()
    }

    #[test]
    fn fans_of_convolutions_count_taps_and_groups_divide_what_comes_in() {
        // PyTorch: weight (out, in/groups, kh, kw); Keras: kernel (kh, kw, in/groups, out). Both: fan_in = in/groups·taps,
        // fan_out = out·taps.
        let net = built(
            r#"
            input = { shape = [12, 9, 9] }
            layer = [
                { type = "conv2d", out = 8, kernel = [3, 2] },
                { type = "conv2d", out = 20, kernel = 3, groups = 4 },
                { type = "conv2d", out = 20, kernel = 1, groups = 20 },
            ]"#,
            "xavier",
        );
        let fans: Vec<_> = net.entries.iter().map(|e| (e.fan_in, e.fan_out, e.units)).collect();
        assert_eq!(fans, [(72, 48, 8), (18, 180, 20), (1, 20, 20)]);
        for entry in &net.entries {
            let variance = 2.0 / (entry.fan_in + entry.fan_out) as f64;
            assert!((entry.weights.moments(1, 1).variance / variance - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn shipped_architectures_have_the_published_number_of_weights() {
        // Weights without biases, gains and shifts. He et al. 2016 and torchvision: 11 678 912 and 25 502 912; Simonyan &
        // Zisserman 2015, D: 138 344 128; Radford et al. 2019: 50257·768 + 128·768 for 128 of its positions, 12·12·768².
        for (name, count) in [
            ("mlp-mnist", 784 * 128 + 128 * 10),
            ("mlp-digits", 64 * 128 + 128 * 10),
            ("lenet5", 54 + 1014 * 128 + 1280),
            ("lenet5-1998", 150 + 2400 + 48_000 + 10_080 + 840),
            ("vgg16", 138_344_128),
            ("resnet18", 11_678_912),
            ("resnet50", 25_502_912),
            ("gpt2-small", 50_257 * 768 + 128 * 768 + 12 * 12 * 768 * 768),
            ("rnn-100", 32 * 128 + 128 * 128 + 1280),
            ("cnn-10000", 72 + 576 * 9999 + 80),
        ] {
            let net = built(crate::frontend::bundled::source(name).unwrap(), "he");
            let found: usize = net.weights().iter().map(|w| w.fan_in * w.units).sum();
            assert_eq!(found, count, "{name}");
            assert_eq!(
                net.output.channels,
                if name.starts_with("gpt2") { 50_257 } else { net.output.size() }
            );
        }
        assert_eq!(crate::frontend::bundled::NAMES.len(), 10);
    }
}
