//! Inner products of columns: `AᵀB` without the packing that a general product spends on it, and of a symmetric result one
//! half alone.

use super::Threads;
use crate::numeric::real::Real;
use nalgebra::DMatrix;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Columns of A in a tile, and columns of B: their twelve sums and what they are made of fill the sixteen registers of AVX2.
const TALL: usize = 4;
const WIDE: usize = 3;
/// Rows of a panel, whose sums are in the entries' own precision: a tile's columns of it fit the first cache.
const PANEL: usize = 1024;
/// Columns of B in a strip: a multiple of [`TALL`] and [`WIDE`] that stays in the second cache.
const STRIP: usize = 48;

/// `[j][i]`: aᵢᵀbⱼ.
type Products<T, const WIDE: usize> = [[T; TALL]; WIDE];

/// Some columns of AᵀB, which are to be written.
pub struct Strip<'a, T> {
    /// The columns, one behind the other; of a symmetric result each as far as the diagonal.
    sums: &'a mut [MaybeUninit<f64>],
    a: &'a DMatrix<T>,
    b: &'a DMatrix<T>,
    columns: Range<usize>,
    symmetric: bool,
}

impl<T: Real> Strip<'_, T> {
    /// Tile by tile, `WIDE` columns of B each.
    #[inline(always)]
    fn walk<const WIDE: usize>(self, tile: impl Fn([&[T]; TALL], [&[T]; WIDE]) -> Products<T, WIDE>) {
        let Self { sums, a, b, columns, symmetric } = self;
        let height = a.ncols();
        for from in (0..a.nrows()).step_by(PANEL) {
            let rows = from..(from + PANEL).min(a.nrows());
            let tall = if symmetric { columns.end } else { height };
            for left in (0..tall).step_by(TALL) {
                // Places beyond the last hold the last column once more, and nobody takes what comes of it.
                let these = std::array::from_fn(|i| panel(a, (left + i).min(height - 1), &rows));
                let first = if symmetric { left.max(columns.start) / WIDE * WIDE } else { columns.start };
                for top in (first..columns.end).step_by(WIDE) {
                    let those = std::array::from_fn(|j| panel(b, (top + j).min(columns.end - 1), &rows));
                    let products = tile(these, those);
                    for j in top..(top + WIDE).min(columns.end) {
                        let last = (left + TALL).min(if symmetric { j + 1 } else { height });
                        let sums = &mut sums[places(columns.start..j, height, symmetric)..];
                        let products = &products[j - top];
                        if from == 0 {
                            (left..last).for_each(|i| _ = sums[i].write(products[i - left].to_f64()));
                        } else {
                            for i in left..last {
                                // SAFETY: the first panel has written the same entries.
                                let sum = unsafe { sums[i].assume_init_mut() };
                                *sum += products[i - left].to_f64();
                            }
                        }
                    }
                }
            }
        }
    }
}

macro_rules! strip {
    ($t:ty, $cast:ident, $splat:ident, $mul_add:ident, $sum:ident) => {
        impl WithSimd for Strip<'_, $t> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                self.walk::<WIDE>(
                    #[inline(always)]
                    |a, b| {
                        let (a, b) = (a.map(S::$cast), b.map(S::$cast));
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
                    },
                );
            }
        }
    };
}

strip!(f32, as_simd_f32s, splat_f32s, mul_add_f32s, reduce_sum_f32s);
strip!(f64, as_simd_f64s, splat_f64s, mul_add_f64s, reduce_sum_f64s);

/// In single precision: on machines with AVX-512.
pub fn quick() -> bool {
    #[cfg(target_arch = "x86_64")]
    return pulp::x86::V4::try_new().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// In double precision on none.
pub fn slow() -> bool {
    false
}

/// Writes a strip in single precision.
pub fn single(strip: Strip<f32>) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return simd.vectorize(square::Square(simd, strip));
    }
    Arch::new().dispatch(strip);
}

/// Writes a strip in double precision.
pub fn double(strip: Strip<f64>) {
    Arch::new().dispatch(strip);
}

/// Tiles of 4 × 4 for the 32 registers of AVX-512, whose sixteen sums are reduced together: a register of sixteen lanes at a
/// time, that took a third of a tile's time.
#[cfg(target_arch = "x86_64")]
mod square {
    use super::{Products, Strip, TALL};
    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, Simd, cast};
    use std::arch::x86_64::__m512;

    pub struct Square<'a>(pub V4, pub Strip<'a, f32>);

    impl NullaryFnOnce for Square<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self(simd, strip) = self;
            strip.walk::<TALL>(
                #[inline(always)]
                |a, b| tile(simd, a, b),
            );
        }
    }

    type Lanes = [[__m512; TALL]; TALL];

    #[inline(always)]
    fn tile(simd: V4, a: [&[f32]; TALL], b: [&[f32]; TALL]) -> Products<f32, TALL> {
        let mut lanes = [[simd.avx512f._mm512_setzero_ps(); TALL]; TALL];
        let (a, b) = (a.map(V4::as_simd_f32s), b.map(V4::as_simd_f32s));
        let steps = a[0].0.len();
        let [a0, a1, a2, a3] = a.map(|column| &column.0[..steps]);
        let [b0, b1, b2, b3] = b.map(|column| &column.0[..steps]);
        for k in 0..steps {
            let y = [b0[k], b1[k], b2[k], b3[k]];
            for (i, x) in [a0[k], a1[k], a2[k], a3[k]].into_iter().enumerate() {
                for j in 0..TALL {
                    lanes[j][i] = cast(simd.mul_add_f32s(x, y[j], cast(lanes[j][i])));
                }
            }
        }
        if !a[0].1.is_empty() {
            add_few(simd, &mut lanes, a.map(|column| column.1), b.map(|column| column.1));
        }
        cast(sums(simd, cast(lanes)))
    }

    /// Adds the products of columns that fit one register each.
    #[inline(always)]
    fn add_few(simd: V4, lanes: &mut Lanes, a: [&[f32]; TALL], b: [&[f32]; TALL]) {
        let y = [few(simd, b[0]), few(simd, b[1]), few(simd, b[2]), few(simd, b[3])];
        for i in 0..TALL {
            let x = few(simd, a[i]);
            for j in 0..TALL {
                lanes[j][i] = simd.avx512f._mm512_fmadd_ps(x, y[j], lanes[j][i]);
            }
        }
    }

    /// At most fifteen entries, and zeros.
    #[inline(always)]
    fn few(simd: V4, values: &[f32]) -> __m512 {
        let mask = (1u16 << values.len().min(15)) - 1;
        // SAFETY: the mask leaves out what lies behind the slice.
        unsafe { simd.avx512f._mm512_maskz_loadu_ps(mask, values.as_ptr()) }
    }

    /// The sums of sixteen registers in one, in their order: half as many registers with each step. Loops, for closures would not
    /// be compiled for AVX-512.
    #[inline(always)]
    fn sums(simd: V4, v: [__m512; 16]) -> __m512 {
        let f = simd.avx512f;
        let zero = f._mm512_setzero_ps();
        // Of registers i and i + 4, or i + 8 and i + 12: two quarters each.
        let mut halves = [zero; 8];
        for (k, half) in halves.iter_mut().enumerate() {
            let i = if k < 4 { k } else { k + 4 };
            let (a, b) = (v[i], v[i + 4]);
            let (low, high) = (f._mm512_shuffle_f32x4::<0x44>(a, b), f._mm512_shuffle_f32x4::<0xee>(a, b));
            *half = f._mm512_add_ps(low, high);
        }
        // One quarter each of i, i + 4, i + 8 and i + 12.
        let mut quarters = [zero; 4];
        for i in 0..4 {
            let (a, b) = (halves[i], halves[i + 4]);
            let (even, odd) = (f._mm512_shuffle_f32x4::<0x88>(a, b), f._mm512_shuffle_f32x4::<0xdd>(a, b));
            quarters[i] = f._mm512_add_ps(even, odd);
        }
        let [a, b, c, d] = quarters;
        let ab = f._mm512_add_ps(f._mm512_unpacklo_ps(a, b), f._mm512_unpackhi_ps(a, b));
        let cd = f._mm512_add_ps(f._mm512_unpacklo_ps(c, d), f._mm512_unpackhi_ps(c, d));
        let (ab, cd) = (f._mm512_castps_pd(ab), f._mm512_castps_pd(cd));
        let (low, high) = (f._mm512_unpacklo_pd(ab, cd), f._mm512_unpackhi_pd(ab, cd));
        f._mm512_add_ps(f._mm512_castpd_ps(low), f._mm512_castpd_ps(high))
    }
}

/// Entries that are kept of so many columns.
#[inline(always)]
fn places(columns: Range<usize>, height: usize, symmetric: bool) -> usize {
    let triangle = |side: usize| side * (side + 1) / 2;
    match symmetric {
        true => triangle(columns.end) - triangle(columns.start),
        false => columns.len() * height,
    }
}

/// Writes AᵀB (of A and B with equally many rows, at least one) to `sums`, column-major; of a symmetric result the entries on
/// and above the diagonal alone, one column behind the other.
pub fn dots<T: Real>(
    sums: &mut [MaybeUninit<f64>],
    a: &DMatrix<T>,
    b: &DMatrix<T>,
    symmetric: bool,
    threads: Threads,
) {
    let height = a.ncols();
    if height == 0 {
        return;
    }
    let mut rest = sums;
    let strips = (0..b.ncols()).step_by(STRIP).map(|from| {
        let columns = from..(from + STRIP).min(b.ncols());
        let (sums, others) =
            std::mem::take(&mut rest).split_at_mut(places(columns.clone(), height, symmetric));
        rest = others;
        Strip { sums, a, b, columns, symmetric }
    });
    match threads {
        Threads::One => strips.for_each(T::write_strip),
        Threads::All => strips.collect::<Vec<_>>().into_par_iter().for_each(T::write_strip),
    }
}

#[inline(always)]
fn panel<'a, T: Real>(m: &'a DMatrix<T>, column: usize, rows: &Range<usize>) -> &'a [T] {
    &m.as_slice()[column * m.nrows()..][rows.clone()]
}
