//! A Gram matrix as K = R·Rᵀ, and what makes its columns orthonormal.

use crate::numeric::cached::CachedSignal;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::slice::{for_each_machine, range};
use nalgebra::DMatrix;

/// K = XᵀX (B × B, of rank r) as R·Rᵀ, with Q = X·F orthonormal.
pub struct Factor {
    /// R, B × r; X = Q·Rᵀ.
    pub root: DMatrix<f64>,
    /// F, B × r; zero but in the rows of the r samples that were chosen as pivots.
    pub whitener: DMatrix<f64>,
    /// Pivots so small that F amplifies single-precision rounding beyond use.
    pub nearly_collinear: bool,
}

/// Pivots below this share of the largest squared norm are rounding: single-precision data, sums in double precision.
const CUT: f64 = 1e-13;
/// Single-precision Gram matrices of blocks are wrong by about 10⁻⁷; a pivot below this wants double precision.
const DOUBTFUL: f64 = 1e-4;
/// Pivots within this factor of the largest are as good.
const SIMILAR: f64 = 16.0;
/// A factor whose rank is this part of its size takes no room for more.
const FEW: usize = 8;
/// Columns of a smaller squared norm have their products summed in double precision.
const LEGIBLE: f64 = 1e-24;

impl Factor {
    /// Of a batch, whose Gram matrix is computed again in double precision where samples are nearly collinear.
    ///
    /// `squares` are the squared norms that the rounding of each column is relative to: by default the columns' own. A column
    /// that is far smaller than others counts as much as they do, for its answer is asked for too: a gradient that vanishes over
    /// the steps of a sequence has columns of any size.
    pub fn of<T: Real>(x: &CachedSignal<T>, squares: Option<&[f64]>, threads: Threads) -> Self {
        let squares = squares.unwrap_or(&x.sums().square);
        let columns = squares.iter().filter(|square| **square > 0.0).count();
        // Single-precision products of entries as small as these lose digits.
        let legible = squares.iter().all(|square| *square == 0.0 || *square > LEGIBLE);
        if legible {
            let quick = Self::relative(x.gram(threads).whole(), squares, DOUBTFUL);
            if quick.rank() == columns {
                return quick;
            }
        }
        Self { nearly_collinear: true, ..Self::relative(x.precise_gram(threads), squares, CUT) }
    }

    /// Pivots are relative to these squared norms of the columns; a column of norm zero is left out.
    fn relative(gram: DMatrix<f64>, squares: &[f64], cut: f64) -> Self {
        let inverse: Vec<f64> =
            squares.iter().map(|s| if *s > 0.0 { s.sqrt().recip() } else { 0.0 }).collect();
        let size = gram.nrows().max(1);
        let mut scaled = gram;
        for (column, one) in scaled.as_mut_slice().chunks_exact_mut(size).zip(&inverse) {
            column.iter_mut().zip(&inverse).for_each(|(v, inverse)| *v *= inverse * one);
        }
        let mut factor = Self::new(&scaled, 1.0, cut);
        let norms: Vec<f64> = squares.iter().map(|square| square.sqrt()).collect();
        for (matrix, factors) in [(&mut factor.root, &norms), (&mut factor.whitener, &inverse)] {
            for column in matrix.as_mut_slice().chunks_exact_mut(size) {
                column.iter_mut().zip(factors).for_each(|(v, by)| *v *= by);
            }
        }
        factor
    }

    /// Of a Gram matrix that was summed in double precision (`precise`) or from single-precision blocks; `None` where the
    /// latter does not tell nearly collinear samples from rounding.
    pub fn of_gram(gram: &DMatrix<f64>, precise: bool) -> Option<Self> {
        let scale = largest_square(gram);
        let factor = Self::new(gram, scale, if precise { CUT } else { DOUBTFUL });
        (precise || scale == 0.0 || factor.rank() == gram.nrows()).then_some(factor)
    }

    /// Of what a batch has beside known directions: its Gram matrix less that of its part along them.
    pub fn beside(gram: &DMatrix<f64>, along: DMatrix<f64>, precise: bool) -> Self {
        let scale = largest_square(gram);
        // The difference is as wrong as its terms.
        Self::new(&(gram - along), scale, if precise { 10.0 * CUT } else { 1e-6 })
    }

    /// Cholesky until the largest remaining pivot falls below `cut·scale`. The next pivot is the first that is nearly as large:
    /// the columns keep their order unless some nearly depend on others, so what is drawn does not depend on the rounding of
    /// pivots that are alike.
    pub fn new(gram: &DMatrix<f64>, scale: f64, cut: f64) -> Self {
        Self::pivoted(gram, |left| {
            let largest = range(left).1;
            let found = || left.iter().position(|d| *d >= largest / SIMILAR);
            if largest > cut * scale { found() } else { None }
        })
    }

    /// Cholesky in the order of the columns, without those whose pivot is below `cut`.
    pub fn in_order(gram: &DMatrix<f64>, cut: f64) -> Self {
        Self::pivoted(gram, |left| left.iter().position(|d| *d > cut))
    }

    /// Cholesky; `next` chooses among the remaining diagonal, where what is done is −∞.
    fn pivoted(gram: &DMatrix<f64>, next: impl Fn(&[f64]) -> Option<usize>) -> Self {
        let size = gram.nrows();
        let mut left: Vec<f64> = (0..size).map(|j| gram[(j, j)]).collect();
        // Room for a batch that is much larger than its layer, and for all of any other.
        let few = size.div_ceil(FEW);
        let mut root: Vec<f64> = Vec::with_capacity(size * few);
        let mut pivots = Vec::with_capacity(size);
        while pivots.len() < size {
            let Some(pivot) = next(&left) else { break };
            let largest = left[pivot];
            let step = pivots.len();
            if step == few {
                root.reserve_exact(size * (size - few));
            }
            root.extend_from_slice(&gram.as_slice()[pivot * size..][..size]);
            let (done, column) = root.split_at_mut(step * size);
            let mut fours = done.chunks_exact(4 * size);
            for earlier in &mut fours {
                subtract_four(column, earlier, pivot);
            }
            for earlier in fours.remainder().chunks_exact(size) {
                subtract(column, earlier[pivot], earlier);
            }
            pivots.push(pivot);
            let scale = 1.0 / largest.sqrt();
            // What rounding leaves at earlier pivots is zero.
            pivots[..step].iter().for_each(|p| column[*p] = 0.0);
            scale_and_reduce(column, scale, &mut left);
            left[pivot] = f64::NEG_INFINITY;
        }
        let rank = pivots.len();
        root.shrink_to_fit();
        let root = DMatrix::from_vec(size, rank, root);
        // Column by column, in slices: element by element this took as long as the factor itself.
        let mut triangle = DMatrix::zeros(rank, rank);
        let columns = triangle
            .as_mut_slice()
            .chunks_exact_mut(rank.max(1))
            .zip(root.as_slice().chunks_exact(size.max(1)));
        for (j, (column, root)) in columns.enumerate() {
            column[j..].iter_mut().zip(&pivots[j..]).for_each(|(entry, pivot)| *entry = root[*pivot]);
        }
        let inverse = inverse_of_lower(&triangle);
        let mut whitener = DMatrix::zeros(size, rank);
        let entries = whitener.as_mut_slice();
        for (i, (pivot, column)) in
            pivots.iter().zip(inverse.as_slice().chunks_exact(rank.max(1))).enumerate()
        {
            for j in i..rank {
                entries[j * size + *pivot] = column[j];
            }
        }
        Self { root, whitener, nearly_collinear: false }
    }

    /// r.
    pub fn rank(&self) -> usize {
        self.root.ncols()
    }
}

/// The largest squared norm of a column, from its Gram matrix.
pub fn largest_square(gram: &DMatrix<f64>) -> f64 {
    gram.diagonal().iter().copied().fold(0.0, f64::max)
}

fn inverse_of_lower(l: &DMatrix<f64>) -> DMatrix<f64> {
    let size = l.nrows();
    let mut inverse = DMatrix::identity(size, size);
    for (j, column) in inverse.as_mut_slice().chunks_exact_mut(size.max(1)).enumerate() {
        for k in j..size {
            column[k] /= l[(k, k)];
            let (done, rest) = column.split_at_mut(k + 1);
            subtract(rest, done[k], &l.as_slice()[k * size + k + 1..(k + 1) * size]);
        }
    }
    inverse
}

for_each_machine! {
    /// a −= factor·b.
    fn subtract(a: &mut [f64], factor: f64, b: &[f64]) {
        a.iter_mut().zip(b).for_each(|(a, b)| *a -= factor * b);
    }
}

for_each_machine! {
    /// Scales a column of the root, and takes the squares of its entries from what is left.
    fn scale_and_reduce(column: &mut [f64], scale: f64, left: &mut [f64]) {
        for (v, d) in column.iter_mut().zip(left) {
            *v *= scale;
            *d -= *v * *v;
        }
    }
}

for_each_machine! {
    /// a −= Σ bₖ[at]·bₖ for four columns that lie one behind the other: a is read and written once.
    fn subtract_four(a: &mut [f64], columns: &[f64], at: usize) {
        let size = a.len();
        let (b, rest) = columns.split_at(size);
        let (c, rest) = rest.split_at(size);
        let (d, e) = rest.split_at(size);
        let factors = [b[at], c[at], d[at], e[at]];
        for ((((a, b), c), d), e) in a.iter_mut().zip(b).zip(c).zip(d).zip(e) {
            *a -= factors[0] * b + factors[1] * c + (factors[2] * d + factors[3] * e);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::signal::Signal;

    fn batch(rows: usize, columns: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| f64::sin((i * 7 + j * 13 + i * j) as f64))
    }

    fn check(x: DMatrix<f64>, rank: usize, tolerance: f64) {
        let gram = x.transpose() * &x;
        let f = Factor::of(&CachedSignal::from(Signal::new(x.clone(), 0)), None, Threads::One);
        assert_eq!(f.rank(), rank);
        let gap = (&f.root * f.root.transpose() - &gram).amax();
        assert!(gap <= 1e-9 * gram.amax(), "{gap} of {}", gram.amax());
        let q = &x * &f.whitener;
        assert!((q.transpose() * &q - DMatrix::identity(rank, rank)).amax() <= tolerance);
        assert!((&q * f.root.transpose() - &x).amax() <= tolerance * x.amax());
    }

    #[test]
    fn factors_of_any_rank() {
        check(batch(20, 6), 6, 1e-10);
        check(batch(6, 20), 6, 1e-9);
        let mut twice = batch(20, 6);
        let first = twice.column(0).into_owned();
        twice.set_column(3, &first);
        check(twice, 5, 1e-10);
        check(DMatrix::zeros(5, 3), 0, 1e-10);
        // Samples that differ in one part of a hundred thousand.
        let near = DMatrix::from_fn(50, 4, |i, j| 1.0 + 1e-5 * f64::sin((i * (j + 3)) as f64));
        check(near, 4, 1e-4);
    }
}
