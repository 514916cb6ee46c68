//! Largest entry or mean of windows; both commute with the signal's scale.

use super::pass::{Back, Layer, Pass, Value};
use super::window::Window;
use crate::observed::Observed;
use crate::real::Real;
use crate::signal::Signal;
use nalgebra::DMatrix;
use std::rc::Rc;

/// A pooling layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Where its windows lie.
    pub window: Window,
    /// What is taken of a window.
    pub of: Of,
}

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The largest entry on the image.
    Largest,
    /// The sum over the number of taps; zeros around the image count (PyTorch's default).
    Mean,
}

enum Tape {
    /// The position that each output came from.
    Largest(Pool, Vec<u32>),
    Mean(Pool),
}

crate::slice::for_each_machine! {
    /// Takes the entries at a position that are larger than the largest so far.
    fn raise<T: Real>(largest: &mut [T], places: &mut [u32], entries: &[T], position: u32) {
        for ((best, place), v) in largest.iter_mut().zip(places).zip(entries) {
            let larger = *v > *best;
            *best = if larger { *v } else { *best };
            *place = if larger { position } else { *place };
        }
    }
}

impl<T: Real> Layer<T> for Pool {
    fn forward(&self, x: Value<T>, pass: &mut Pass<T>) -> (Value<T>, Box<dyn Back<T>>) {
        let window = &self.window;
        let channels = x.signal.values.nrows();
        let count = window.windows() * pass.batch;
        let image = window.positions() * channels;
        let entries = x.signal.values.as_slice();
        let mut out = DMatrix::from_element(channels, count, T::ZERO);
        let mut places = match self.of {
            Of::Largest => vec![0u32; channels * count],
            Of::Mean => Vec::new(),
        };
        let share = T::of(1.0 / window.taps() as f64);
        let seen = window.positions_seen();
        for (index, column) in out.as_mut_slice().chunks_exact_mut(channels).enumerate() {
            let sample = &entries[index / window.windows() * image..][..image];
            for (tap, position) in seen[index % window.windows()].iter().enumerate() {
                let from = &sample[*position as usize * channels..][..channels];
                match self.of {
                    Of::Mean => column.iter_mut().zip(from).for_each(|(sum, v)| *sum += *v * share),
                    Of::Largest if tap == 0 => {
                        column.copy_from_slice(from);
                        places[index * channels..][..channels].fill(*position);
                    }
                    Of::Largest => {
                        let places = &mut places[index * channels..][..channels];
                        raise(column, places, from, *position);
                    }
                }
            }
        }
        let tape = match self.of {
            Of::Largest => Tape::Largest(*self, places),
            Of::Mean => Tape::Mean(*self),
        };
        (Rc::new(Observed::from(Signal::new(out, x.signal.exponent))), Box::new(tape))
    }
}

impl<T: Real> Back<T> for Tape {
    fn backward(self: Box<Self>, d: Signal<T>, pass: &mut Pass<T>) -> Signal<T> {
        let (Self::Largest(pool, _) | Self::Mean(pool)) = &*self;
        let window = &pool.window;
        let channels = d.values.nrows();
        let mut dx = DMatrix::from_element(channels, window.positions() * pass.batch, T::ZERO);
        let image = window.positions() * channels;
        let share = T::of(1.0 / window.taps() as f64);
        let seen = window.positions_seen();
        let entries = dx.as_mut_slice();
        for (index, column) in d.values.as_slice().chunks_exact(channels).enumerate() {
            let sample = &mut entries[index / window.windows() * image..][..image];
            match &*self {
                Self::Largest(_, places) => {
                    let places = &places[index * channels..][..channels];
                    for (channel, (v, place)) in column.iter().zip(places).enumerate() {
                        sample[*place as usize * channels + channel] += *v;
                    }
                }
                Self::Mean(_) => {
                    for position in &seen[index % window.windows()] {
                        let to = &mut sample[*position as usize * channels..][..channels];
                        to.iter_mut().zip(column).for_each(|(sum, v)| *sum += *v * share);
                    }
                }
            }
        }
        Signal::new(dx, d.exponent)
    }
}
