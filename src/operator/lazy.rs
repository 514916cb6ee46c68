//! What the lazy operators share: directions that a map has been asked about.

use super::factor::Factor;
use crate::observed::Observed;
use crate::product::{Threads, add_mul, mul, tr_mul};
use crate::real::Real;
use crate::signal::Signal;
use nalgebra::DMatrix;

/// Orthonormal directions Q = X·F (n × r), kept as the two factors.
pub struct Basis<T: Real> {
    columns: DMatrix<T>,
    whitener: DMatrix<T>,
}

impl<T: Real> Basis<T> {
    pub fn new(columns: DMatrix<T>, factor: &Factor) -> Self {
        Self { columns, whitener: factor.whitener.map(T::of) }
    }

    pub fn rank(&self) -> usize {
        self.whitener.ncols()
    }

    /// Qᵀ·Y, r × B.
    pub fn coordinates(&self, y: &DMatrix<T>, threads: Threads) -> DMatrix<T> {
        tr_mul(&self.whitener, &tr_mul(&self.columns, y, T::ONE, threads), T::ONE, Threads::One)
    }

    /// AᵀQ for A of as many rows, a × r.
    pub fn seen_by(&self, a: &DMatrix<T>, threads: Threads) -> DMatrix<T> {
        mul(&tr_mul(a, &self.columns, T::ONE, threads), &self.whitener, T::ONE, Threads::One)
    }

    /// Q·C, n × B.
    pub fn combine(&self, c: &DMatrix<T>, threads: Threads) -> DMatrix<T> {
        mul(&self.columns, &self.weights(c), T::ONE, threads)
    }

    /// `sum += sign·Q·C`.
    pub fn add(&self, sum: &mut DMatrix<T>, c: &DMatrix<T>, sign: T, threads: Threads) {
        add_mul(sum, &self.columns, &self.weights(c), sign, threads);
    }

    /// F·C.
    fn weights(&self, c: &DMatrix<T>) -> DMatrix<T> {
        mul(&self.whitener, c, T::ONE, Threads::One)
    }
}

/// A query without its part in known directions, and the known part's coordinates in each basis.
pub struct Split<T: Real> {
    /// X⊥, n × B.
    pub rest: Observed<T>,
    /// QᵢᵀX.
    pub coordinates: Vec<DMatrix<T>>,
    /// Of X⊥.
    pub factor: Factor,
}

/// Splits X (n × B, mantissas) along bases that are orthonormal to one another.
pub fn split<'a, T: Real>(
    x: &Observed<T>,
    bases: impl Iterator<Item = &'a Basis<T>>,
    threads: Threads,
) -> Split<T> {
    let scale = x.sums().square.iter().copied().fold(0.0, f64::max);
    let mut rest = x.signal.values.clone();
    let mut coordinates = Vec::new();
    for basis in bases {
        let mut c = basis.coordinates(&rest, threads);
        basis.add(&mut rest, &c, -T::ONE, threads);
        // Once more: what is left must be orthogonal to working precision (Kahan's "twice is enough").
        let again = basis.coordinates(&rest, threads);
        basis.add(&mut rest, &again, -T::ONE, threads);
        c += again;
        coordinates.push(c);
    }
    // With nothing known the Gram matrix that others share will do.
    if coordinates.is_empty() {
        let factor = Factor::of(x, Some(scale), threads);
        return Split { rest: Signal { values: rest, exponent: 0 }.into(), coordinates, factor };
    }
    let rest = Observed::from(Signal { values: rest, exponent: 0 });
    let factor = Factor::of(&rest, Some(scale), threads);
    Split { rest, coordinates, factor }
}
