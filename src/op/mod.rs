//! The operators of a network, one file each: the shape it makes, its parameters, forward and backward, its cost, and how an
//! architecture file spells it. The list of layers is [`layer::LAYERS`].
//!
//! A batch lies as channels × (positions·samples): a sample's positions are neighboring columns, and a position's channels
//! neighboring entries. So a linear map, a convolution of one tap, a norm and an activation are the same loops for plain
//! stacks, sequences and images, and flattening moves nothing.
//!
//! ```
//! use initdiag::op::{Shape, Space, layer};
//!
//! assert!(layer::LAYERS.iter().any(|layer| layer.name == "conv2d"));
//! let image = Shape { channels: 3, space: Space::Image(32, 32) };
//! assert_eq!((image.positions(), image.size()), (1024, 3072));
//! ```

pub mod act;
pub mod activate;
pub mod add;
pub mod affine;
pub mod attention;
pub mod by_part;
pub mod concat;
pub mod context;
pub mod conv;
pub mod conv_transpose;
mod depthwise;
pub mod dropout;
pub mod embedding;
pub mod flatten;
pub mod forms;
pub mod gated_mlp;
pub mod glu;
pub mod graph_conv;
pub mod groupnorm;
pub mod layer;
pub mod linear;
pub mod loss;
pub mod matmul;
pub mod mix;
pub mod moe;
pub mod mul;
pub mod norm;
pub mod parameter;
pub mod parameters;
pub mod pixel_shuffle;
pub mod pool;
pub mod position;
pub mod prelu;
pub mod record;
pub mod recurrent;
pub mod rotary;
pub mod samples;
pub mod scale;
pub mod shape;
pub mod sinusoid;
pub mod softmax;
pub mod split;
pub mod squeeze;
pub mod ssm;
pub mod standardize;
pub mod token;
pub mod transpose;
pub mod upsample;
pub mod vector;
pub mod window;
mod winograd;

pub use by_part::{ByPart, check_parts, of_part};
pub use context::{Activations, Call, Context};
pub use forms::{BiasSpec, Padding, PerAxis};
pub use parameter::{Counts, GateBias, Parameter, Role, Source};
pub use parameters::{Arrays, Gradients, ParameterArrays};
pub use shape::{Shape, Space};
pub use vector::{VectorParameter, WantedVector};

use crate::activation::Activation;
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

/// What a node of a network does.
pub trait Operator: Debug + Send + Sync + Forward<f32> + Forward<f64> {
    /// Operations of the forward and the backward pass of one sample, beside the drawing of weights.
    fn operations(&self, _: &Shapes, _: &[&Parameter]) -> f64 {
        0.0
    }

    /// Columns of one sample that its weights are multiplied with in the forward pass.
    fn columns(&self, shapes: &Shapes) -> usize {
        shapes.positions()
    }

    /// Entries of one sample that are copied on the way, as under the windows of a convolution.
    fn copied(&self, _: &Shapes) -> f64 {
        0.0
    }

    /// Bytes that the backward node of so many samples keeps in single precision.
    fn tape_bytes(&self, _: &Shapes, _samples: usize) -> u128 {
        0
    }

    /// What the node is to other rooms.
    fn nature(&self) -> Nature<'_> {
        Nature::Other
    }

    /// It records its steps itself, from its entry on.
    fn records_steps(&self) -> bool {
        false
    }

    /// Names and arrays of its parameters in the layout of PyTorch's modules, each name behind the parameter's path.
    fn export(&self, exported: &Exported) -> Vec<Exports> {
        [linear::export(exported), vector::export(exported)].concat()
    }
}

/// What theory, initializers and reports must know of a node.
#[derive(Clone, Copy, Debug)]
pub enum Nature<'a> {
    /// A linear layer at each position.
    Linear,
    /// An activation of single entries, of which the layer before it is the pre-activation.
    Pointwise(&'a Arc<Activation>),
    /// A map whose output goes through an activation of its own.
    Activated(&'a Arc<Activation>),
    /// A norm; `over_batch` where what a sample becomes depends on the others.
    Norm {
        /// What a sample becomes depends on the others of its batch.
        over_batch: bool,
    },
    /// Entries pass as they are or times a constant, or some of them: the record of the layer below goes on.
    Passing,
    /// All positions become features.
    Flatten,
    /// A sum of values, as that of a residual branch and what passes around it.
    Sum,
    /// None of these.
    Other,
}

/// Shapes of a node's inputs and outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shapes {
    /// In the order of the node's inputs.
    pub inputs: Vec<Shape>,
    /// In the order of its outputs.
    pub outputs: Vec<Shape>,
}

impl Shapes {
    /// Entries of a sample of all inputs.
    pub fn input_size(&self) -> usize {
        self.inputs.iter().map(|shape| shape.size()).sum()
    }

    /// Entries of a sample of all outputs.
    pub fn output_size(&self) -> usize {
        self.outputs.iter().map(|shape| shape.size()).sum()
    }

    /// Positions of the first output.
    pub fn positions(&self) -> usize {
        self.outputs.first().map_or(1, |shape| shape.positions())
    }
}

/// The forward pass of an operator in one precision.
pub trait Forward<T: Real> {
    /// The outputs, and the backward node.
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        context: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>);
}

/// What an operator keeps of its forward pass.
pub trait Backward<T: Real> {
    /// From ∂C/∂outputs to ∂C/∂inputs, each in the order of the node. Where the context says that nobody asks for the gradient of
    /// the inputs, the list may be empty.
    fn backward(self: Box<Self>, gradients: Vec<CachedSignal<T>>, context: &mut Context<T>)
    -> Vec<Signal<T>>;
}

/// The forward pass of an operator with one input and one output.
pub trait Unary<T: Real> {
    /// The output, and the backward node.
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>);
}

/// What an operator with one input and one output keeps of its forward pass.
pub trait UnaryBackward<T: Real> {
    /// From ∂C/∂output to ∂C/∂input.
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T>;
}

/// The forward pass of an operator with one input and one output, as that of any operator.
pub fn unary<T: Real>(
    operator: &impl Unary<T>,
    inputs: Vec<Activations<T>>,
    context: &mut Context<T>,
) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
    let [x] = exactly(inputs);
    let (out, back) = operator.apply(x, context);
    (vec![out], Box::new(One(back)))
}

/// Makes an operator with one input and one output an operator.
macro_rules! one_to_one {
    ($operator:ty) => {
        impl<T: $crate::numeric::real::Real> $crate::op::Forward<T> for $operator {
            fn forward(
                &self,
                inputs: Vec<$crate::op::Activations<T>>,
                context: &mut $crate::op::Context<T>,
            ) -> (Vec<$crate::op::Activations<T>>, Box<dyn $crate::op::Backward<T>>) {
                $crate::op::unary(self, inputs, context)
            }
        }
    };
}
pub(crate) use one_to_one;

struct One<T: Real>(Box<dyn UnaryBackward<T>>);

impl<T: Real> Backward<T> for One<T> {
    fn backward(
        self: Box<Self>,
        gradients: Vec<CachedSignal<T>>,
        context: &mut Context<T>,
    ) -> Vec<Signal<T>> {
        let [d] = exactly(gradients);
        vec![self.0.backward(d, context)]
    }
}

/// The elements of a list whose length the graph has checked.
///
/// # Panics
/// With a list of another length, which a built graph never passes.
pub fn exactly<X, const N: usize>(list: Vec<X>) -> [X; N] {
    <[X; N]>::try_from(list)
        .unwrap_or_else(|list| unreachable!("an operator of {N} inputs or outputs was given {}", list.len()))
}

/// The signal of a value, in its own memory where nobody else needs it.
pub fn owned<T: Real>(value: Activations<T>) -> Signal<T> {
    Rc::try_unwrap(value).map_or_else(|shared| shared.signal.clone(), |value| value.signal)
}

/// A precision that operators run in.
pub trait Precision: Real {
    /// The operator's forward pass in this precision.
    fn forward_of(operator: &dyn Operator) -> &dyn Forward<Self>;
}

impl Precision for f32 {
    fn forward_of(operator: &dyn Operator) -> &dyn Forward<Self> {
        operator
    }
}

impl Precision for f64 {
    fn forward_of(operator: &dyn Operator) -> &dyn Forward<Self> {
        operator
    }
}

/// Parameters of a node with their arrays, and what the layout of a weight depends on.
pub struct Exported<'a> {
    /// In the order of the node.
    pub parameters: Vec<(&'a Parameter, &'a ParameterArrays<f32>)>,
    /// Its vectors, likewise.
    pub vectors: Vec<(&'a VectorParameter, &'a ParameterArrays<f32>)>,
    /// Channels and positions of what was flattened below and has not met a linear layer yet.
    pub flattened: Option<(usize, usize)>,
}

/// An array under its name, the last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Exports {
    /// As in `layers.1.weight`.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Entries.
    pub values: Vec<f32>,
}

impl Exports {
    /// An array of the module at a path.
    pub fn of(path: &str, name: &str, shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { name: format!("{}.{name}", path.replace('/', ".")), shape, values }
    }

    /// The biases of a parameter, where it has some.
    pub fn bias(parameter: &Parameter, arrays: &ParameterArrays<f32>) -> Option<Self> {
        let bias = arrays.bias.as_ref()?;
        Some(Self::of(&parameter.path, "bias", vec![bias.len()], bias.as_slice().to_vec()))
    }
}
