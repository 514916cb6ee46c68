//! Inner products of columns: `AᵀB` without the packing that a general product spends on it, and of a symmetric result one
//! half alone.

use super::Threads;
use crate::numeric::real::Real;
use nalgebra::DMatrix;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Columns of A and of B in a tile: their twelve sums and what they are made of fill the sixteen registers of AVX2.
const TALL: usize = 4;
const WIDE: usize = 3;
/// Rows of a panel, whose sums are in the entries' own precision: seven columns of it fit the first cache.
const PANEL: usize = 1024;
/// Columns of B in a strip: a multiple of [`TALL`] and [`WIDE`] that stays in the second cache.
const STRIP: usize = 48;

/// Products of each column of `a` with each of `b`, all of one length.
pub struct Tile<'a, T> {
    a: [&'a [T]; TALL],
    b: [&'a [T]; WIDE],
}

/// `[j][i]`: aᵢᵀbⱼ.
pub type Products<T> = [[T; TALL]; WIDE];

macro_rules! tile {
    ($t:ty, $cast:ident, $splat:ident, $mul_add:ident, $sum:ident) => {
        impl WithSimd for Tile<'_, $t> {
            type Output = Products<$t>;

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
                let (a, b) = (self.a.map(S::$cast), self.b.map(S::$cast));
                let steps = a[0].0.len();
                let [a0, a1, a2, a3] = a.map(|column| &column.0[..steps]);
                let [b0, b1, b2] = b.map(|column| &column.0[..steps]);
                let mut lanes = [[simd.$splat(0.0); TALL]; WIDE];
                for k in 0..steps {
                    let y = [b0[k], b1[k], b2[k]];
                    for (i, x) in [a0[k], a1[k], a2[k], a3[k]].into_iter().enumerate() {
                        for j in 0..WIDE {
                            lanes[j][i] = simd.$mul_add(x, y[j], lanes[j][i]);
                        }
                    }
                }
                std::array::from_fn(|j| {
                    std::array::from_fn(|i| {
                        let rest: $t = a[i].1.iter().zip(b[j].1).map(|(x, y)| x * y).sum();
                        simd.$sum(lanes[j][i]) + rest
                    })
                })
            }
        }
    };
}

tile!(f32, as_simd_f32s, splat_f32s, mul_add_f32s, reduce_sum_f32s);
tile!(f64, as_simd_f64s, splat_f64s, mul_add_f64s, reduce_sum_f64s);

/// The tile in single precision.
pub fn single(tile: Tile<f32>) -> Products<f32> {
    Arch::new().dispatch(tile)
}

/// The tile in double precision.
pub fn double(tile: Tile<f64>) -> Products<f64> {
    Arch::new().dispatch(tile)
}

/// Adds AᵀB (of A and B with equally many rows) to `sums`, column-major; of a symmetric result the entries on and above the
/// diagonal.
pub fn add_dots<T: Real>(
    sums: &mut [f64],
    a: &DMatrix<T>,
    b: &DMatrix<T>,
    symmetric: bool,
    threads: Threads,
) {
    let height = a.ncols();
    if height == 0 {
        return;
    }
    let strip = |(index, sums): (usize, &mut [f64])| {
        let columns = index * STRIP..(index * STRIP + sums.len() / height);
        for from in (0..a.nrows()).step_by(PANEL) {
            let rows = from..(from + PANEL).min(a.nrows());
            let tall = if symmetric { columns.end } else { height };
            for left in (0..tall).step_by(TALL) {
                // Places beyond the last hold the last column once more, and nobody takes what comes of it.
                let these = std::array::from_fn(|i| panel(a, (left + i).min(height - 1), &rows));
                let first = if symmetric { left.max(columns.start) / WIDE * WIDE } else { columns.start };
                for top in (first..columns.end).step_by(WIDE) {
                    let those = std::array::from_fn(|j| panel(b, (top + j).min(columns.end - 1), &rows));
                    let products = T::tile(Tile { a: these, b: those });
                    for j in top..(top + WIDE).min(columns.end) {
                        let last = (left + TALL).min(if symmetric { j + 1 } else { height });
                        let sums = &mut sums[(j - columns.start) * height..][..height];
                        for i in left..last {
                            sums[i] += products[j - top][i - left].to_f64();
                        }
                    }
                }
            }
        }
    };
    match threads {
        Threads::One => sums.chunks_mut(STRIP * height).enumerate().for_each(strip),
        Threads::All => sums.par_chunks_mut(STRIP * height).enumerate().for_each(strip),
    }
}

fn panel<'a, T: Real>(m: &'a DMatrix<T>, column: usize, rows: &std::ops::Range<usize>) -> &'a [T] {
    &m.as_slice()[column * m.nrows()..][rows.clone()]
}
