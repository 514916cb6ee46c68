//! What a trial costs, counted before it runs: by kinds of work, since machines do them at different rates.

use crate::law::Law;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

/// Counts of work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Operations of large matrix products.
    pub products: f64,
    /// Operations of products with a side as short as a batch.
    pub thin: f64,
    /// Normal draws.
    pub normals: f64,
    /// Draws of any other law.
    pub others: f64,
    /// Entries of what nodes make, forward and back.
    pub entries: f64,
    /// Operations of factors and spectra of Gram matrices.
    pub factors: f64,
}

/// Operations of a large product in the time of one of each kind, on a processor with AVX2. They choose the engine, so the same
/// experiment takes the same engine on every machine.
const THIN: f64 = 1.6;
const NORMAL: f64 = 60.0;
const OTHER: f64 = 300.0;
const ENTRY: f64 = 150.0;
const FACTOR: f64 = 8.0;

/// Operations of the factors of both sides' Gram matrices, of these ranks together, and of what passes over matrices of their size.
fn factors(columns: f64, ranks: f64) -> f64 {
    const PASSES: f64 = 16.0;
    2.5 * columns * columns * (ranks + PASSES)
}

impl Cost {
    /// All of it, in operations of a large matrix product.
    pub fn total(self) -> f64 {
        self.products
            + THIN * self.thin
            + NORMAL * self.normals
            + OTHER * self.others
            + ENTRY * self.entries
            + FACTOR * self.factors
    }

    /// Draws of every weight of an n × m matrix.
    pub fn drawing(law: Law, n: f64, m: f64) -> Self {
        match law {
            law if law.is_fixed() => Self::default(),
            Law::Normal { .. } => Self { normals: n * m, ..Self::default() },
            Law::Haar { .. } => Self { products: 3.0 * n.min(m) * n * m, others: n * m, ..Self::default() },
            Law::Mirrored { gain, .. } => {
                let (columns, rows) = law.block(n as usize, m as usize);
                Self::drawing(Law::Haar { gain }, columns as f64, rows as f64)
            }
            _ => Self { others: n * m, ..Self::default() },
        }
    }

    /// The two products of both passes with drawn weights, n columns and m rows, and the draws.
    pub fn dense(law: Law, n: f64, m: f64, columns: f64) -> Self {
        if law.is_fixed() {
            return Self { products: 4.0 * (n + m) * columns, ..Self::default() };
        }
        Self { products: 4.0 * n * m * columns, ..Self::default() } + Self::drawing(law, n, m)
    }

    /// The same with implicit weights: ξRᵀ, ξᵀD; Hᵀη, HC, ηSᵀ; a factor and its inverse for each side.
    pub fn implicit(law: Law, n: f64, m: f64, columns: f64) -> Self {
        if law.is_fixed() {
            return Self { products: 4.0 * (n + m) * columns, ..Self::default() };
        }
        let (r, s) = (columns.min(n), columns.min(m));
        let haar = if law.is_orthogonal() { 1.6 } else { 1.0 };
        Self {
            thin: haar * (4.0 * m * columns * r + 6.0 * n * columns * s),
            normals: haar * (m * r + n * s),
            factors: factors(columns, r + s),
            ..Self::default()
        }
    }

    /// The same unit by unit: Z once more for each of the two passes back, and the Gram matrix of Z.
    pub fn streamed(law: Law, n: f64, m: f64, columns: f64) -> Self {
        if law.is_fixed() {
            return Self { products: 4.0 * (n + m) * columns, ..Self::default() };
        }
        let haar = if law.is_orthogonal() { 1.3 } else { 1.0 };
        Self {
            thin: haar * (9.0 * m * columns * columns + 8.0 * n * columns * columns),
            normals: (3.0 * m + 2.0 * n) * columns,
            factors: factors(columns, columns.min(n) + columns.min(m)),
            ..Self::default()
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            products: self.products + other.products,
            thin: self.thin + other.thin,
            normals: self.normals + other.normals,
            others: self.others + other.others,
            entries: self.entries + other.entries,
            factors: self.factors + other.factors,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Cost {
    type Output = Self;

    fn mul(self, by: f64) -> Self {
        Self {
            products: self.products * by,
            thin: self.thin * by,
            normals: self.normals * by,
            others: self.others * by,
            entries: self.entries * by,
            factors: self.factors * by,
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}
