//! Networks of any architecture: a tree of layers with their paths, checked before anything is drawn, and one trial through
//! it.

pub mod export;
mod trial;

pub use trial::{Passed, Step, Stopped, Tapes, backward, onward, trial};

use crate::activation::Activation;
use crate::law::Law;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, power_of_two};
use crate::op::act::Act;
use crate::op::attention::Attention;
use crate::op::conv::Conv;
use crate::op::dropout::Dropout;
use crate::op::embedding::{self, Embedding};
use crate::op::linear::Linear;
use crate::op::norm::{Norm, Over};
use crate::op::pass::Weights;
use crate::op::pool::Pool;
use crate::op::recurrent::Recurrent;
use crate::op::{Layer, Parameter, Parameters, Pass, Shape, Space};
use nalgebra::DMatrix;
use std::borrow::Cow;
use std::sync::Arc;

/// A network that can be drawn: every shape fits and every law is known.
#[derive(Debug)]
pub struct Net {
    /// In order.
    pub nodes: Vec<Node>,
    /// What is recorded, in the order in which the signal meets it.
    pub entries: Vec<Entry>,
    /// Of a sample.
    pub input: Shape,
    /// Of a sample.
    pub output: Shape,
    /// Layers with weights.
    pub streams: u64,
    /// Operations of the passes of one sample.
    pub cost: f64,
    /// Operations in the time of drawing all weights once.
    pub draws: f64,
    /// Bytes that the tapes of one sample hold.
    pub tape: u128,
    /// Bytes of all weights, and of the largest layer's.
    pub weights: (u128, u128),
    /// Entries of the largest signal of a sample.
    pub widest: usize,
}

impl Net {
    /// Entries of a sample that are drawn or read: none of tokens, which the embedding draws.
    pub fn features(&self) -> usize {
        if matches!(self.input.space, Space::Tokens(_)) { 0 } else { self.input.size() }
    }

    /// The weights of all layers, in the order of their streams.
    pub fn weights(&self) -> Vec<&Weights> {
        self.matrices().into_iter().map(|(weights, _)| weights).collect()
    }

    /// The same, each with the convolution that it belongs to.
    fn matrices(&self) -> Vec<(&Weights, Option<&Conv>)> {
        let mut all = Vec::new();
        collect(&self.nodes, &mut all);
        all
    }

    /// Rows and columns of a layer's weights in [`Net::parameters`].
    pub fn weight_shape(&self, weights: &Weights) -> (usize, usize) {
        let conv =
            self.matrices().into_iter().find_map(|(w, conv)| conv.filter(|_| w.stream == weights.stream));
        let columns = match conv {
            Some(conv) if conv.centre => conv.window.taps() * (conv.channels / conv.groups),
            _ => weights.fan_in,
        };
        (weights.units, columns)
    }

    /// Norms, those of branches and shortcuts among them.
    pub fn norms(&self) -> usize {
        fn of(nodes: &[Node]) -> usize {
            let one = |node: &Node| match &node.kind {
                Kind::Norm(_) => 1,
                Kind::Residual(block) => of(&block.branch) + of(&block.shortcut),
                _ => 0,
            };
            nodes.iter().map(one).sum()
        }
        of(&self.nodes)
    }

    /// Residual branches with weights.
    pub fn branches(&self) -> usize {
        fn of(nodes: &[Node]) -> usize {
            let one = |node: &Node| match &node.kind {
                Kind::Residual(block) => {
                    let mut own = Vec::new();
                    collect(&block.branch, &mut own);
                    usize::from(!own.is_empty()) + of(&block.branch) + of(&block.shortcut)
                }
                _ => 0,
            };
            nodes.iter().map(one).sum()
        }
        of(&self.nodes)
    }

    /// The weights of a layer as a pass draws them: units × fan-in, a table's features × rows.
    pub fn matrix<T: Real>(&self, weights: &Weights, pass: &Pass<T>) -> DMatrix<f64> {
        let table = self.entries.get(weights.entry).is_some_and(|e| e.kind == "embedding");
        if table {
            return embedding::tied(weights, pass).matrix(pass.threads).transpose();
        }
        pass.dense(weights).matrix(pass.threads)
    }

    /// Weights and biases as a pass draws them, of a convolution with all its taps.
    pub fn parameters<T: Real>(&self, pass: &Pass<T>) -> Parameters<T> {
        let of = |(weights, conv): (&Weights, Option<&Conv>)| {
            let drawn = self.matrix(weights, pass).map(T::of);
            let matrix = conv.map_or(Cow::Borrowed(&drawn), |conv| conv.with_all_taps(&drawn)).into_owned();
            let zero = || DMatrix::from_element(weights.units, 1, T::ZERO);
            let plain = |bias: Signal<T>| bias.values * power_of_two::<T>(bias.exponent);
            let bias = weights.biased.then(|| pass.bias(weights).map_or_else(zero, plain));
            (weights.stream, Parameter { weights: Arc::new(matrix), bias })
        };
        self.matrices().into_iter().map(of).collect()
    }

    /// Nothing but linear layers with this activation behind each, perhaps flattened at first.
    pub fn is_stack(&self, act: &Activation) -> bool {
        let nodes = match self.nodes.as_slice() {
            [Node { kind: Kind::Flatten { .. }, .. }, rest @ ..] => rest,
            all => all,
        };
        let pair = |pair: &[Node]| match pair {
            [Node { kind: Kind::Linear(linear), .. }, Node { kind: Kind::Act(layer), .. }] => {
                linear.tied.is_none() && layer.function.name == act.name
            }
            _ => false,
        };
        nodes.chunks(2).all(pair) && self.entries.iter().all(|e| e.positions == 1)
    }

    /// What a sample becomes depends on the others of its batch.
    pub fn mixes_samples(&self) -> bool {
        self.any(&|kind| matches!(kind, Kind::Norm(norm) if norm.over == Over::Batch)).is_some()
    }

    /// The path of a layer whose weights are an embedding's.
    pub fn tied(&self) -> Option<&str> {
        self.any(&|kind| matches!(kind, Kind::Linear(linear) if linear.tied.is_some()))
    }

    /// The path of the first node of this kind.
    fn any(&self, wanted: &dyn Fn(&Kind) -> bool) -> Option<&str> {
        fn of<'a>(nodes: &'a [Node], wanted: &dyn Fn(&Kind) -> bool) -> Option<&'a str> {
            nodes.iter().find_map(|node| match &node.kind {
                kind if wanted(kind) => Some(node.path.as_str()),
                Kind::Residual(block) => of(&block.branch, wanted).or_else(|| of(&block.shortcut, wanted)),
                _ => None,
            })
        }
        of(&self.nodes, wanted)
    }

    /// Layers of all lists: a pass reports its progress so often.
    pub fn steps(&self) -> u64 {
        fn of(nodes: &[Node]) -> u64 {
            let inner = |node: &Node| match &node.kind {
                Kind::Residual(block) => of(&block.branch) + of(&block.shortcut),
                _ => 0,
            };
            nodes.iter().map(|node| 1 + inner(node)).sum()
        }
        of(&self.nodes)
    }
}

/// The weights of a list, in the order of their streams, each with the convolution that it belongs to.
fn collect<'a>(nodes: &'a [Node], all: &mut Vec<(&'a Weights, Option<&'a Conv>)>) {
    for node in nodes {
        match &node.kind {
            Kind::Linear(layer) if layer.tied.is_some() => {}
            Kind::Linear(layer) => all.push((&layer.weights, None)),
            Kind::Recurrent(layer) => {
                all.extend(layer.gates.iter().flat_map(|(input, state)| [(input, None), (state, None)]));
            }
            Kind::Attention(layer) => {
                all.extend(layer.project.iter().map(|part| (&part.weights, None)));
                all.push((&layer.out.weights, None));
            }
            Kind::Embedding(layer) => {
                all.push((&layer.table, None));
                all.extend(layer.positions.iter().map(|w| (w, None)));
            }
            Kind::Conv(layer) => all.push((&layer.weights, Some(layer))),
            Kind::Residual(block) => {
                collect(&block.branch, all);
                collect(&block.shortcut, all);
            }
            Kind::Pool(_) | Kind::Flatten { .. } | Kind::Act(_) | Kind::Norm(_) | Kind::Dropout(_) => {}
        }
    }
}

/// A line of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As in `block3/conv1`.
    pub path: String,
    /// As in JSON.
    pub kind: &'static str,
    /// As initialisers count it.
    pub fan_in: usize,
    /// As initialisers count it.
    pub fan_out: usize,
    /// Rows of what is recorded: units, or channels.
    pub units: usize,
    /// Positions of a sample.
    pub positions: usize,
    /// Of the weights; the identity where there are none.
    pub weights: Law,
    /// Of the biases.
    pub bias: Law,
    /// It has weights.
    pub weighted: bool,
    /// On the way that every signal takes, not within a residual branch.
    pub trunk: bool,
}

/// A layer and where it stands.
#[derive(Debug)]
pub struct Node {
    /// As in `block3/conv1`.
    pub path: String,
    /// What it does.
    pub kind: Kind,
}

/// What a node does.
#[derive(Debug)]
pub enum Kind {
    /// Linear layer.
    Linear(Linear),
    /// Convolution.
    Conv(Conv),
    /// Pooling.
    Pool(Pool),
    /// All positions become features.
    Flatten {
        /// Features behind it.
        rows: usize,
        /// Features at each position before it.
        channels: usize,
    },
    /// Activation.
    Act(Act),
    /// Norm.
    Norm(Norm),
    /// Dropout.
    Dropout(Dropout),
    /// Recurrent layer.
    Recurrent(Recurrent),
    /// Attention.
    Attention(Box<Attention>),
    /// Embedding.
    Embedding(Embedding),
    /// shortcut + scale·branch.
    Residual(Residual),
}

/// A residual block.
#[derive(Debug)]
pub struct Residual {
    /// Place of the sum among the records.
    pub entry: usize,
    /// Factor of the branch.
    pub scale: f64,
    /// The branch.
    pub branch: Vec<Node>,
    /// Empty for the identity.
    pub shortcut: Vec<Node>,
}

impl Kind {
    /// The layer's own pass; `None` for what holds layers or moves nothing.
    fn layer<T: Real>(&self) -> Option<&dyn Layer<T>> {
        match self {
            Self::Linear(layer) => Some(layer),
            Self::Conv(layer) => Some(layer),
            Self::Pool(layer) => Some(layer),
            Self::Act(layer) => Some(layer),
            Self::Norm(layer) => Some(layer),
            Self::Dropout(layer) => Some(layer),
            Self::Recurrent(layer) => Some(layer),
            Self::Attention(layer) => Some(layer.as_ref()),
            Self::Embedding(layer) => Some(layer),
            Self::Flatten { .. } | Self::Residual(_) => None,
        }
    }
}
