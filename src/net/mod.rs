//! Networks of any architecture: a tree of layers with their paths, checked before anything is drawn, and one trial through
//! it.

mod build;
mod count;
pub mod shipped;
mod trial;

pub use build::{Builder, NetError};
pub use trial::{Passed, Step, Stopped, trial};

use crate::activation::Activation;
use crate::initializer::Law;
use crate::layer::act::Act;
use crate::layer::attention::Attention;
use crate::layer::conv::Conv;
use crate::layer::dropout::Dropout;
use crate::layer::embedding::{self, Embedding};
use crate::layer::linear::Linear;
use crate::layer::norm::Norm;
use crate::layer::pass::Weights;
use crate::layer::pool::Pool;
use crate::layer::recurrent::Recurrent;
use crate::layer::{Layer, Pass, Shape, Space};
use crate::real::Real;
use nalgebra::DMatrix;

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
        let mut all = Vec::new();
        collect(&self.nodes, &mut all);
        all
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

    /// Nothing but linear layers with this activation behind each, perhaps flattened at first.
    pub fn is_stack(&self, act: &Activation) -> bool {
        let nodes = match self.nodes.as_slice() {
            [Node { kind: Kind::Flatten(_), .. }, rest @ ..] => rest,
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

/// The weights of a list, in the order of their streams.
fn collect<'a>(nodes: &'a [Node], all: &mut Vec<&'a Weights>) {
    for node in nodes {
        match &node.kind {
            Kind::Linear(layer) if layer.tied.is_some() => {}
            Kind::Linear(layer) => all.push(&layer.weights),
            Kind::Recurrent(layer) => {
                all.extend(layer.gates.iter().flat_map(|(input, state)| [input, state]));
            }
            Kind::Attention(layer) => {
                all.extend(layer.project.iter().map(|part| &part.weights));
                all.push(&layer.out.weights);
            }
            Kind::Embedding(layer) => {
                all.push(&layer.table);
                all.extend(&layer.positions);
            }
            Kind::Conv(layer) => all.push(&layer.weights),
            Kind::Residual(block) => {
                collect(&block.branch, all);
                collect(&block.shortcut, all);
            }
            Kind::Pool(_) | Kind::Flatten(_) | Kind::Act(_) | Kind::Norm(_) | Kind::Dropout(_) => {}
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
    /// All positions become features: so many rows.
    Flatten(usize),
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
            Self::Flatten(_) | Self::Residual(_) => None,
        }
    }
}
