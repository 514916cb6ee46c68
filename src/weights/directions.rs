//! What the implicit operators share: directions that a map has been asked about.

use super::factor::Factor;
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, add_mul, gram, mul, tr_mul};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, widened};
use nalgebra::DMatrix;
use std::borrow::Cow;

/// Orthonormal directions Q, n × r: as X·F, whose factors are there anyway, or themselves.
pub struct Basis<T: Real> {
    columns: DMatrix<T>,
    /// F; `None` for the identity.
    whitener: Option<DMatrix<T>>,
    rank: usize,
}

impl<T: Real> Basis<T> {
    /// The directions of X, and R with X = Q·Rᵀ.
    ///
    /// Where samples are nearly collinear F is so large that products with X·F in single precision are noise: Q is then formed
    /// in double precision and made orthonormal once more.
    fn new(columns: DMatrix<T>, factor: Factor) -> (Self, DMatrix<f64>) {
        let Factor { root, whitener, nearly_collinear } = factor;
        let rank = root.ncols();
        if !nearly_collinear {
            return (Self { columns, whitener: Some(whitener.map(T::of)), rank }, root);
        }
        let x = widened(&columns);
        let first = mul(&x, &whitener, 1.0, Threads::One);
        // In order, so that the least pivots stay the last.
        let again = Factor::in_order(&gram(&first, Threads::One), NOTHING);
        let q = mul(&first, &again.whitener, 1.0, Threads::One);
        let root = tr_mul(&x, &q, 1.0, Threads::One);
        (Self { columns: q.map(T::of), whitener: None, rank: q.ncols() }, root)
    }

    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Keeps the first directions alone.
    pub fn truncate(&mut self, rank: usize) {
        if rank < self.rank {
            self.rank = rank;
            let kept = self.whitener.as_mut().unwrap_or(&mut self.columns);
            *kept = kept.columns(0, rank).into_owned();
        }
    }

    /// Qᵀ·Y, r × B.
    pub fn coordinates(&self, y: &DMatrix<T>, threads: Threads) -> DMatrix<T> {
        let products = tr_mul(&self.columns, y, T::ONE, threads);
        match &self.whitener {
            Some(whitener) => tr_mul(whitener, &products, T::ONE, Threads::One),
            None => products,
        }
    }

    /// AᵀQ for A of as many rows, a × r.
    pub fn seen_by(&self, a: &DMatrix<T>, threads: Threads) -> DMatrix<T> {
        let products = tr_mul(a, &self.columns, T::ONE, threads);
        match &self.whitener {
            Some(whitener) => mul(&products, whitener, T::ONE, Threads::One),
            None => products,
        }
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
    fn weights<'a>(&self, c: &'a DMatrix<T>) -> Cow<'a, DMatrix<T>> {
        match &self.whitener {
            Some(whitener) => Cow::Owned(mul(whitener, c, T::ONE, Threads::One)),
            None => Cow::Borrowed(c),
        }
    }
}

/// No pivot of a matrix that is nearly the identity is as small.
const NOTHING: f64 = 1e-3;

/// A query in known directions and in new ones: X = Σ Qᵢ·Cᵢ + Q·Rᵀ.
pub struct Split<T: Real> {
    /// Cᵢ = QᵢᵀX.
    pub coordinates: Vec<DMatrix<T>>,
    /// Q.
    pub basis: Basis<T>,
    /// R, B × r.
    pub root: DMatrix<f64>,
}

/// Splits X (n × B, mantissas) along bases that are orthonormal to one another.
pub fn split<'a, T: Real>(
    x: &CachedSignal<T>,
    bases: impl Iterator<Item = &'a Basis<T>> + Clone,
    threads: Threads,
) -> Split<T> {
    let mut rest = x.signal.values.clone();
    let mut coordinates: Vec<DMatrix<T>> = Vec::new();
    // Twice over all bases: what is left must be orthogonal to working precision (Kahan's "twice is enough"), and what is taken
    // along one basis leaves rounding along the others.
    for sweep in 0..2 {
        for (place, basis) in bases.clone().enumerate() {
            let c = basis.coordinates(&rest, threads);
            basis.add(&mut rest, &c, -T::ONE, threads);
            if sweep == 0 { coordinates.push(c) } else { coordinates[place] += c }
        }
    }
    // With nothing known the Gram matrix that others share will do.
    let factor = if coordinates.is_empty() {
        Factor::of(x, None, threads)
    } else {
        let observed = CachedSignal::from(Signal { values: rest, exponent: 0 });
        let factor = Factor::of(&observed, Some(&x.sums().square), threads);
        rest = observed.signal.values;
        factor
    };
    let (basis, root) = Basis::new(rest, factor);
    Split { coordinates, basis, root }
}
