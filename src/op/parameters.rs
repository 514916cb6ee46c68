//! Weights and biases that are given instead of drawn, and the gradients that training wants of them.

use super::parameter::Parameter;
use crate::numeric::product::{Threads, View, product_to};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, power_of_two};
use nalgebra::DMatrix;
use std::collections::BTreeMap;
use std::sync::Arc;

/// W (units × fan-in, of an embedding features × rows) and b (units × 1) of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterArrays<T: Real> {
    /// Shared with the tapes of a pass.
    pub weights: Arc<DMatrix<T>>,
    /// `None` where there is none.
    pub bias: Option<DMatrix<T>>,
}

/// Those of a network, by the numbers of their streams.
pub type Arrays<T> = BTreeMap<u64, ParameterArrays<T>>;

/// ∂C/∂W and ∂C/∂b of one layer, of the parameter's shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient<T: Real> {
    /// Units × fan-in.
    pub weights: DMatrix<T>,
    /// Units × 1.
    pub bias: Option<DMatrix<T>>,
    /// Holds part of a sum, which goes on; else what is here is of an earlier pass.
    begun: bool,
}

impl<T: Real> Gradient<T> {
    /// Of a parameter of this shape.
    pub fn like(parameter: &ParameterArrays<T>) -> Self {
        let zero = |m: &DMatrix<T>| DMatrix::from_element(m.nrows(), m.ncols(), T::ZERO);
        Self { weights: zero(&parameter.weights), bias: parameter.bias.as_ref().map(zero), begun: false }
    }

    /// What comes next is another pass'.
    pub fn restart(&mut self) {
        self.begun = false;
    }

    /// Whether this pass has added something before, and marks that it has now.
    pub fn begin(&mut self) -> bool {
        std::mem::replace(&mut self.begun, true)
    }

    /// Adds sums times 2^exponent to ∂C/∂W, column by column, or all of them to that of a single number.
    pub fn add_sums(&mut self, sums: &[f64], exponent: i64) {
        if !self.begin() {
            self.weights.fill(T::ZERO);
        }
        let scale = libm::scalbn(1.0, exponent.clamp(-2000, 2000) as i32);
        match self.weights.as_mut_slice() {
            [one] => *one += T::of(sums.iter().sum::<f64>() * scale),
            all => all.iter_mut().zip(sums).for_each(|(to, sum)| *to += T::of(sum * scale)),
        }
    }

    /// Adds D·Hᵀ, and Σ of D's columns: D units × columns, H fan-in × columns.
    pub fn add(&mut self, d: &Signal<T>, h: &Signal<T>, threads: Threads) {
        let begun = self.begin();
        let units = d.values.nrows();
        let (left, right) = (View::plain(&d.values), View::plain(&h.values).transposed());
        let alpha = power_of_two(d.exponent + h.exponent);
        product_to(self.weights.as_mut_slice(), units, &left, &right, alpha, begun, threads);
        self.add_bias(d, begun);
    }

    /// Adds Σ of D's columns to ∂C/∂b.
    pub fn add_bias(&mut self, d: &Signal<T>, begun: bool) {
        let Some(bias) = &mut self.bias else { return };
        if !begun {
            bias.fill(T::ZERO);
        }
        add_columns(bias.as_mut_slice(), d.values.as_slice(), power_of_two(d.exponent));
    }
}

crate::numeric::slice::for_each_machine! {
    fn add_columns<T: Real>(sum: &mut [T], columns: &[T], scale: T) {
        for column in columns.chunks_exact(sum.len()) {
            sum.iter_mut().zip(column).for_each(|(s, v)| *s += *v * scale);
        }
    }
}

/// Those of a network, in the order of its parameters.
pub type Gradients<T> = BTreeMap<u64, Gradient<T>>;

/// Zeros of the shapes of all parameters.
pub fn gradients_like<T: Real>(parameters: &Arrays<T>) -> Gradients<T> {
    parameters.iter().map(|(stream, parameter)| (*stream, Gradient::like(parameter))).collect()
}

/// The gradient of these weights, where it is wanted.
pub fn gradient_of<'a, T: Real>(
    gradients: &'a mut Option<Gradients<T>>,
    parameter: &Parameter,
) -> Option<&'a mut Gradient<T>> {
    gradients.as_mut().and_then(|all| all.get_mut(&parameter.stream))
}
