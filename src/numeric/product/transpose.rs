//! Products whose left factor lies transposed, C = Aᵀ·B, as Cᵀ = Bᵀ·A.
//!
//! The general product copies its left factor into an order of its own, entry by entry where that lies transposed: for a layer of
//! 512 units and 64 samples as long as the product itself takes. Where B and C are smaller than A, it is cheaper to turn those,
//! sixteen by sixteen entries at a time in the registers of AVX-512.

use super::{Threads, View};
use crate::numeric::real::Real;

/// Fewer columns are left to the general product.
const LEAST: usize = 16;

/// Whether A lies transposed and is so large that B and C are transposed in less time.
pub fn pays<T: Real>(a: &View<T>, b: &View<T>) -> bool {
    let columns = b.columns as u128;
    (a.column_stride, b.row_stride) == (1, 1)
        && a.row_stride != 1
        && b.columns >= LEAST
        && columns * (a.rows as u128 + a.columns as u128) <= a.rows as u128 * a.columns as u128
}

/// Leaves the product to the general kernel.
///
/// # Safety
/// None is needed.
pub unsafe fn never(_: *mut f64, _: usize, _: &View<f64>, _: &View<f64>, _: f64, _: Threads) -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
pub use other::product;
#[cfg(target_arch = "x86_64")]
pub use registers::product;

#[cfg(not(target_arch = "x86_64"))]
mod other {
    use super::{Threads, View};

    /// Leaves the product to the general kernel.
    ///
    /// # Safety
    /// None is needed.
    pub unsafe fn product(_: *mut f32, _: usize, _: &View<f32>, _: &View<f32>, _: f32, _: Threads) -> bool {
        false
    }
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use super::{Threads, View};
    use crate::numeric::product::product_to;
    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, cast};
    use std::arch::x86_64::__m512;
    use std::cell::Cell;

    /// Columns of B that are transposed together: they and the columns of C stay in the second cache.
    const BLOCK: usize = 64;
    /// Side of a tile.
    const SIDE: usize = 16;

    thread_local! {
        /// The transposed B and C, so that their memory is not cleared for each product.
        static BUFFER: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    }

    /// `c = alpha·a·b` where the machine has AVX-512; whether it has.
    ///
    /// # Safety
    /// `c` must be valid for writes of `a.rows` entries in each of `b.columns` columns, `stride` entries apart, and not overlap
    /// `a` or `b`.
    pub unsafe fn product(
        c: *mut f32,
        stride: usize,
        a: &View<f32>,
        b: &View<f32>,
        alpha: f32,
        threads: Threads,
    ) -> bool {
        let Some(simd) = V4::try_new() else { return false };
        let (rows, inner) = (a.rows, a.columns);
        // Taken and given back, for a thread that waits in the product may begin another.
        let mut room = BUFFER.take();
        room.resize(room.len().max(BLOCK * (rows + inner)), 0.0);
        for from in (0..b.columns).step_by(BLOCK) {
            let width = (b.columns - from).min(BLOCK);
            let (samples, outputs) = room.split_at_mut(width * inner);
            let outputs = &mut outputs[..width * rows];
            let of_b = b.columns(from, from + width);
            // SAFETY: a block of B has `inner` entries in each of `width` columns, and its transposed form as many in all.
            unsafe {
                let (from, stride) = (of_b.data.as_ptr(), of_b.column_stride as usize);
                turn(simd, (samples.as_mut_ptr(), width), (from, stride), inner, width);
            }
            let transposed = View::of(samples, width, inner, width);
            product_to(outputs, width, &transposed, &a.transposed(), alpha, false, threads);
            // SAFETY: `outputs` holds `width` entries for each of `rows`, and `c` the same transposed by the caller's promise.
            unsafe {
                turn(simd, (c.add(from * stride), stride), (outputs.as_ptr(), width), width, rows);
            }
        }
        BUFFER.set(room);
        true
    }

    /// Writes rows × columns entries transposed; each matrix with the stride of its columns.
    ///
    /// # Safety
    /// Both must be valid for so many entries, and not overlap.
    unsafe fn turn(simd: V4, to: (*mut f32, usize), from: (*const f32, usize), rows: usize, columns: usize) {
        struct Turn {
            simd: V4,
            to: (*mut f32, usize),
            from: (*const f32, usize),
            rows: usize,
            columns: usize,
        }
        impl NullaryFnOnce for Turn {
            type Output = ();

            #[inline(always)]
            fn call(self) {
                let Self { simd, to, from, rows, columns } = self;
                let (whole_rows, whole_columns) = (rows / SIDE * SIDE, columns / SIDE * SIDE);
                let zero = simd.avx512f._mm512_setzero_ps();
                for column in (0..whole_columns).step_by(SIDE) {
                    for row in (0..whole_rows).step_by(SIDE) {
                        let mut tile = [zero; SIDE];
                        for (j, values) in tile.iter_mut().enumerate() {
                            // SAFETY: sixteen rows from `row` on are within a column of so many.
                            let entries = unsafe { from.0.add((column + j) * from.1 + row) };
                            *values = cast(unsafe { entries.cast::<[f32; SIDE]>().read_unaligned() });
                        }
                        let tile = transposed(simd, tile);
                        for (i, values) in tile.iter().enumerate() {
                            // SAFETY: likewise of the other matrix.
                            let entries = unsafe { to.0.add((row + i) * to.1 + column) };
                            unsafe { entries.cast::<[f32; SIDE]>().write_unaligned(cast(*values)) };
                        }
                    }
                }
                for column in 0..columns {
                    let first = if column < whole_columns { whole_rows } else { 0 };
                    for row in first..rows {
                        // SAFETY: both indices are within both matrices.
                        unsafe {
                            to.0.add(row * to.1 + column).write(from.0.add(column * from.1 + row).read());
                        }
                    }
                }
            }
        }
        simd.vectorize(Turn { simd, to, from, rows, columns });
    }

    /// Sixteen columns of a tile as its rows: pairs of entries, then fours, then the quarters of registers. Loops, for closures
    /// would not be compiled for AVX-512.
    #[inline(always)]
    fn transposed(simd: V4, v: [__m512; SIDE]) -> [__m512; SIDE] {
        let f = simd.avx512f;
        let mut pairs = v;
        for i in 0..8 {
            let (a, b) = (v[2 * i], v[2 * i + 1]);
            (pairs[2 * i], pairs[2 * i + 1]) = (f._mm512_unpacklo_ps(a, b), f._mm512_unpackhi_ps(a, b));
        }
        let mut fours = pairs;
        for i in [0, 1, 4, 5, 8, 9, 12, 13] {
            let (a, b) = (f._mm512_castps_pd(pairs[i]), f._mm512_castps_pd(pairs[i + 2]));
            let to = i / 4 * 4 + i % 4 * 2;
            fours[to] = f._mm512_castpd_ps(f._mm512_unpacklo_pd(a, b));
            fours[to + 1] = f._mm512_castpd_ps(f._mm512_unpackhi_pd(a, b));
        }
        let mut eights = fours;
        for i in [0, 1, 2, 3, 8, 9, 10, 11] {
            let (a, b) = (fours[i], fours[i + 4]);
            eights[i] = f._mm512_shuffle_f32x4::<0x88>(a, b);
            eights[i + 4] = f._mm512_shuffle_f32x4::<0xdd>(a, b);
        }
        let mut rows = eights;
        for i in 0..8 {
            let (a, b) = (eights[i], eights[i + 8]);
            rows[i] = f._mm512_shuffle_f32x4::<0x88>(a, b);
            rows[i + 8] = f._mm512_shuffle_f32x4::<0xdd>(a, b);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::product::{mul, tr_mul};
    use nalgebra::DMatrix;

    /// Whole numbers, whose sums are exact, in shapes with and without edges.
    #[test]
    fn turned_products_agree_with_plain_ones() {
        for (inner, rows, columns) in [(64, 64, 16), (70, 130, 33), (257, 65, 21), (512, 512, 130)] {
            let a = DMatrix::<f32>::from_fn(inner, rows, |i, j| ((i * 3 + j * 5) % 7) as f32 - 3.0);
            let b = DMatrix::<f32>::from_fn(inner, columns, |i, j| ((i + 2 * j) % 9) as f32 - 4.0);
            assert!(pays(&View::plain(&a).transposed(), &View::plain(&b)));
            let expected = mul(&a.transpose(), &b, 2.0, Threads::One);
            for threads in [Threads::One, Threads::All] {
                assert_eq!(tr_mul(&a, &b, 2.0, threads), expected, "{inner} {rows} {columns}");
            }
        }
    }
}
