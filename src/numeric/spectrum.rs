//! Eigenvalues of a symmetric matrix, without its vectors.
//!
//! A run of the default size asks for the spectra of 500 Gram matrices. Householder's reflections in whole columns and a tridiagonal
//! iteration without square roots give them in about a third of the time of nalgebra's general decomposition.

use crate::numeric::slice::{for_each_machine, inner};
use nalgebra::DMatrix;

/// Rotations that an eigenvalue may take; two are usual.
const MOST_SWEEPS: usize = 60;

/// All eigenvalues, in no order, each to some roundings of the largest; `None` of what is not finite.
pub fn eigenvalues(matrix: DMatrix<f64>) -> Option<Vec<f64>> {
    let size = matrix.nrows();
    let mut a = matrix;
    let (mut diagonal, mut squares) = (vec![0.0; size], vec![0.0; size]);
    tridiagonal(a.as_mut_slice(), &mut diagonal, &mut squares);
    iterate(&mut diagonal, &mut squares).then_some(diagonal)
}

for_each_machine! {
    /// A similar tridiagonal matrix: its diagonal, and the squares beside it. All of `a` is read, and lost.
    fn tridiagonal(a: &mut [f64], diagonal: &mut [f64], squares: &mut [f64]) {
        let size = diagonal.len();
        let (mut v, mut w) = (vec![0.0; size], vec![0.0; size]);
        for k in 0..size {
            diagonal[k] = a[k * size + k];
            let from = k + 1;
            if from >= size {
                break;
            }
            let rest = size - from;
            let column = &a[k * size + from..][..rest];
            let square = inner(column, column);
            squares[k] = square;
            let below = square - column[0] * column[0];
            if rest == 1 || below <= 0.0 {
                continue;
            }
            // v = x ± ‖x‖e₁ reflects x upon e₁; H = 1 − βvvᵀ.
            let (v, w) = (&mut v[..rest], &mut w[..rest]);
            v.copy_from_slice(column);
            v[0] += square.sqrt().copysign(column[0]);
            let beta = 2.0 / inner(v, v);
            w.fill(0.0);
            for (j, x) in v.iter().enumerate() {
                let x = beta * x;
                let column = &a[(from + j) * size + from..][..rest];
                w.iter_mut().zip(column).for_each(|(w, a)| *w += x * a);
            }
            let half = 0.5 * beta * inner(w, v);
            w.iter_mut().zip(v.iter()).for_each(|(w, v)| *w -= half * v);
            for j in 0..rest {
                let (of_v, of_w) = (w[j], v[j]);
                let column = &mut a[(from + j) * size + from..][..rest];
                for ((a, v), w) in column.iter_mut().zip(v.iter()).zip(w.iter()) {
                    *a -= of_v * v + of_w * w;
                }
            }
        }
    }
}

/// QL with Wilkinson's shift in the form of Pal, Walker and Kahan, which needs the squares alone (Parlett 1998, § 8.15). Whether it
/// came to its end.
fn iterate(d: &mut [f64], squares: &mut [f64]) -> bool {
    let size = d.len();
    let scale = d.iter().map(|x| x.abs()).chain(squares.iter().map(|x| x.sqrt())).fold(0.0, f64::max);
    if !scale.is_finite() || d.iter().chain(squares.iter()).any(|x| x.is_nan()) {
        return false;
    }
    if scale == 0.0 {
        return true;
    }
    // By a power of two to the order of one, which rounds nothing: products of three entries stay within range.
    let unit = libm::scalbn(1.0, libm::ilogb(scale).clamp(-1000, 1000));
    let inverse_unit = 1.0 / unit;
    d.iter_mut().for_each(|x| *x *= inverse_unit);
    squares.iter_mut().for_each(|x| *x = *x * inverse_unit * inverse_unit);
    let scale = scale * inverse_unit;
    let least = (0.5 * f64::EPSILON * scale).powi(2);
    for first in 0..size {
        let mut sweeps = 0;
        loop {
            // The block without a negligible entry beside its diagonal.
            let last = (first..size - 1).find(|k| squares[*k] <= least).unwrap_or(size - 1);
            if last == first {
                break;
            }
            sweeps += 1;
            if sweeps > MOST_SWEEPS {
                return false;
            }
            let beside = squares[first].sqrt();
            let sigma = (d[first + 1] - d[first]) / (2.0 * beside);
            let shift = d[first] - beside / (sigma + sigma.hypot(1.0).copysign(sigma));
            let (mut cosine, mut sine) = (1.0, 0.0);
            let mut gamma = d[last] - shift;
            let mut p = gamma * gamma;
            for k in (first..last).rev() {
                let square = squares[k];
                let r = p + square;
                if k + 1 < last {
                    squares[k + 1] = sine * r;
                }
                let before = cosine;
                // Each step waits for the one before: both divisions begin at once, and what follows them is short.
                let (inverse, of_p) = (if r > 0.0 { 1.0 / r } else { 0.0 }, 1.0 / p);
                let old = gamma;
                let numerator = p * (d[k] - shift) - square * old;
                gamma = if r > 0.0 { numerator * inverse } else { d[k] - shift };
                cosine = if r > 0.0 { p * inverse } else { 1.0 };
                sine = square * inverse;
                d[k + 1] = old + (d[k] - gamma);
                p = match cosine > 0.0 {
                    true if of_p.is_finite() && r > 0.0 => gamma * gamma * (r * of_p),
                    true => gamma * gamma / cosine,
                    false => before * square,
                };
            }
            squares[first] = sine * p;
            d[first] = shift + gamma;
        }
    }
    d.iter_mut().for_each(|x| *x *= unit);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::product::{Threads, gram};

    fn sorted(mut values: Vec<f64>) -> Vec<f64> {
        values.sort_by(f64::total_cmp);
        values
    }

    /// Against nalgebra's, to roundings of the largest.
    fn agrees(m: &DMatrix<f64>, what: &str) {
        let ours = sorted(eigenvalues(m.clone()).unwrap());
        let theirs = sorted(m.clone().symmetric_eigenvalues().iter().copied().collect());
        let top = theirs.iter().fold(0.0f64, |top, v| top.max(v.abs()));
        for (a, b) in ours.iter().zip(&theirs) {
            assert!((a - b).abs() <= 1e-13 * top * (m.nrows() as f64).sqrt(), "{what}: {a} {b} of {top}");
        }
    }

    #[test]
    fn spectra_of_all_kinds() {
        for size in [1, 2, 3, 5, 16, 64, 65] {
            for rows in [1, 2, size, 3 * size] {
                let h = DMatrix::from_fn(rows, size, |i, j| ((i * 37 + j * 101 + i * j) % 53) as f64 - 26.0);
                agrees(&gram(&h, Threads::One), &format!("gram of {rows} × {size}"));
            }
            let symmetric = DMatrix::from_fn(size, size, |i, j| ((i * j + i + j) % 17) as f64 - 8.0);
            agrees(&symmetric, &format!("indefinite {size}"));
            agrees(&DMatrix::zeros(size, size), "zeros");
            agrees(&DMatrix::from_element(size, size, 3.0), "ones");
            agrees(
                &DMatrix::from_diagonal(&nalgebra::DVector::from_fn(size, |i, _| (i % 3) as f64)),
                "diagonal",
            );
            // Samples that nearly agree: one large eigenvalue, all others far below.
            let near = DMatrix::from_fn(40, size, |i, j| 1.0 + 1e-7 * ((i * 13 + j * 29) % 11) as f64);
            agrees(&gram(&near, Threads::One), "nearly collinear");
            agrees(&(gram(&near, Threads::One) * 1e-140), "small");
            agrees(&(gram(&near, Threads::One) * 1e140), "large");
        }
        assert!(eigenvalues(DMatrix::from_element(3, 3, f64::NAN)).is_none());
        assert!(eigenvalues(DMatrix::from_element(3, 3, f64::INFINITY)).is_none());
    }
}
