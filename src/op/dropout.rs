//! Dropout as in training: entries pass with probability 1 − p, scaled by 1/(1 − p) (Srivastava et al. 2014, inverted).

use super::pass::{Back, Layer, Pass, Value};
use crate::numeric::cached::Observed;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::Role;
use rand::RngExt;
use std::rc::Rc;

/// A dropout layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of a zero, below 1.
    pub p: f64,
    /// Running number among the dropout layers, from 1: names its stream.
    pub stream: u64,
}

struct Tape {
    passes: Vec<bool>,
    scale: f64,
}

impl Tape {
    fn apply<T: Real>(&self, mut signal: Signal<T>) -> Signal<T> {
        let scale = T::of(self.scale);
        let entries = signal.values.as_mut_slice().iter_mut();
        entries.zip(&self.passes).for_each(|(v, passes)| *v = if *passes { *v * scale } else { T::ZERO });
        signal.normalised()
    }
}

impl<T: Real> Layer<T> for Dropout {
    fn forward(&self, x: Value<T>, pass: &mut Pass<T>) -> (Value<T>, Box<dyn Back<T>>) {
        if pass.evaluating {
            return (Rc::clone(&x), Box::new(Tape { passes: vec![true; x.signal.values.len()], scale: 1.0 }));
        }
        let mut rng = pass.key_of(self.stream).stream(Role::Dropout, 0);
        let passes = (0..x.signal.values.len()).map(|_| rng.random::<f64>() >= self.p).collect();
        let tape = Tape { passes, scale: 1.0 / (1.0 - self.p) };
        let out = tape.apply(x.signal.clone());
        (Rc::new(Observed::from(out)), Box::new(tape))
    }
}

impl<T: Real> Back<T> for Tape {
    fn backward(self: Box<Self>, d: Signal<T>, _: &mut Pass<T>) -> Signal<T> {
        self.apply(d)
    }
}
