//! Series in normalized Hermite polynomials of what an activation makes of a normal variable.

use super::field::Form;
use crate::activation::Activation;
use crate::numeric::quadrature::{Estimate, nodes};
use crate::numeric::slice::for_each_machine;

/// Orders at most; what they leave out is known from Parseval's identity.
const ORDERS: usize = 512;
/// Widest panel in which they are integrated.
const PANEL: f64 = 0.6;
/// Nodes side by side, so that loops over them become SIMD.
const LANES: usize = 8;

/// φ, φ′, φ², φ′², (φ − E φ)².
const FUNCTIONS: usize = 5;
/// Products of them over two samples, in the order of [`super::pair::Products`].
pub(super) const PRODUCTS: [(usize, usize); 6] = [(0, 0), (1, 1), (2, 2), (3, 3), (2, 3), (4, 4)];

/// Coefficients of φ, φ′, φ², φ′² and (φ − E φ)² at one mean and variance.
pub(super) struct Series {
    coefficients: Vec<[f64; FUNCTIONS]>,
    /// E f² for each.
    whole: [f64; FUNCTIONS],
    /// E f² − Σ a_k².
    missed: [f64; FUNCTIONS],
}

/// Nodes of the integrals, with the polynomials of the order at work and of the one before it.
#[derive(Clone, Copy)]
struct Block {
    z: [f64; LANES],
    here: [f64; LANES],
    before: [f64; LANES],
    /// Each function times the weight of its node.
    weighted: [[f64; LANES]; FUNCTIONS],
}

for_each_machine! {
    /// Coefficients of order k; the blocks go on to the next.
    fn step(blocks: &mut [Block], k: usize) -> [f64; FUNCTIONS] {
        let (root, next) = ((k as f64).sqrt(), 1.0 / ((k + 1) as f64).sqrt());
        let mut sums = [[0.0; LANES]; FUNCTIONS];
        for block in blocks {
            for (sum, weighted) in sums.iter_mut().zip(&block.weighted) {
                for lane in 0..LANES {
                    sum[lane] += block.here[lane] * weighted[lane];
                }
            }
            for lane in 0..LANES {
                let here = block.here[lane];
                block.here[lane] = (block.z[lane] * here - root * block.before[lane]) * next;
                block.before[lane] = here;
            }
        }
        sums.map(|sum| sum.iter().sum())
    }
}

impl Series {
    /// Of an activation over N(mean, q), where E φ is `center`.
    pub fn new(act: &Activation, mean: f64, q: f64, form: Form, center: f64) -> Self {
        let offset = form.at_zero(act);
        let nodes = nodes(mean, q, &form.kinks(act), PANEL);
        let nothing = [0.0; LANES];
        let empty = Block { z: nothing, here: [1.0; LANES], before: nothing, weighted: [nothing; FUNCTIONS] };
        let mut blocks = vec![empty; nodes.len().div_ceil(LANES)];
        let mut whole = [0.0; FUNCTIONS];
        for (place, (u, z, w)) in nodes.into_iter().enumerate() {
            let (value, slope) = form.at(act, u);
            let phi = value + offset;
            let (block, lane) = (&mut blocks[place / LANES], place % LANES);
            block.z[lane] = z;
            let all = [phi, slope, phi * phi, slope * slope, (phi - center).powi(2)];
            for (i, f) in all.into_iter().enumerate() {
                whole[i] += w * f * f;
                block.weighted[i][lane] = w * f;
            }
        }
        let mut missed = whole;
        let mut coefficients = Vec::new();
        for k in 0..=ORDERS {
            let a = step(&mut blocks, k);
            for i in 0..FUNCTIONS {
                missed[i] -= a[i] * a[i];
            }
            coefficients.push(a);
            // An odd φ has no even orders: two in a row must bring nothing.
            if (0..FUNCTIONS).all(|i| missed[i] <= 1e-15 * whole[i]) && k % 2 == 1 && k > 4 {
                break;
            }
        }
        Self { coefficients, whole, missed: missed.map(|m| m.max(0.0)) }
    }

    /// In the order of [`PRODUCTS`], each with the size that its error counts against.
    pub fn at(&self, c: f64) -> [(Estimate, f64); PRODUCTS.len()] {
        let mut sums = [0.0; PRODUCTS.len()];
        for a in self.coefficients.iter().rev() {
            for (sum, (i, j)) in sums.iter_mut().zip(PRODUCTS) {
                *sum = *sum * c + a[i] * a[j];
            }
        }
        let tail = c.abs().powi(self.coefficients.len() as i32);
        std::array::from_fn(|p| {
            let (i, j) = PRODUCTS[p];
            let size = (self.whole[i] * self.whole[j]).sqrt();
            let missed = (self.missed[i] * self.missed[j]).sqrt();
            (Estimate { value: sums[p], error: tail * missed + 1e-14 * size }, size)
        })
    }

    /// The squared second coefficient of φ², and the second derivatives by c of E φ²(u₁)φ²(u₂) and of
    /// E (φ(u₁) − E φ)²(φ(u₂) − E φ)² at correlation `c`.
    pub fn orders(&self, c: f64) -> [f64; 3] {
        let second = |i: usize| {
            let coefficients = self.coefficients.iter().enumerate().skip(2).rev();
            coefficients.fold(0.0, |sum, (k, a)| sum * c + (k * (k - 1)) as f64 * a[i] * a[i])
        };
        let norm = self.coefficients.get(2).map_or(0.0, |a| a[2] * a[2]);
        [norm, second(2), second(4)]
    }
}
