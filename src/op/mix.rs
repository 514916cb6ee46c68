//! Positions mixed by a given sparse matrix, the same for every sample and channel: yᵢ = Σⱼ Aᵢⱼ xⱼ.

use super::samples::each_sample;
use super::{Activations, Context, Operator, Parameter, Shapes, Unary, UnaryBackward};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::add_scaled;
use nalgebra::DMatrix;
use std::rc::Rc;
use std::sync::Arc;

/// A square matrix by its entries that are not zero, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    /// Where each row begins among the entries, and at last their number.
    starts: Vec<usize>,
    /// The column of each entry, and its value.
    entries: Vec<(u32, f64)>,
}

impl Sparse {
    /// Of so many rows, from row, column and value of each entry in the order of the rows.
    pub fn new(rows: usize, entries: impl IntoIterator<Item = (u32, u32, f64)>) -> Self {
        let mut counts = vec![0usize; rows + 1];
        let mut all = Vec::new();
        for (row, column, value) in entries {
            counts[row as usize + 1] += 1;
            all.push((column, value));
        }
        let starts = counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        Self { starts: starts.collect(), entries: all }
    }

    /// Entries of a row.
    pub fn row(&self, row: usize) -> &[(u32, f64)] {
        &self.entries[self.starts[row]..self.starts[row + 1]]
    }

    /// Rows, and columns.
    fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Row, column and value of each entry.
    fn all(&self) -> impl Iterator<Item = (u32, u32, f64)> {
        (0..self.rows())
            .flat_map(|row| self.row(row).iter().map(move |(column, v)| (row as u32, *column, *v)))
    }

    /// The same matrix with rows as columns.
    fn transposed(&self) -> Self {
        let mut all: Vec<_> = self.all().map(|(row, column, value)| (column, row, value)).collect();
        all.sort_by_key(|(row, column, _)| (*row, *column));
        Self::new(self.rows(), all)
    }

    /// A·X of each sample, a column of X for each position.
    fn times<T: Real>(&self, x: &Signal<T>, batch: usize, threads: Threads) -> Signal<T> {
        let (channels, columns) = x.values.shape();
        let size = channels * self.rows();
        let from = x.values.as_slice();
        let mut values = DMatrix::from_element(channels, columns, T::ZERO);
        each_sample(threads, batch, [values.as_mut_slice()], |sample, [out]| {
            let x = &from[sample * size..][..size];
            for (row, to) in out.chunks_exact_mut(channels).enumerate() {
                for (column, value) in self.row(row) {
                    add_scaled(to, &x[*column as usize * channels..][..channels], T::of(*value));
                }
            }
        });
        Signal::new(values, x.exponent)
    }
}

/// A product with a given matrix over positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    matrix: Arc<Sparse>,
    transposed: Arc<Sparse>,
}

impl Mix {
    /// With this matrix.
    pub fn new(matrix: Sparse) -> Self {
        Self { transposed: Arc::new(matrix.transposed()), matrix: Arc::new(matrix) }
    }
}

impl Operator for Mix {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        let channels = shapes.outputs.first().map_or(0, |shape| shape.channels);
        4.0 * channels as f64 * self.matrix.entries.len() as f64
    }
}

super::one_to_one!(Mix);

impl<T: Real> Unary<T> for Mix {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let out = self.matrix.times(&x.signal, context.batch, context.threads);
        (Rc::new(CachedSignal::from(out)), Box::new(self.clone()))
    }
}

impl<T: Real> UnaryBackward<T> for Mix {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        self.transposed.times(&d.signal, context.batch, context.threads)
    }
}
