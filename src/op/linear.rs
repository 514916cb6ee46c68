//! Z = W·H + b at every position.

use super::embedding::tied;
use super::parameters::gradient_of;
use super::pass::{Back, Layer, Pass, Value, Weights};
use super::{Shape, Space};
use crate::numeric::cached::Observed;
use crate::numeric::product::{Threads, mul_tr};
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::{inner, sums};
use crate::op::record::{Moments, product_moments};
use crate::weights::{Dense, Operator};
use std::rc::Rc;

/// A linear layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// W and b.
    pub weights: Weights,
    /// Nothing below needs a gradient.
    pub first: bool,
    /// W is this embedding's table.
    pub tied: Option<Weights>,
}

/// The shape behind a linear layer.
///
/// # Errors
/// An image, with what would fit.
pub fn output(input: Shape, out: usize) -> Result<Shape, String> {
    match input.space {
        Space::Flat | Space::Sequence(_) => Ok(input.with(out)),
        Space::Image(..) => Err(format!(
            "linear takes features, not the image {input}: put a `flatten` before it, which makes [{}], or an `avgpool`",
            input.size()
        )),
        Space::Tokens(_) => Err(format!("linear takes features, not {input}: put an `embedding` before it")),
    }
}

/// What a weight gradient D·Hᵀ needs of H beside D: H itself, or its Gram matrix where the product costs more and its moments are
/// all that is wanted.
pub struct Trace<T: Real> {
    form: Form<T>,
    rows: usize,
    exponent: i64,
}

enum Form<T: Real> {
    Gram(nalgebra::DMatrix<f64>, Vec<f64>),
    Whole(Value<T>),
}

impl<T: Real> Trace<T> {
    /// Of a layer's input, for so many units.
    pub fn new(h: &Value<T>, units: usize, pass: &Pass<T>) -> Self {
        let (rows, columns) = h.signal.values.shape();
        let form = if pass.gradients.is_some() {
            Form::Whole(Rc::clone(h))
        } else if columns as u128 * (rows as u128 + units as u128) <= rows as u128 * units as u128 {
            Form::Gram(h.gram(pass.threads).clone(), h.sums().plain.clone())
        } else {
            Form::Whole(Rc::clone(h))
        };
        Self { form, rows, exponent: h.signal.exponent }
    }

    /// Adds ∂C/∂W and ∂C/∂b where they are wanted; moments of the former's entries, zero where nothing is recorded.
    pub fn gradient(&self, weights: &Weights, d: &Observed<T>, pass: &mut Pass<T>) -> Moments {
        let threads = pass.threads;
        if let (Form::Whole(h), Some(gradient)) = (&self.form, gradient_of(&mut pass.gradients, weights)) {
            gradient.add(&d.signal, &h.signal, threads);
        }
        if pass.quiet { Moments::ZERO } else { self.weight_gradient(d, threads) }
    }

    /// Moments of the entries of ∂C/∂W = D·Hᵀ.
    fn weight_gradient(&self, d: &Observed<T>, threads: Threads) -> Moments {
        let (square, total) = match &self.form {
            Form::Gram(gram, plain) => {
                (inner(gram.as_slice(), d.gram(threads).as_slice()), inner(plain, &d.sums().plain))
            }
            Form::Whole(h) => {
                let product = mul_tr(&d.signal.values, &h.signal.values, threads);
                (sums(product.as_slice()).1, inner(&h.sums().plain, &d.sums().plain))
            }
        };
        let exponent = self.exponent + d.signal.exponent;
        product_moments((self.rows, d.signal.values.nrows()), square, total, exponent)
    }
}

struct Tape<T: Real> {
    weights: Weights,
    operator: Dense<T>,
    trace: Trace<T>,
    first: bool,
}

impl<T: Real> Layer<T> for Linear {
    fn forward(&self, x: Value<T>, pass: &mut Pass<T>) -> (Value<T>, Box<dyn Back<T>>) {
        let weights = &self.weights;
        let mut operator = match &self.tied {
            None => pass.dense(weights),
            Some(table) => tied(table, pass),
        };
        let mut z = operator.forward(&x, pass.threads);
        if let Some(bias) = pass.bias(weights) {
            z = z.plus_column(&bias);
        }
        if !pass.keep_weights {
            operator.release();
        }
        let z = Observed::from(z);
        pass.observe(weights.entry, &z);
        let trace = Trace::new(&x, weights.units, pass);
        let tape = Tape { weights: weights.clone(), operator, trace, first: self.first };
        (Rc::new(z), Box::new(tape))
    }
}

impl<T: Real> Back<T> for Tape<T> {
    fn backward(mut self: Box<Self>, d: Signal<T>, pass: &mut Pass<T>) -> Signal<T> {
        let d = Observed::from(d);
        let entry = self.weights.entry;
        pass.observe_gradient(entry, &d);
        let moments = self.trace.gradient(&self.weights, &d, pass);
        pass.observe_weight_gradient(entry, moments);
        if self.first && !pass.input_gradient {
            return d.signal;
        }
        self.operator.backward(&d, pass.threads)
    }
}
