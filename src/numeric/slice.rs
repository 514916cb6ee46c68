//! Loops over entries, compiled once for each generation of processors and chosen when the program runs.

use crate::numeric::real::Real;

/// Compiles a function for AVX-512, for AVX2 and for any machine. What it calls must be inlined to profit.
macro_rules! for_each_machine {
    ($(#[$meta:meta])* $visibility:vis fn $($rest:tt)*) => {
        #[multiversion::multiversion(targets(
            "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma",
            "x86_64+avx2+fma",
        ))]
        $(#[$meta])*
        $visibility fn $($rest)*
    };
    ($(#[$meta:meta])* $visibility:vis unsafe fn $($rest:tt)*) => {
        #[multiversion::multiversion(targets(
            "x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma",
            "x86_64+avx2+fma",
        ))]
        $(#[$meta])*
        $visibility unsafe fn $($rest)*
    };
}
pub(crate) use for_each_machine;

/// Independent sums that a loop keeps, so that it becomes SIMD.
const LANES: usize = 16;
/// Entries summed in their own precision before the sum goes to a double.
const RUN: usize = 256;

for_each_machine! {
    /// (Σv, Σv²) in double precision: two loops, for one that keeps both sums becomes shuffles rather than SIMD.
    pub fn sums<T: Real>(values: &[T]) -> (f64, f64) {
        (sum_of(values, #[inline(always)] |v| v), sum_of(values, #[inline(always)] |v| v * v))
    }
}

for_each_machine! {
    /// Σv in double precision.
    pub fn total<T: Real>(values: &[T]) -> f64 {
        sum_of(values, #[inline(always)] |v| v)
    }
}

#[inline(always)]
fn sum_of<T: Real>(values: &[T], of: impl Fn(T) -> T) -> f64 {
    let mut total = [0.0f64; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for run in chunks.chunks(RUN / LANES) {
        let mut lanes = [T::ZERO; LANES];
        for chunk in run {
            for i in 0..LANES {
                lanes[i] += of(chunk[i]);
            }
        }
        for i in 0..LANES {
            total[i] += lanes[i].to_f64();
        }
    }
    let rest: f64 = rest.iter().map(|v| of(*v).to_f64()).sum();
    total.iter().sum::<f64>() + rest
}

for_each_machine! {
    /// Σ a·b in double precision.
    pub fn inner<T: Real>(a: &[T], b: &[T]) -> f64 {
        let mut lanes = [0.0f64; LANES];
        let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a.to_f64() * b.to_f64()).sum();
        for (a, b) in a.zip(b) {
            for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += a.to_f64() * b.to_f64();
            }
        }
        rest + lanes.iter().sum::<f64>()
    }
}

for_each_machine! {
    /// Entries in double precision.
    pub fn widen<T: Real>(wide: &mut [f64], values: &[T]) {
        wide.iter_mut().zip(values).for_each(|(w, v)| *w = v.to_f64());
    }
}

for_each_machine! {
    /// sum += factor·values.
    pub fn add_scaled<T: Real>(sum: &mut [T], values: &[T], factor: T) {
        sum.iter_mut().zip(values).for_each(|(s, v)| *s += *v * factor);
    }
}

for_each_machine! {
    /// to = factor·values.
    pub fn copy_scaled<T: Real>(to: &mut [T], values: &[T], factor: T) {
        to.iter_mut().zip(values).for_each(|(to, v)| *to = *v * factor);
    }
}

for_each_machine! {
    /// sum += values, in double precision.
    pub fn add_widened<T: Real>(sum: &mut [f64], values: &[T]) {
        sum.iter_mut().zip(values).for_each(|(s, v)| *s += v.to_f64());
    }
}

for_each_machine! {
    /// Every entry times one factor and then another, whose product may be beyond the precision's range.
    pub fn scale<T: Real>(values: &mut [T], factor: T, then: T) {
        values.iter_mut().for_each(|v| *v = *v * factor * then);
    }
}

for_each_machine! {
    /// The largest magnitude, zero for an empty slice.
    pub fn max_abs<T: Real>(values: &[T]) -> T {
        let mut lanes = [T::ZERO; LANES];
        let chunks = values.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane = lane.max(v.abs());
            }
        }
        rest.iter().chain(&lanes).fold(T::ZERO, |top, v| top.max(v.abs()))
    }
}

for_each_machine! {
    /// The least and the largest of values that are not none, in a loop each, as [`sums`].
    pub fn range<T: Real>(values: &[T]) -> (T, T) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut low = [values[0]; LANES];
        for chunk in chunks {
            for i in 0..LANES {
                low[i] = low[i].min(chunk[i]);
            }
        }
        let mut high = [values[0]; LANES];
        for chunk in chunks {
            for i in 0..LANES {
                high[i] = high[i].max(chunk[i]);
            }
        }
        (
            rest.iter().chain(&low).fold(values[0], |least, v| least.min(*v)),
            rest.iter().chain(&high).fold(values[0], |most, v| most.max(*v)),
        )
    }
}

for_each_machine! {
    /// sum += scale·values, in double precision.
    pub fn accumulate<T: Real>(sum: &mut [f64], scale: f64, values: &[T]) {
        sum.iter_mut().zip(values).for_each(|(s, v)| *s += scale * v.to_f64());
    }
}

for_each_machine! {
    /// Raises `top` to the magnitudes of `values`, and counts those below `level`.
    pub fn max_abs_into<T: Real>(top: &mut [T], values: &[T], level: T) -> usize {
        let mut below = 0u32;
        for (top, v) in top.iter_mut().zip(values) {
            *top = top.max(v.abs());
            below += u32::from(v.abs() < level);
        }
        below as usize
    }
}

for_each_machine! {
    /// a ← a·b entry by entry; the largest magnitude of the products.
    pub fn multiply<T: Real>(a: &mut [T], b: &[T]) -> T {
        let mut lanes = [T::ZERO; LANES];
        let (mut chunks, others) = (a.chunks_exact_mut(LANES), b.chunks_exact(LANES));
        let rest = others.remainder();
        for (a, b) in (&mut chunks).zip(others) {
            for ((a, b), lane) in a.iter_mut().zip(b).zip(&mut lanes) {
                *a *= *b;
                *lane = lane.max(a.abs());
            }
        }
        for (a, b) in chunks.into_remainder().iter_mut().zip(rest) {
            *a *= *b;
            lanes[0] = lanes[0].max(a.abs());
        }
        lanes.iter().fold(T::ZERO, |top, v| top.max(*v))
    }
}

for_each_machine! {
    /// out = a·b entry by entry; the largest magnitude of the products.
    pub fn multiply_into<T: Real>(out: &mut [T], a: &[T], b: &[T]) -> T {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = *a * *b;
        }
        max_abs(out)
    }
}

for_each_machine! {
    /// sum += a·b, in double precision; the largest magnitude of the products.
    pub fn add_product<T: Real>(sum: &mut [f64], a: &[T], b: &[T]) -> T {
        let mut lanes = [T::ZERO; LANES];
        let length = sum.len().min(a.len()).min(b.len());
        let whole = length / LANES * LANES;
        for from in (0..whole).step_by(LANES) {
            for i in 0..LANES {
                let product = a[from + i] * b[from + i];
                sum[from + i] += product.to_f64();
                lanes[i] = lanes[i].max(product.abs());
            }
        }
        for i in whole..length {
            let product = a[i] * b[i];
            sum[i] += product.to_f64();
            lanes[0] = lanes[0].max(product.abs());
        }
        lanes.iter().fold(T::ZERO, |top, v| top.max(*v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_covered() {
        for length in [1usize, 2, 15, 16, 17, 255, 256, 257, 1000] {
            let v: Vec<f32> = (0..length).map(|k| ((k * 37) % 101) as f32 - 50.0).collect();
            let w: Vec<f32> = (0..length).map(|k| ((k * 53) % 89) as f32 - 44.0).collect();
            let total: f32 = v.iter().sum();
            let squares: f64 = v.iter().map(|x| f64::from(x * x)).sum();
            assert_eq!(sums(&v), (total.into(), squares));
            assert_eq!(super::total(&v), f64::from(total));
            let products: f64 = v.iter().zip(&w).map(|(a, b)| f64::from(a * b)).sum();
            assert_eq!(inner(&v, &w), products);
            let top = v.iter().fold(0.0, |top, x| f32::max(top, x.abs()));
            assert_eq!(max_abs(&v), top);
            let mut ascending = v.clone();
            ascending.sort_by(f32::total_cmp);
            assert_eq!(range(&v), (ascending[0], ascending[length - 1]));
            let mut sum = vec![1.0; length];
            accumulate(&mut sum, 2.0, &v);
            assert!(sum.iter().zip(&v).all(|(s, v)| *s == 1.0 + 2.0 * f64::from(*v)));
            let mut most = vec![7.0; length];
            assert_eq!(max_abs_into(&mut most, &v, 10.0), v.iter().filter(|x| x.abs() < 10.0).count());
            assert!(most.iter().zip(&v).all(|(m, v)| *m == v.abs().max(7.0)));
            let mut product = v.clone();
            let top = multiply(&mut product, &w);
            assert!(product.iter().zip(v.iter().zip(&w)).all(|(p, (a, b))| *p == a * b));
            assert_eq!(top, max_abs(&product));
            let mut again = vec![0.0; length];
            assert_eq!(multiply_into(&mut again, &v, &w), top);
            assert_eq!(again, product);
            let mut sum = vec![1.0; length];
            assert_eq!(add_product(&mut sum, &v, &w), top);
            assert!(sum.iter().zip(&product).all(|(s, p)| *s == 1.0 + f64::from(*p)));
        }
    }
}
