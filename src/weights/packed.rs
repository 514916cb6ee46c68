//! Several maps of one input as one, their outputs one below the other: query, key and value, or the gates of a recurrent layer.

use super::LinearMap;
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, stacked};

/// W = [W₁; W₂; …], (Σ fan_out) × fan_in.
pub struct Packed<T: Real> {
    parts: Vec<(usize, Box<dyn LinearMap<T>>)>,
}

impl<T: Real> Packed<T> {
    /// Of maps with their numbers of rows, first at the top.
    pub fn new(parts: Vec<(usize, Box<dyn LinearMap<T>>)>) -> Self {
        Self { parts }
    }
}

impl<T: Real> LinearMap<T> for Packed<T> {
    fn forward(&mut self, x: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        let parts: Vec<Signal<T>> = self.parts.iter_mut().map(|(_, map)| map.forward(x, threads)).collect();
        stacked(&parts)
    }

    fn backward(&mut self, y: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        let mut sum: Option<Signal<T>> = None;
        let mut first = 0;
        for (rows, map) in &mut self.parts {
            let values = y.signal.values.rows(first, *rows).into_owned();
            first += *rows;
            let part = map.backward(&Signal::new(values, y.signal.exponent).into(), threads);
            sum = Some(match sum {
                None => part,
                Some(sum) => sum.plus(part),
            });
        }
        sum.unwrap_or_else(|| y.signal.clone())
    }

    fn release(&mut self) {
        self.parts.iter_mut().for_each(|(_, map)| map.release());
    }
}
