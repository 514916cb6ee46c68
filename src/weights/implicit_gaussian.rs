//! W with independent N(mean, std²) entries, never formed: products are drawn from their joint law.
//!
//! Given W·P = A and Wᵀ·L = B for orthonormal P and L, what is left of a standard Gaussian W is W̃ between the complements
//! of L and P, W̃ an independent copy (Bolthausen 2014; Bayati & Montanari 2011, lemma 10). A query X = P·C + Q·Rᵀ, with Q
//! orthonormal and orthogonal to P, is therefore answered by A·C + A′·Rᵀ, A′ = L·(BᵀQ) + (I − LLᵀ)·ξ, with ξ fresh:
//! O(B²n) operations and O(Bn) draws, exact in distribution however often the map is queried from either side.

use super::directions::{Basis, Split, split};
use super::{LinearMap, rank_one};
use crate::law::draw::{Standard, query_matrix};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, add_mul, mul_tr};
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::max_abs;
use crate::numeric::stream::Key;
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;
use std::borrow::Cow;

/// W = scale·U + mean·11ᵀ with U standard Gaussian.
pub struct ImplicitGaussian<T: Real> {
    key: Key,
    scale: Wide,
    mean: Wide,
    /// Directions of the input side, with U·Q.
    right: Side<T>,
    /// Directions of the output side, with Uᵀ·Q.
    left: Side<T>,
    queries: u32,
}

struct Side<T: Real> {
    size: usize,
    known: Vec<Known<T>>,
}

/// A query, X = Σ Pᵢ·Cᵢ + Q·Rᵀ with the bases Pᵢ of those before it, and what its new directions Q are mapped to.
struct Known<T: Real> {
    basis: Basis<T>,
    image: Image<T>,
    /// C.
    coordinates: Vec<DMatrix<T>>,
    /// R.
    root: DMatrix<T>,
    /// Of X.
    fingerprint: u64,
}

/// The image of a basis: its draws, and the parts along the other side's bases that belong to it.
struct Image<T: Real> {
    query: u32,
    draws: Option<DMatrix<T>>,
    /// Coefficients of the first bases of the other side.
    along: Vec<DMatrix<T>>,
}

impl<T: Real> ImplicitGaussian<T> {
    /// Entries N(mean, std²); nothing is drawn before it is needed, and nothing at all for a std of zero.
    pub fn new(mean: f64, std: f64, fan_in: usize, fan_out: usize, key: Key) -> Self {
        Self {
            key,
            scale: std.into(),
            mean: mean.into(),
            right: Side { size: fan_in, known: Vec::new() },
            left: Side { size: fan_out, known: Vec::new() },
            queries: 0,
        }
    }

    fn query(&mut self, x: &CachedSignal<T>, forward: bool, threads: Threads) -> Signal<T> {
        let rows = if forward { self.left.size } else { self.right.size };
        let mean = || rank_one(x, rows, self.mean);
        if self.scale.is_zero() {
            return mean();
        }
        let mean = (!self.mean.is_zero()).then(mean);
        let (same, other) =
            if forward { (&mut self.right, &mut self.left) } else { (&mut self.left, &mut self.right) };
        let fingerprint = fingerprint(x);
        let asked = same.known.iter().enumerate().position(|(place, known)| {
            known.fingerprint == fingerprint && repeats(&x.signal.values, place, same, threads)
        });
        let place = asked.unwrap_or(same.known.len());
        if asked.is_none() {
            let known = learn(self.key, self.queries, x, same, other, threads);
            same.known.push(Known { fingerprint, ..known });
            self.queries += 1;
        }
        let answer = answer(self.key, place, same, other, threads);
        let answer = Signal::new(answer, x.signal.exponent).times(self.scale);
        match mean {
            Some(mean) => answer.plus(mean),
            None => answer,
        }
    }
}

/// What a query's new directions are mapped to.
fn learn<T: Real>(
    key: Key,
    query: u32,
    x: &CachedSignal<T>,
    same: &Side<T>,
    other: &Side<T>,
    threads: Threads,
) -> Known<T> {
    let Split { coordinates, basis, root } = split(x, same.known.iter().map(|k| &k.basis), threads);
    let fresh = draws(key, query, other.size, basis.rank(), threads);
    let along = other.known.iter().map(|known| {
        // (BᵀQ − Lᵀξ), r × r.
        let image = known.image.resolved(key, &same.known, same.size, known.basis.rank(), threads);
        basis.seen_by(&image, threads) - known.basis.coordinates(&fresh, threads)
    });
    let along = along.collect();
    let image = Image { query, draws: Some(fresh), along };
    Known { basis, image, coordinates, root: root.map(T::of), fingerprint: 0 }
}

/// U·X of the query at this place, the same bits whenever it is asked for.
fn answer<T: Real>(key: Key, place: usize, same: &Side<T>, other: &Side<T>, threads: Threads) -> DMatrix<T> {
    let Known { basis, image, coordinates, root, .. } = &same.known[place];
    let mut answer = mul_tr(&image.drawn(key, other.size, basis.rank(), threads), root, threads);
    for (known, part) in other.known.iter().zip(&image.along) {
        known.basis.add(&mut answer, &mul_tr(part, root, Threads::One), T::ONE, threads);
    }
    for (known, c) in same.known.iter().zip(coordinates) {
        let image = known.image.resolved(key, &other.known, other.size, known.basis.rank(), threads);
        add_mul(&mut answer, &image, c, T::ONE, threads);
    }
    answer
}

/// A number of the column sums of a batch, which are known anyway. A batch that is asked about again, as by a forward pass that is
/// computed twice, has the same. Multiplicative hashing (Knuth, vol. 3, § 6.4).
fn fingerprint<T: Real>(x: &CachedSignal<T>) -> u64 {
    /// 2⁶⁴ over the golden ratio.
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, bits: u64| (hash ^ bits).wrapping_mul(FACTOR).rotate_left(29);
    let sums = x.sums();
    let bits = sums.plain.iter().chain(&sums.square).map(|sum| sum.to_bits());
    bits.fold(x.signal.values.ncols() as u64, mix)
}

/// X is the query at this place, which is put together from its directions: column sums do not tell batches apart whose rows
/// have changed places. What is alike to working precision may have one answer.
fn repeats<T: Real>(x: &DMatrix<T>, place: usize, same: &Side<T>, threads: Threads) -> bool {
    const ROUNDING: f64 = 1e4;
    let Known { basis, coordinates, root, .. } = &same.known[place];
    if root.nrows() != x.ncols() {
        return false;
    }
    let mut rest = x.clone();
    for (known, c) in same.known.iter().zip(coordinates) {
        known.basis.add(&mut rest, c, -T::ONE, threads);
    }
    basis.add(&mut rest, &root.transpose(), -T::ONE, threads);
    max_abs(rest.as_slice()).to_f64() <= ROUNDING * T::EPSILON * max_abs(x.as_slice()).to_f64()
}

fn draws<T: Real>(key: Key, query: u32, rows: usize, columns: usize, threads: Threads) -> DMatrix<T> {
    query_matrix((rows, columns), Standard::Normal, key, query, threads)
}

impl<T: Real> Image<T> {
    /// n × r: the draws, from memory or once more from their stream.
    fn drawn(&self, key: Key, size: usize, rank: usize, threads: Threads) -> Cow<'_, DMatrix<T>> {
        match &self.draws {
            Some(draws) => Cow::Borrowed(draws),
            None => Cow::Owned(draws(key, self.query, size, rank, threads)),
        }
    }

    /// n × r: the draws, and what lies along the other side's bases.
    fn resolved(
        &self,
        key: Key,
        others: &[Known<T>],
        size: usize,
        rank: usize,
        threads: Threads,
    ) -> Cow<'_, DMatrix<T>> {
        let mut image = self.drawn(key, size, rank, threads);
        for (other, part) in others.iter().zip(&self.along) {
            other.basis.add(image.to_mut(), part, T::ONE, threads);
        }
        image
    }
}

impl<T: Real> LinearMap<T> for ImplicitGaussian<T> {
    fn forward(&mut self, x: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        self.query(x, true, threads)
    }

    fn backward(&mut self, y: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        self.query(y, false, threads)
    }

    fn release(&mut self) {
        self.right.known.iter_mut().chain(&mut self.left.known).for_each(|known| known.image.draws = None);
    }
}
