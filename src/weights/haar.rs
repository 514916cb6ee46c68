//! Haar-distributed orthonormal columns as a product of random reflections (Stewart 1980), in blocks.

use crate::numeric::product::{Threads, gram, mul, tr_mul};
use crate::numeric::real::Real;
use crate::numeric::stream::{Key, Part, Role};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::StandardNormal;

/// Reflections applied at once (compact WY form, Schreiber & Van Loan 1989): products of matrices do the work.
const BLOCK: usize = 32;

/// `rows × columns` with orthonormal columns, uniform among all such; needs `rows ≥ columns`.
///
/// Q = H₁·H₂⋯H_k·D on the first k unit vectors, where H_j reflects a Gaussian vector of length rows − j + 1 onto an axis
/// and D carries the signs that make R's diagonal positive: the law of Q in the QR factors of a Gaussian matrix.
pub fn orthonormal_columns<T: Real>(rows: usize, columns: usize, key: Key, threads: Threads) -> DMatrix<T> {
    assert!(rows >= columns, "more columns than rows cannot be orthonormal");
    let mut q = DMatrix::from_element(rows, columns, T::ZERO);
    for j in 0..columns {
        q[(j, j)] = T::ONE;
    }
    let mut signs = vec![T::ONE; columns];
    for start in (0..columns).step_by(BLOCK).rev() {
        let size = BLOCK.min(columns - start);
        let height = rows - start;
        let v = reflectors(height, size, start, key, &mut signs);
        // Rows above `start` are untouched by these reflections, and so are columns before it.
        let part: DMatrix<T> = q.view((start, start), (height, columns - start)).into_owned();
        let inner = tr_mul(&v, &part, T::ONE, threads);
        let change = mul(&v, &mul(&block_factor(&v), &inner, T::ONE, threads), T::ONE, threads);
        q.view_mut((start, start), (height, columns - start)).copy_from(&part.zip_map(&change, |a, b| a - b));
    }
    for (mut column, sign) in q.column_iter_mut().zip(signs) {
        column.iter_mut().for_each(|entry| *entry *= sign);
    }
    q
}

/// Householder vectors of Gaussian columns, one below the other, scaled to length √2 (so that H = I − vvᵀ).
fn reflectors<T: Real>(height: usize, size: usize, start: usize, key: Key, signs: &mut [T]) -> DMatrix<T> {
    let mut v = DMatrix::from_element(height, size, T::ZERO);
    for j in 0..size {
        let mut rng = key.stream(Role::Weights, Part::Block((start + j) as u64));
        let mut x: Vec<f64> = (j..height).map(|_| rng.sample(StandardNormal)).collect();
        let norm = x.iter().map(|e| e * e).sum::<f64>().sqrt();
        let sign = if x[0] < 0.0 { -1.0 } else { 1.0 };
        signs[start + j] = T::of(-sign);
        x[0] += sign * norm;
        let length = x.iter().map(|e| e * e).sum::<f64>().sqrt();
        let scale = std::f64::consts::SQRT_2 / length;
        v.view_mut((j, j), (height - j, 1))
            .iter_mut()
            .zip(&x)
            .for_each(|(entry, e)| *entry = T::of(e * scale));
    }
    v
}

/// T of H₁⋯H_b = I − V·T·Vᵀ: T⁻¹ is the upper triangle of VᵀV with its diagonal halved (Puglisi 1992).
fn block_factor<T: Real>(v: &DMatrix<T>) -> DMatrix<T> {
    let size = v.ncols();
    let gram = gram(v, Threads::One);
    let inverse = DMatrix::from_fn(size, size, |i, j| match i.cmp(&j) {
        std::cmp::Ordering::Less => gram[(i, j)],
        std::cmp::Ordering::Equal => 0.5 * gram[(i, i)],
        std::cmp::Ordering::Greater => 0.0,
    });
    let factor = inverse.solve_upper_triangular(&DMatrix::identity(size, size));
    factor.expect("the diagonal is one half of a squared length of two").map(T::of)
}
