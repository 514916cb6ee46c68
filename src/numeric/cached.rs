//! A batch with what has been found out of it, each once: sums and squares of its columns, its Gram matrix.

use crate::numeric::pieces;
use crate::numeric::product::{Threads, Triangle, gram};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, widened};
use crate::numeric::slice::{max_abs, sums};
use nalgebra::DMatrix;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// Σ and Σ² of each column (a sample), in units of the signal's power of two.
#[derive(Clone, Debug, Default)]
pub struct ColumnSums {
    /// Σ of the entries.
    pub plain: Vec<f64>,
    /// Σ of their squares.
    pub square: Vec<f64>,
}

/// Bytes that the sums of a column take.
pub const SUMS: u128 = 16;

/// A signal, n × B, beside what several rooms ask of it.
pub struct CachedSignal<T: Real> {
    /// The batch itself.
    pub signal: Signal<T>,
    sums: OnceCell<ColumnSums>,
    gram: RefCell<Option<Rc<Triangle>>>,
}

impl<T: Real> From<Signal<T>> for CachedSignal<T> {
    fn from(signal: Signal<T>) -> Self {
        Self { signal, sums: OnceCell::new(), gram: RefCell::default() }
    }
}

impl ColumnSums {
    /// Of the pieces of an array, in their order.
    fn joined(parts: Vec<Self>) -> Self {
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap_or_default();
        parts.for_each(|part| {
            all.plain.extend(part.plain);
            all.square.extend(part.square);
        });
        all
    }

    /// Of columns with so many rows.
    pub fn of<T: Real>(piece: &[T], rows: usize) -> Self {
        let (plain, square) = piece.chunks(rows).map(sums).unzip();
        Self { plain, square }
    }
}

impl<T: Real> CachedSignal<T> {
    /// The signal with these mantissas after `edit` has been at each piece of them, which begins at the column of this number; its
    /// column sums are found in the same visit.
    pub fn edited(
        mut values: DMatrix<T>,
        exponent: i64,
        threads: Threads,
        edit: impl Fn(usize, &mut [T]) + Sync + Send,
    ) -> Self {
        let rows = values.nrows().max(1);
        let found = pieces::each(values.as_mut_slice(), pieces::length(rows), threads, |first, piece| {
            edit(first / rows, piece);
            (max_abs(piece), ColumnSums::of(piece, rows))
        });
        let (tops, sums): (Vec<T>, Vec<ColumnSums>) = found.into_iter().unzip();
        Self::made(values, exponent, &tops, sums)
    }

    /// The signal with these mantissas, given the largest magnitude and the column sums of each part of them.
    pub fn made(values: DMatrix<T>, exponent: i64, tops: &[T], sums: Vec<ColumnSums>) -> Self {
        let cached = Self::from(Signal { values, exponent }.normalized_from(tops));
        // Where the signal has been rescaled, they are of other units.
        if cached.signal.exponent == exponent {
            let _ = cached.sums.set(ColumnSums::joined(sums));
        }
        cached
    }

    /// Sums and squares of the columns.
    pub fn sums(&self) -> &ColumnSums {
        self.sums_shared(Threads::One)
    }

    /// The same, by all threads where they are free.
    pub fn sums_shared(&self, threads: Threads) -> &ColumnSums {
        self.sums.get_or_init(|| {
            let rows = self.signal.values.nrows().max(1);
            let values = self.signal.values.as_slice();
            let of = |_: usize, piece: &[T]| ColumnSums::of(piece, rows);
            ColumnSums::joined(pieces::seen(values, pieces::length(rows), threads, of))
        })
    }

    /// HᵀH of the mantissas, B × B.
    pub fn gram(&self, threads: Threads) -> Rc<Triangle> {
        let compute = || Rc::new(Triangle::gram(&self.signal.values, threads));
        Rc::clone(self.gram.borrow_mut().get_or_insert_with(compute))
    }

    /// Gives up the Gram matrix, which may be much larger than the batch, where the batch itself stays and nobody is known to ask for
    /// the matrix again.
    pub fn forget_gram(&self) {
        self.gram.take();
    }

    /// The same with products in double precision, for batches whose samples are nearly collinear. Not kept.
    pub fn precise_gram(&self, threads: Threads) -> DMatrix<f64> {
        gram(&widened(&self.signal.values), threads)
    }
}
