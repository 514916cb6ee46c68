//! Networks: nodes in the order in which they are computed, values with their shapes, parameters, and what is recorded.
//!
//! A frontend adds nodes to an [`Assembly`] and finishes it; the graph that comes out is checked, so that it can be computed.
//! [`assign`] gives its parameters their laws, [`trial`] takes a batch through it and a gradient back.
//!
//! ```
//! use initdiag::activation::Activation;
//! use initdiag::frontend::stack;
//! use initdiag::graph::{Laws, assign};
//! use initdiag::initializer::Initializer;
//! use std::sync::Arc;
//!
//! let act = Arc::new(Activation::parse("relu")?);
//! let mut graph = stack::graph(&[8, 16, 4], &act)?;
//! let init = Initializer::parse("he")?;
//! assign(&mut graph, &Laws { init: &init, bias: None, act: &act, overrides: &[] })?;
//! assert_eq!(graph.parameters.len(), 2);
//! assert_eq!(graph.parameters[1].fans, (16, 4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assembly;
mod execute;
pub mod export;
mod laws;
mod overrides;
mod trunk;

pub use assembly::Assembly;
pub use execute::{Passed, Step, Stopped, Tape, backward, forward, trial};
pub use laws::{Laws, assign};
pub use overrides::Override;
pub use trunk::TrunkPlace;

use crate::activation::Activation;
use crate::law::Law;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, power_of_two};
use crate::op::conv::with_all_taps;
use crate::op::record::LayerRecord;
use crate::op::{
    Arrays, Context, Nature, Operator, Parameter, ParameterArrays, Role, Shape, Shapes, Source,
    VectorParameter,
};
use crate::weights::{Dense, Table};
use nalgebra::DMatrix;
use smallvec::SmallVec;
use std::sync::Arc;

/// Why a network cannot be built: where, and what would fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct GraphError {
    /// As in `block3/conv1`.
    pub path: String,
    /// In words.
    pub reason: String,
    /// What is wrong.
    pub origin: Origin,
}

/// Where a fault of a graph comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the network itself.
    Network,
    /// From the experiment's initializer.
    Initializer,
    /// From the experiment's law of biases.
    Biases,
    /// From the experiment's law for a pattern of names.
    Override,
}

impl GraphError {
    /// What is wrong with the network at a path.
    pub fn new(path: &str, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), origin: Origin::Network }
    }

    /// The same, where the file of the network names an initializer: what it names itself is its own.
    #[must_use]
    pub fn beside(self, named: Option<&String>, init: &str) -> Self {
        let own = self.origin == Origin::Initializer && named.is_some_and(|name| name == init);
        if own { self.of(Origin::Network) } else { self }
    }

    /// The same fault of what the experiment says.
    #[must_use]
    pub fn of(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }
}

/// Places in a list of the graph: nearly always one or two, which then need no memory of their own.
pub type Places = SmallVec<[usize; 2]>;

/// An operator with its place in the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// As in `block3/conv1`; empty in a plain stack.
    pub path: String,
    /// What it does.
    pub operator: Arc<dyn Operator>,
    /// Values that go in.
    pub inputs: Places,
    /// Values that come out.
    pub outputs: Places,
    /// Places in the list of all parameters.
    pub parameters: Places,
    /// Places in the list of all vectors.
    pub vectors: Places,
    /// Where its first output is recorded.
    pub entry: Option<usize>,
    /// Of an activation: the entry whose activation its output is.
    pub completes: Option<usize>,
    /// The norm, among those that are recorded, whose output its first output is.
    pub norm: Option<usize>,
}

impl Node {
    /// It has weights, or vectors.
    pub fn has_parameters(&self) -> bool {
        !(self.parameters.is_empty() && self.vectors.is_empty())
    }
}

/// A line of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As in `block3/conv1`; empty in a plain stack.
    pub path: String,
    /// As in JSON.
    pub kind: &'static str,
    /// As initializers count it.
    pub fan_in: usize,
    /// As initializers count it.
    pub fan_out: usize,
    /// Rows of what is recorded: units, or channels.
    pub units: usize,
    /// Positions of a sample.
    pub positions: usize,
    /// Law of the weights; the identity where there are none.
    pub weights: Law,
    /// Law of the biases.
    pub bias: Law,
    /// The first parameter that is recorded here.
    pub parameter: Option<usize>,
    /// It has weights.
    pub weighted: bool,
    /// Every way from an input to the output leads through it.
    pub trunk: bool,
}

/// A norm with a gain, which is recorded beside the lines of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedNorm {
    /// As in `block3/batchnorm1`.
    pub path: String,
    /// Its type in an architecture file.
    pub kind: &'static str,
    /// Channels, each with a gain.
    pub channels: usize,
    /// Lines of the result before it.
    pub behind: usize,
    /// Every way from input to output leads through it.
    pub trunk: bool,
}

/// A value: what one node makes and others take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Of a sample.
    pub shape: Shape,
    /// The last node that takes it; `usize::MAX` for the output of the network.
    pub last_use: usize,
    /// It depends on a parameter, so a gradient must come back to it.
    pub trained: bool,
}

/// A network that can be drawn: every shape fits.
#[derive(Clone, Debug)]
pub struct Graph {
    /// In the order in which they are computed; shared by the cells of a grid, which differ in parameters and entries alone.
    pub nodes: Arc<Vec<Node>>,
    /// All values; the inputs come first.
    pub values: Arc<Vec<Value>>,
    /// Names of the inputs.
    pub inputs: Vec<String>,
    /// In the order of their streams.
    pub parameters: Vec<Parameter>,
    /// Parameters that are vectors, in the order of their streams.
    pub vectors: Vec<VectorParameter>,
    /// What is recorded, in the order in which the signal meets it.
    pub entries: Vec<Entry>,
    /// Norms that are recorded beside them, in their order.
    pub recorded_norms: Vec<RecordedNorm>,
    /// The value that is the output.
    pub output: usize,
    /// Of each residual branch, the layers with weights in it as initializers count them.
    pub branches: Vec<usize>,
    /// Of each input, what every way from it to the output leads through.
    pub trunks: Vec<Vec<TrunkPlace>>,
    /// Nodes behind which a single value is alive of all that comes of one input, with the values that are alive there.
    cuts: Vec<(usize, Places)>,
}

/// What an input is called that is the only one, unless a file names it.
pub const INPUT: &str = "input";

impl Graph {
    /// Shapes of a sample's parts that come in, one for each input.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Shape> {
        self.values[..self.inputs.len()].iter().map(|value| value.shape)
    }

    /// Shape of a sample where there is one input; `None` where there are several.
    pub fn sole_input(&self) -> Option<Shape> {
        let mut shapes = self.inputs();
        shapes.next().filter(|_| shapes.next().is_none())
    }

    /// The shapes of all inputs in words, with their names where there are several.
    pub fn inputs_in_words(&self) -> String {
        let named = |(name, shape): (&String, Shape)| match self.inputs.len() {
            1 => shape.to_string(),
            _ => format!("{name} {shape}"),
        };
        self.inputs.iter().zip(self.inputs()).map(named).collect::<Vec<_>>().join(", ")
    }

    /// Shape of a sample that comes out.
    pub fn output(&self) -> Shape {
        self.values[self.output].shape
    }

    /// Entries of a sample that are drawn or read: none of tokens, which the embedding draws.
    pub fn features(&self) -> usize {
        self.inputs().map(Shape::features).sum()
    }

    /// Streams of weights: the number of the last parameter.
    pub fn streams(&self) -> u64 {
        self.parameters.len() as u64
    }

    /// Shapes of a node's inputs and outputs.
    pub fn shapes(&self, node: &Node) -> Shapes {
        let of = |values: &[usize]| values.iter().map(|value| self.values[*value].shape).collect();
        Shapes { inputs: of(&node.inputs), outputs: of(&node.outputs) }
    }

    /// A node's parameters.
    pub fn parameters_of(&self, node: &Node) -> Vec<&Parameter> {
        node.parameters.iter().map(|place| &self.parameters[*place]).collect()
    }

    /// Parameters that have numbers of their own, not those of another.
    pub fn own_parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|parameter| parameter.is_own())
    }

    /// Operations of the passes of one sample.
    pub fn operations(&self) -> f64 {
        let one = |node: &Node| node.operator.operations(&self.shapes(node), &self.parameters_of(node));
        self.nodes.iter().map(one).sum()
    }

    /// Bytes that the tape of so many samples holds in single precision.
    pub fn tape_bytes(&self, samples: usize) -> u128 {
        self.nodes.iter().map(|node| node.operator.tape_bytes(&self.shapes(node), samples)).sum()
    }

    /// Bytes of all weights in single precision, and of the largest matrix.
    pub fn weight_bytes(&self) -> (u128, u128) {
        let bytes = |p: &Parameter| 4 * p.rows() as u128 * p.drawn_columns() as u128;
        let all = || self.own_parameters().map(bytes);
        (all().sum(), all().max().unwrap_or(0))
    }

    /// Entries of the largest value of a sample.
    pub fn widest(&self) -> usize {
        let sizes = self.values.iter().skip(self.inputs.len()).map(|value| value.shape.size());
        sizes.max().unwrap_or(0).max(self.features())
    }

    /// Numbers that a framework would count: weights, biases, gains and the like.
    pub fn parameter_count(&self) -> u128 {
        let one = |p: &Parameter| {
            let weights = if p.is_own() { p.rows() as u128 * p.shape.1 as u128 } else { 0 };
            weights + if p.is_biased() { p.biases as u128 } else { 0 }
        };
        let vectors = self.vectors.iter().map(|vector| vector.length as u128);
        self.parameters.iter().map(one).chain(vectors).sum()
    }

    /// Norms, those of branches and shortcuts among them.
    pub fn norms(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node.operator.nature(), Nature::Norm { .. })).count()
    }

    /// Residual branches with weights.
    pub fn residual_branches(&self) -> usize {
        self.branches.iter().filter(|depth| **depth > 0).count()
    }

    /// What a sample becomes depends on the others of its batch.
    pub fn mixes_samples(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.operator.nature(), Nature::Norm { over_batch: true }))
    }

    /// The path of a layer whose weights are another's.
    pub fn tied(&self) -> Option<&str> {
        self.parameters.iter().find(|parameter| !parameter.is_own()).map(|parameter| parameter.path.as_str())
    }

    /// Nothing but linear layers with this activation behind each, one behind the other and perhaps flattened at first.
    pub fn is_stack(&self, act: &Activation) -> bool {
        let chain = self.nodes.iter().enumerate().all(|(index, node)| {
            let before = if index == 0 { Some(0) } else { self.nodes[index - 1].outputs.first().copied() };
            node.inputs.len() == 1 && node.outputs.len() == 1 && before == node.inputs.first().copied()
        });
        let nodes = match self.nodes.as_slice() {
            [first, rest @ ..] if matches!(first.operator.nature(), Nature::Flatten) => rest,
            all => all,
        };
        let pair = |pair: &[Node]| match pair {
            [linear, pointwise] => match (linear.operator.nature(), pointwise.operator.nature()) {
                (Nature::Linear, Nature::Pointwise(function)) => function.name == act.name,
                _ => false,
            },
            _ => false,
        };
        chain
            && self.inputs.len() == 1
            && nodes.chunks(2).all(pair)
            && self.entries.iter().all(|entry| entry.positions == 1)
            && self.parameters.iter().all(Parameter::is_own)
    }

    /// Calls of the progress of a pass.
    pub fn steps(&self) -> u64 {
        self.nodes.len() as u64
    }

    /// The context of a trial through this network.
    pub fn context<T: Real>(
        &self,
        key: crate::numeric::stream::Key,
        batch: usize,
        threads: Threads,
    ) -> Context<'_, T> {
        let mut context =
            Context::new((&self.parameters, &self.vectors), self.entries.len(), key, batch, threads);
        context.samples_meet = false;
        context.norms = vec![LayerRecord::default(); self.recorded_norms.len()];
        context
    }

    /// The weights of a parameter with numbers of its own as a context draws them, rows × drawn columns.
    pub fn matrix<T: Real>(&self, parameter: &Parameter, context: &Context<T>) -> DMatrix<f64> {
        if matches!(parameter.role, Role::Embedding | Role::Position) {
            let key = context.key_of(parameter.stream);
            let mut table = match context.array(parameter) {
                Some(arrays) => Table::given(Arc::clone(&arrays.weights)),
                None => Table::<T>::new(parameter.law, parameter.shape, parameter.method, key),
            };
            return table.whole(context.threads).matrix(context.threads).transpose();
        }
        let mut dense: Dense<T> = context.dense(parameter);
        dense.matrix(context.threads)
    }

    /// Weights, biases and vectors as a context draws them, of a convolution with all its taps.
    pub fn arrays<T: Real>(&self, context: &Context<T>) -> Arrays<T> {
        let plain = |column: Signal<T>| column.values * power_of_two::<T>(column.exponent);
        let of = |parameter: &Parameter| {
            let weights = match parameter.source {
                Source::Law => with_all_taps(parameter, self.matrix(parameter, context).map(T::of)),
                Source::Transposed(_) => DMatrix::from_element(0, 0, T::ZERO),
            };
            let zero = || DMatrix::from_element(parameter.biases, 1, T::ZERO);
            let bias = parameter.is_biased().then(|| context.bias(parameter).map_or_else(zero, &plain));
            (parameter.stream, ParameterArrays { weights: Arc::new(weights), bias })
        };
        let vector = |vector: &VectorParameter| {
            let weights = Arc::new(plain(context.drawn_vector(vector)));
            (vector.stream, ParameterArrays { weights, bias: None })
        };
        let matrices = self.parameters.iter().filter(|p| p.is_own() || p.is_biased()).map(of);
        matrices.chain(self.vectors.iter().map(vector)).collect()
    }
}
