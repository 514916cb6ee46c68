//! Matrix products at the speed of the machine.
//!
//! nalgebra's transposed products do not go through its fast kernel, so all three shapes that a layer needs call the
//! kernels of the `gemm` family with strides instead.

pub mod dots;
pub mod transpose;

use crate::numeric::real::Real;
use crate::numeric::slice::{add_widened, inner};
use dots::dots;
use gemm_common::Parallelism;
use nalgebra::{DMatrix, Dyn};
use std::mem::MaybeUninit;

/// How many threads a product may use. The result does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// This thread alone, as inside a trial that runs beside others.
    One,
    /// All threads of the pool, when one trial has the machine.
    All,
}

/// A matrix in a slice: rows, columns, and the strides of both.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: isize,
    column_stride: isize,
}

impl<'a, T: Real> View<'a, T> {
    /// Rows × columns from the start of a slice, column by column with `stride` entries from one to the next.
    ///
    /// # Panics
    /// When the slice does not hold them.
    pub fn of(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        let end = if rows == 0 || columns == 0 { 0 } else { (columns - 1) * stride + rows };
        assert!(end <= data.len() && (rows <= stride || columns <= 1), "a view beyond its slice");
        Self { data, rows, columns, row_stride: 1, column_stride: stride as isize }
    }

    /// All of a matrix.
    pub fn plain(m: &'a DMatrix<T>) -> Self {
        Self {
            data: m.as_slice(),
            rows: m.nrows(),
            columns: m.ncols(),
            row_stride: 1,
            column_stride: m.nrows() as isize,
        }
    }
}

impl<T> View<'_, T> {
    /// The transpose.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// From the first entry on, with the strides of rows and columns.
    pub fn parts(&self) -> (&[T], [usize; 2]) {
        (self.data, [self.row_stride as usize, self.column_stride as usize])
    }

    /// Entries column by column.
    pub fn entries(&self) -> impl Iterator<Item = T> + '_
    where
        T: Copy,
    {
        let place = |i: usize, j: usize| i as isize * self.row_stride + j as isize * self.column_stride;
        (0..self.columns).flat_map(move |j| (0..self.rows).map(move |i| self.data[place(i, j) as usize]))
    }

    /// Columns `from..to`.
    pub fn columns(&self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.columns, "columns beyond a view");
        let data = &self.data[(from * self.column_stride as usize).min(self.data.len())..];
        Self { data, columns: to - from, ..*self }
    }

    /// Rows `from..to`.
    pub fn rows(&self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.rows, "rows beyond a view");
        let data = &self.data[(from * self.row_stride as usize).min(self.data.len())..];
        Self { data, rows: to - from, ..*self }
    }
}

/// `c = alpha·a·b`, or `c + alpha·a·b` when `add`, with `c` the first entry of columns that lie `stride` apart.
///
/// # Safety
/// `c` must be valid for writes of `a.rows` entries in each of `b.columns` columns (and for reads when `add`), and not overlap
/// `a` or `b`.
unsafe fn product_into<T: Real>(
    c: *mut T,
    stride: usize,
    a: &View<T>,
    b: &View<T>,
    alpha: T,
    add: bool,
    threads: Threads,
) {
    assert_eq!(a.columns, b.rows, "inner dimensions");
    // SAFETY: by the caller's promise.
    if !add && transpose::pays(a, b) && unsafe { T::transposed_product(c, stride, a, b, alpha, threads) } {
        return;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // SAFETY: the strides are those of whole matrices, whose slices hold all their entries; `c` by the caller's promise.
    unsafe {
        T::product_kernel()(
            a.rows,
            b.columns,
            a.columns,
            c,
            stride as isize,
            1,
            add,
            a.data.as_ptr(),
            a.column_stride,
            a.row_stride,
            b.data.as_ptr(),
            b.column_stride,
            b.row_stride,
            if add { T::ONE } else { T::ZERO },
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn product<T: Real>(a: &View<T>, b: &View<T>, alpha: T, threads: Threads) -> DMatrix<T> {
    let (rows, columns) = (a.rows, b.columns);
    if rows == 0 || columns == 0 || a.columns == 0 {
        return DMatrix::from_element(rows, columns, T::ZERO);
    }
    let mut c = DMatrix::<MaybeUninit<T>>::uninit(Dyn(rows), Dyn(columns));
    // SAFETY: `c` has rows × columns entries side by side, and the product writes every one of them.
    unsafe {
        product_into(c.as_mut_ptr().cast::<T>(), rows, a, b, alpha, false, threads);
        c.assume_init()
    }
}

/// `C = alpha·A·B`, or `C + alpha·A·B` when `add`, with the columns of C `stride` entries apart from the start of a slice.
///
/// # Panics
/// When the slice does not hold them.
pub fn product_to<T: Real>(
    c: &mut [T],
    stride: usize,
    a: &View<T>,
    b: &View<T>,
    alpha: T,
    add: bool,
    threads: Threads,
) {
    if add && a.columns == 0 {
        return;
    }
    if !add {
        // SAFETY: what holds an entry may be taken for what may hold one; entries alone are written there.
        let new = unsafe { &mut *(std::ptr::from_mut(c) as *mut [MaybeUninit<T>]) };
        return product_into_new(new, stride, a, b, alpha, threads);
    }
    let (rows, columns) = (a.rows, b.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((columns - 1) * stride + rows <= c.len() && rows <= stride, "a product beyond its slice");
    // SAFETY: as for `product_into_new`.
    unsafe { product_into(c.as_mut_ptr(), stride, a, b, alpha, true, threads) }
}

/// `C = alpha·A·B` into memory that holds nothing yet, of which all of the product's places are written.
///
/// # Panics
/// When the slice does not hold them.
pub fn product_into_new<T: Real>(
    c: &mut [MaybeUninit<T>],
    stride: usize,
    a: &View<T>,
    b: &View<T>,
    alpha: T,
    threads: Threads,
) {
    let (rows, columns) = (a.rows, b.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((columns - 1) * stride + rows <= c.len() && rows <= stride, "a product beyond its slice");
    if a.columns == 0 {
        let zero =
            |column: &mut [MaybeUninit<T>]| column[..rows].iter_mut().for_each(|v| _ = v.write(T::ZERO));
        c.chunks_mut(stride).take(columns).for_each(zero);
        return;
    }
    // SAFETY: the slice holds rows entries in each of so many columns, and as it is borrowed alone it overlaps nothing.
    unsafe { product_into(c.as_mut_ptr().cast(), stride, a, b, alpha, false, threads) }
}

/// `alpha·A·B`: (m × k) · (k × n).
pub fn mul<T: Real>(a: &DMatrix<T>, b: &DMatrix<T>, alpha: T, threads: Threads) -> DMatrix<T> {
    product(&View::plain(a), &View::plain(b), alpha, threads)
}

/// `C += alpha·A·B`: (m × n), (m × k) · (k × n).
pub fn add_mul<T: Real>(c: &mut DMatrix<T>, a: &DMatrix<T>, b: &DMatrix<T>, alpha: T, threads: Threads) {
    assert_eq!(c.shape(), (a.nrows(), b.ncols()), "outer dimensions");
    if c.is_empty() || a.ncols() == 0 {
        return;
    }
    let rows = c.nrows();
    // SAFETY: `c` has the product's shape, its columns side by side.
    unsafe { product_into(c.as_mut_ptr(), rows, &View::plain(a), &View::plain(b), alpha, true, threads) }
}

/// `alpha·Aᵀ·B`: (k × m)ᵀ · (k × n).
pub fn tr_mul<T: Real>(a: &DMatrix<T>, b: &DMatrix<T>, alpha: T, threads: Threads) -> DMatrix<T> {
    /// Between these the inner products of columns take less time than the general product, which packs its factors first.
    const LONG: usize = 64;
    const NARROW: usize = 128;
    let (m, n) = (a.ncols(), b.ncols());
    if T::quick_dots() && a.nrows() >= LONG && m.max(n) <= NARROW && m.min(n) >= 4 {
        let mut sums = Vec::with_capacity(m * n);
        dots(&mut sums.spare_capacity_mut()[..m * n], a, b, false, threads);
        // SAFETY: every product is written, of at least LONG rows.
        unsafe { sums.set_len(m * n) };
        let alpha = alpha.to_f64();
        return DMatrix::from_iterator(m, n, sums.into_iter().map(|sum| T::of(alpha * sum)));
    }
    product(&View::plain(a).transposed(), &View::plain(b), alpha, threads)
}

/// `A·Bᵀ`: (m × k) · (n × k)ᵀ.
pub fn mul_tr<T: Real>(a: &DMatrix<T>, b: &DMatrix<T>, threads: Threads) -> DMatrix<T> {
    product(&View::plain(a), &View::plain(b).transposed(), T::ONE, threads)
}

/// `AᵀA`, the Gram matrix of the columns.
pub fn gram<T: Real>(a: &DMatrix<T>, threads: Threads) -> DMatrix<f64> {
    Triangle::gram(a, threads).whole()
}

/// A symmetric matrix, of which the entries on and above the diagonal are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Triangle {
    size: usize,
    /// Column behind column, each as far as the diagonal.
    entries: Vec<f64>,
}

impl Triangle {
    /// `AᵀA`, the Gram matrix of the columns.
    pub fn gram<T: Real>(a: &DMatrix<T>, threads: Threads) -> Self {
        let (rows, size) = a.shape();
        let count = size * (size + 1) / 2;
        if rows == 0 {
            return Self { size, entries: vec![0.0; count] };
        }
        let mut entries = Vec::with_capacity(count);
        dots(&mut entries.spare_capacity_mut()[..count], a, a, true, threads);
        // SAFETY: every place has been written.
        unsafe { entries.set_len(count) };
        Self { size, entries }
    }

    /// The sum over all entries of their products with another's of the same size: the trace of the matrices' product.
    pub fn inner(&self, other: &Self) -> f64 {
        assert_eq!(self.size, other.size, "matrices of two sizes");
        let diagonal =
            (0..self.size).map(|j| j * (j + 3) / 2).map(|place| self.entries[place] * other.entries[place]);
        2.0 * inner(&self.entries, &other.entries) - diagonal.sum::<f64>()
    }

    /// The whole matrix.
    pub fn whole(&self) -> DMatrix<f64> {
        let size = self.size;
        let mut whole = Vec::with_capacity(size * size);
        let places = &mut whole.spare_capacity_mut()[..size * size];
        let mut from = 0;
        for column in 0..size {
            let kept = &self.entries[from..=from + column];
            let above = places[column * size..].iter_mut().zip(kept);
            above.for_each(|(place, entry)| _ = place.write(*entry));
            from += column + 1;
        }
        mirror(places, size);
        // SAFETY: the entries on and above the diagonal have been copied, those below it are their mirror.
        unsafe { whole.set_len(size * size) };
        DMatrix::from_vec(size, size, whole)
    }
}

/// The same of a view, by strips of products.
pub fn gram_of<T: Real>(a: &View<T>, threads: Threads) -> DMatrix<f64> {
    /// Rows whose products are summed in their own precision; sums over more of them are doubles.
    const RUN: usize = 4096;
    let (left, right) = (a.transposed(), *a);
    let mut total = DMatrix::zeros(a.columns, a.columns);
    for from in (0..a.rows).step_by(RUN) {
        let to = (from + RUN).min(a.rows);
        add_gram(&mut total, &left.columns(from, to), &right.rows(from, to), threads);
    }
    let size = total.nrows();
    mirror(total.as_mut_slice(), size);
    total
}

/// `AAᵀ`, the Gram matrix of the rows.
pub fn gram_of_rows<T: Real>(a: &DMatrix<T>, threads: Threads) -> DMatrix<f64> {
    let mut total = DMatrix::zeros(a.nrows(), a.nrows());
    add_gram(&mut total, &View::plain(a), &View::plain(a).transposed(), threads);
    let size = total.nrows();
    mirror(total.as_mut_slice(), size);
    total
}

/// Adds the upper triangle of `left·right`, which is symmetric, in strips of columns.
fn add_gram<T: Real>(total: &mut DMatrix<f64>, left: &View<T>, right: &View<T>, threads: Threads) {
    let size = left.rows;
    if size == 0 || left.columns == 0 {
        return;
    }
    // Four strips leave out three eighths of the work and are still wide enough to be fast.
    let width = size.div_ceil(4).next_multiple_of(16);
    for from in (0..size).step_by(width) {
        let to = (from + width).min(size);
        let strip = product(&left.rows(0, to), &right.columns(from, to), T::ONE, threads);
        let sums = total.as_mut_slice()[from * size..to * size].chunks_exact_mut(size);
        for (sums, values) in sums.zip(strip.as_slice().chunks_exact(to)) {
            add_widened(&mut sums[..to], values);
        }
    }
}

/// Writes the upper triangle below the diagonal too, tile by tile: a whole row at once would miss the cache at every step.
fn mirror<V: Copy>(values: &mut [V], size: usize) {
    /// Doubles of a cache line.
    const SIDE: usize = 8;
    for left in (0..size).step_by(SIDE) {
        for top in (left..size).step_by(SIDE) {
            if top > left && top + SIDE <= size {
                let rows: [[V; SIDE]; SIDE] = std::array::from_fn(|row| {
                    let from = (top + row) * size + left;
                    std::array::from_fn(|column| values[from..from + SIDE][column])
                });
                (0..SIDE).for_each(|column| {
                    let to = (left + column) * size + top;
                    let turned: [V; SIDE] = std::array::from_fn(|row| rows[row][column]);
                    values[to..to + SIDE].copy_from_slice(&turned);
                });
                continue;
            }
            for column in left..(left + SIDE).min(size) {
                for row in top.max(column + 1)..(top + SIDE).min(size) {
                    values[column * size + row] = values[row * size + column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_shapes_agree_with_nalgebra() {
        let a = DMatrix::<f64>::from_fn(7, 5, |i, j| (i * 3 + j) as f64);
        let b = DMatrix::<f64>::from_fn(5, 4, |i, j| (i + 2 * j) as f64 - 3.0);
        for threads in [Threads::One, Threads::All] {
            assert_eq!(mul(&a, &b, 2.0, threads), &a * &b * 2.0);
            assert_eq!(tr_mul(&a.transpose(), &b, 1.0, threads), &a * &b);
            assert_eq!(mul_tr(&a, &b.transpose(), threads), &a * &b);
            let mut sum = &a * &b;
            add_mul(&mut sum, &a, &b, -2.0, threads);
            assert_eq!(sum, -(&a * &b));
        }
    }

    #[test]
    fn gram_matrices_of_any_size() {
        for size in [1, 2, 15, 16, 17, 47, 48, 49, 64, 65, 130] {
            for rows in [1, 9, 16, 1023, 1024, 1025] {
                let a = DMatrix::<f64>::from_fn(rows, size, |i, j| ((i * 31 + j * 17) % 13) as f64 - 6.0);
                let expected = a.transpose() * &a;
                assert_eq!(gram(&a, Threads::One), expected);
                assert_eq!(gram(&a, Threads::All), expected);
                assert_eq!(gram(&a.map(|v| v as f32), Threads::One), expected);
                if rows == 9 {
                    assert_eq!(gram_of_rows(&a.transpose(), Threads::All), expected);
                }
            }
        }
        let (a, b) = (
            DMatrix::from_fn(9, 50, |i, j| ((i * j) % 7) as f64),
            DMatrix::from_fn(5, 50, |i, j| (i + j % 3) as f64),
        );
        let (one, other) = (Triangle::gram(&a, Threads::One), Triangle::gram(&b, Threads::One));
        assert_eq!(one.inner(&other), one.whole().dot(&other.whole()));
        assert_eq!(gram(&DMatrix::<f32>::zeros(0, 3), Threads::One), DMatrix::zeros(3, 3));
        assert_eq!(gram(&DMatrix::<f32>::zeros(3, 0), Threads::One).shape(), (0, 0));
    }
}
