//! Matrix products at the speed of the machine.
//!
//! nalgebra's transposed products do not go through its fast kernel, so all three shapes that a layer needs call the
//! `gemm` crate with strides instead.

use crate::real::Real;
use gemm::Parallelism;
use nalgebra::DMatrix;

/// How many threads a product may use. The result does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    One,
    All,
}

/// Rows, columns, and the strides of both.
struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: isize,
    column_stride: isize,
}

impl<'a, T: Real> View<'a, T> {
    fn plain(m: &'a DMatrix<T>) -> Self {
        Self {
            data: m.as_slice(),
            rows: m.nrows(),
            columns: m.ncols(),
            row_stride: 1,
            column_stride: m.nrows() as isize,
        }
    }

    fn transposed(m: &'a DMatrix<T>) -> Self {
        Self {
            data: m.as_slice(),
            rows: m.ncols(),
            columns: m.nrows(),
            row_stride: m.nrows() as isize,
            column_stride: 1,
        }
    }
}

fn product<T: Real>(a: &View<T>, b: &View<T>, threads: Threads) -> DMatrix<T> {
    assert_eq!(a.columns, b.rows, "inner dimensions");
    let mut c = DMatrix::from_element(a.rows, b.columns, T::ZERO);
    if a.rows == 0 || b.columns == 0 || a.columns == 0 {
        return c;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // SAFETY: the strides are those of whole matrices, whose slices hold rows × columns entries, and `c` is not aliased.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            c.as_mut_slice().as_mut_ptr(),
            a.rows as isize,
            1,
            false,
            a.data.as_ptr(),
            a.column_stride,
            a.row_stride,
            b.data.as_ptr(),
            b.column_stride,
            b.row_stride,
            T::ZERO,
            T::ONE,
            false,
            false,
            false,
            parallelism,
        );
    }
    c
}

/// `A·B`: (m × k) · (k × n).
pub fn mul<T: Real>(a: &DMatrix<T>, b: &DMatrix<T>, threads: Threads) -> DMatrix<T> {
    product(&View::plain(a), &View::plain(b), threads)
}

/// `Aᵀ·B`: (k × m)ᵀ · (k × n).
pub fn tr_mul<T: Real>(a: &DMatrix<T>, b: &DMatrix<T>, threads: Threads) -> DMatrix<T> {
    product(&View::transposed(a), &View::plain(b), threads)
}

/// `A·Bᵀ`: (m × k) · (n × k)ᵀ.
pub fn mul_tr<T: Real>(a: &DMatrix<T>, b: &DMatrix<T>, threads: Threads) -> DMatrix<T> {
    product(&View::plain(a), &View::transposed(b), threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_shapes_agree_with_nalgebra() {
        let a = DMatrix::<f64>::from_fn(7, 5, |i, j| (i * 3 + j) as f64);
        let b = DMatrix::<f64>::from_fn(5, 4, |i, j| (i + 2 * j) as f64 - 3.0);
        for threads in [Threads::One, Threads::All] {
            assert_eq!(mul(&a, &b, threads), &a * &b);
            assert_eq!(tr_mul(&a.transpose(), &b, threads), &a * &b);
            assert_eq!(mul_tr(&a, &b.transpose(), threads), &a * &b);
        }
    }
}
