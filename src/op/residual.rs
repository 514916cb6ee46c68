//! around + scale·branch: the sum that ends a residual block.

use super::{Activations, Backward, Context, Forward, Nature, Operator, exactly};
use crate::numeric::cached::Observed;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::wide::Wide;
use std::rc::Rc;

/// The sum of a branch, its first input, and what passes around it, its second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// Factor of the branch.
    pub scale: f64,
}

impl Operator for Residual {
    fn nature(&self) -> Nature<'_> {
        Nature::Residual
    }
}

fn scaled<T: Real>(signal: Signal<T>, scale: f64) -> Signal<T> {
    if scale == 1.0 { signal } else { signal.times(Wide::from(scale)) }
}

impl<T: Real> Forward<T> for Residual {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        _: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let [branch, around] = exactly(inputs).map(|value: Activations<T>| {
            Rc::try_unwrap(value).map_or_else(|shared| shared.signal.clone(), |value| value.signal)
        });
        let sum = Observed::from(scaled(branch, self.scale).plus(around));
        (vec![Rc::new(sum)], Box::new(*self))
    }
}

impl<T: Real> Backward<T> for Residual {
    fn backward(self: Box<Self>, gradients: Vec<Observed<T>>, _: &mut Context<T>) -> Vec<Signal<T>> {
        let [d] = exactly(gradients);
        vec![scaled(d.signal.clone(), self.scale), d.signal]
    }
}
