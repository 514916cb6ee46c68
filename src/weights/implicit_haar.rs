//! g times a Haar-distributed orthogonal W, never formed.
//!
//! Given W·P = g·V for orthonormal P and V, W maps the complement of P onto that of V by an independent Haar matrix. So a
//! query X = P·C + Q·Rᵀ is answered by g(V·C + U·Rᵀ), with U a uniform frame of V's complement: (I − VVᵀ)·ξ made orthonormal.
//! A query from the other side is the same with P and V exchanged, for Wᵀ·V = g·P. A rectangular layer is a block of a square
//! one: what goes in is padded with zeros, and the extra rows of what comes out are dropped.

use super::LinearMap;
use super::directions::{Basis, Split, split};
use crate::law::draw::{Standard, fill_query};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::Key;
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;

/// A square Haar matrix of size max(fan_in, fan_out), or the block of it that a layer is.
pub struct ImplicitHaar<T: Real> {
    fan_in: usize,
    fan_out: usize,
    key: Key,
    gain: Wide,
    /// P, on the input's side: W·Pᵢ = g·Vᵢ.
    right: Vec<Basis<T>>,
    /// V, on the output's side.
    left: Vec<Basis<T>>,
    queries: u32,
}

impl<T: Real> ImplicitHaar<T> {
    /// `gain` times a Haar matrix; nothing is drawn before it is needed.
    pub fn new(gain: f64, fan_in: usize, fan_out: usize, key: Key) -> Self {
        Self { fan_in, fan_out, key, gain: gain.into(), right: Vec::new(), left: Vec::new(), queries: 0 }
    }

    fn query(&mut self, x: &CachedSignal<T>, forward: bool, threads: Threads) -> Signal<T> {
        let size = self.fan_in.max(self.fan_out);
        let rows = if forward { self.fan_out } else { self.fan_in };
        let padded = (x.signal.values.nrows() < size).then(|| {
            let values = x.signal.values.clone().resize_vertically(size, T::ZERO);
            CachedSignal::from(Signal { values, exponent: x.signal.exponent })
        });
        let exponent = x.signal.exponent;
        let (same, other) =
            if forward { (&mut self.right, &mut self.left) } else { (&mut self.left, &mut self.right) };
        let Split { coordinates, mut basis, root } =
            split(padded.as_ref().unwrap_or(x), same.iter(), threads);
        let frame = frame(self.key, self.queries, size, basis.rank(), other, threads);
        // Where nothing but rounding is left of the complement, the least pivots go.
        basis.truncate(frame.rank());
        let root = root.columns(0, frame.rank()).map(T::of);
        let mut answer = frame.combine(&root.transpose(), threads);
        for (image, c) in other.iter().zip(&coordinates) {
            image.add(&mut answer, c, T::ONE, threads);
        }
        same.push(basis);
        other.push(frame);
        self.queries += 1;
        Signal::new(answer.resize_vertically(rows, T::ZERO), exponent)
    }
}

/// ξ (n × rank) without its part along `known`, made orthonormal: a uniform frame of the complement.
fn frame<T: Real>(
    key: Key,
    query: u32,
    size: usize,
    rank: usize,
    known: &[Basis<T>],
    threads: Threads,
) -> Basis<T> {
    let mut values = DMatrix::from_element(size, rank, T::ZERO);
    fill_query(values.as_mut_slice(), Standard::Normal, key, query, threads);
    let drawn = CachedSignal::from(Signal { values, exponent: 0 });
    split(&drawn, known.iter(), threads).basis
}

impl<T: Real> LinearMap<T> for ImplicitHaar<T> {
    fn forward(&mut self, x: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        self.query(x, true, threads).times(self.gain)
    }

    fn backward(&mut self, y: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        self.query(y, false, threads).times(self.gain)
    }

    /// Frames are not independent of what was asked, so they stay.
    fn release(&mut self) {}
}
