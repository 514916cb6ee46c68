//! A batch with what has been found out of it, each once: sums and squares of its columns, its Gram matrix.

use crate::numeric::product::{Threads, Triangle, gram};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, widened};
use crate::numeric::slice::sums;
use nalgebra::DMatrix;
use std::cell::OnceCell;
use std::rc::Rc;

/// Σ and Σ² of each column (a sample), in units of the signal's power of two.
#[derive(Clone, Debug, Default)]
pub struct ColumnSums {
    /// Σ of the entries.
    pub plain: Vec<f64>,
    /// Σ of their squares.
    pub square: Vec<f64>,
}

/// A signal, n × B, beside what several rooms ask of it.
pub struct CachedSignal<T: Real> {
    /// The batch itself.
    pub signal: Signal<T>,
    sums: OnceCell<ColumnSums>,
    gram: OnceCell<Rc<Triangle>>,
}

impl<T: Real> From<Signal<T>> for CachedSignal<T> {
    fn from(signal: Signal<T>) -> Self {
        Self { signal, sums: OnceCell::new(), gram: OnceCell::new() }
    }
}

impl<T: Real> CachedSignal<T> {
    /// Sums and squares of the columns.
    pub fn sums(&self) -> &ColumnSums {
        self.sums.get_or_init(|| {
            let rows = self.signal.values.nrows().max(1);
            let (plain, square) = self.signal.values.as_slice().chunks(rows).map(sums).unzip();
            ColumnSums { plain, square }
        })
    }

    /// HᵀH of the mantissas, B × B.
    pub fn gram(&self, threads: Threads) -> &Rc<Triangle> {
        self.gram.get_or_init(|| Rc::new(Triangle::gram(&self.signal.values, threads)))
    }

    /// The same with products in double precision, for batches whose samples are nearly collinear. Not kept.
    pub fn precise_gram(&self, threads: Threads) -> DMatrix<f64> {
        gram(&widened(&self.signal.values), threads)
    }
}
