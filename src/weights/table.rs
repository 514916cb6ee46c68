//! The table of an embedding, features × rows: rows are asked for by number, and the transposed table may be a linear layer
//! from features to rows (tied weights).
//!
//! Each row has random streams of its own, so only rows that occur are drawn. As an implicit map, the transposed table multiplies
//! with the rows that have occurred as they are, and with all others by an implicit Gaussian map: entries are independent, so what
//! the known rows say of the others is nothing (SCIENCE section 7: rows that occur are coordinate queries from the left).

use super::{Dense, ImplicitGaussian, LinearMap, Method, gaussian};
use crate::law::Law;
use crate::law::draw::{Affine, fill_from};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, mul, tr_mul};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, power_of_two};
use crate::numeric::stream::{Key, Part, Role};
use nalgebra::{DMatrix, Dyn};
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// A table of rows with independent entries.
pub struct Table<T: Real> {
    law: Law,
    affine: Affine,
    features: usize,
    rows: usize,
    key: Key,
    method: Method,
    /// In place of drawn rows, features × rows.
    given: Option<Arc<DMatrix<T>>>,
    /// Standardized rows that have occurred, and their places in `known`.
    places: BTreeMap<usize, usize>,
    known: Vec<T>,
    /// All rows, where the transposed table is asked for.
    whole: Option<Dense<T>>,
    /// The rows that had not occurred when the transposed table was first asked for.
    rest: Option<Rest<T>>,
}

/// Rows that are never drawn.
struct Rest<T: Real> {
    map: ImplicitGaussian<T>,
    /// Stretches of their numbers, ascending, between rows that have occurred.
    runs: Vec<Range<usize>>,
}

impl<T: Real> Rest<T> {
    /// The place of a row among these.
    fn place(&self, row: usize) -> Option<usize> {
        let mut before = 0;
        for run in &self.runs {
            if run.contains(&row) {
                return Some(before + row - run.start);
            }
            before += run.len();
        }
        None
    }
}

/// The rows that are not among these, which ascend: stretches of them, and how many they are.
fn others(all: usize, known: impl Iterator<Item = usize>) -> (Vec<Range<usize>>, usize) {
    let mut runs = Vec::new();
    let (mut from, mut count) = (0, 0);
    for row in known.chain([all]) {
        if row > from {
            runs.push(from..row);
            count += row - from;
        }
        from = row + 1;
    }
    (runs, count)
}

impl<T: Real> Table<T> {
    /// A table of `rows` rows with `features` entries of an independent law each; zeros under any other law.
    pub fn new(law: Law, (features, rows): (usize, usize), method: Method, key: Key) -> Self {
        Self {
            law,
            affine: Affine::of(law).unwrap_or(Affine::ZERO),
            features,
            rows,
            key,
            method,
            given: None,
            places: BTreeMap::new(),
            known: Vec::new(),
            whole: None,
            rest: None,
        }
    }

    /// A table that is known, features × rows.
    pub fn given(table: Arc<DMatrix<T>>) -> Self {
        let (features, rows) = table.shape();
        let key = Key { seed: 0, trial: 0, layer: 0 };
        let zeros = Self::new(Law::Constant(0.0), (features, rows), Method::Dense, key);
        Self { given: Some(table), ..zeros }
    }

    /// The rows of these numbers as columns, features × numbers.
    pub fn look_up(&mut self, numbers: &[usize]) -> Signal<T> {
        let mut values = DMatrix::from_element(self.features, numbers.len(), T::ZERO);
        if let Some(given) = &self.given {
            for (mut column, number) in values.column_iter_mut().zip(numbers) {
                column.copy_from(&given.column(*number));
            }
            return Signal::new(values, 0);
        }
        if self.rest.is_none() {
            self.draw(numbers);
        }
        let columns = values.as_mut_slice().chunks_exact_mut(self.features.max(1));
        let mut late = Vec::new();
        for (index, (column, number)) in columns.zip(numbers).enumerate() {
            match self.places.get(number) {
                Some(place) => column.copy_from_slice(&self.known[place * self.features..][..self.features]),
                None => late.push((index, *number)),
            }
        }
        let mut known = self.scaled(values);
        if late.is_empty() {
            return known;
        }
        // The implicit map gives these rows their mean too.
        late.iter().for_each(|(column, _)| known.values.column_mut(*column).fill(T::ZERO));
        known.plus(self.late_rows(&late, numbers.len()))
    }

    /// Draws the rows among these that have not occurred before.
    fn draw(&mut self, numbers: &[usize]) {
        for number in numbers {
            if self.places.contains_key(number) {
                continue;
            }
            let place = self.places.len();
            self.places.insert(*number, place);
            let from = self.known.len();
            self.known.resize(from + self.features, T::ZERO);
            row(&mut self.known[from..], self.affine, self.key, *number);
        }
    }

    /// scale·U + mean.
    fn scaled(&self, standard: DMatrix<T>) -> Signal<T> {
        let (rows, columns) = standard.shape();
        let signal = Signal::new(standard, 0).times(self.affine.scale.into());
        if self.affine.mean == 0.0 {
            return signal;
        }
        signal
            .plus(Signal::new(DMatrix::from_element(rows, columns, T::ONE), 0).times(self.affine.mean.into()))
    }

    /// Rows that occur after the transposed table was asked for: the implicit map answers for them, as for any direction.
    fn late_rows(&mut self, late: &[(usize, usize)], columns: usize) -> Signal<T> {
        let Some(rest) = &mut self.rest else {
            return Signal::new(DMatrix::from_element(self.features, columns, T::ZERO), 0);
        };
        let count = rest.runs.iter().map(ExactSizeIterator::len).sum();
        let mut units = DMatrix::from_element(count, columns, T::ZERO);
        for (column, number) in late {
            if let Some(place) = rest.place(*number) {
                units[(place, *column)] = T::ONE;
            }
        }
        rest.map.forward(&Signal::new(units, 0).into(), Threads::One)
    }

    /// A linear map from features to rows that shares this table.
    pub fn transposed(table: Rc<RefCell<Self>>) -> Box<dyn LinearMap<T>> {
        Box::new(Transposed(table))
    }

    /// All rows as the weights of a linear layer from features to rows.
    pub fn whole(&mut self, threads: Threads) -> &mut Dense<T> {
        let (features, rows, affine, key) = (self.features, self.rows, self.affine, self.key);
        let given = self.given.as_ref();
        self.whole.get_or_insert_with(|| match given {
            Some(given) => Dense::of_units(given.as_ref().clone(), 1.0.into(), 0.0.into()),
            None => {
                // Zeros from the system, which are first touched where they are drawn over: by all threads.
                let mut values = DMatrix::from_vec(features, rows, vec![T::ZERO; features * rows]);
                let fill = |(number, column): (usize, &mut [T])| row(column, affine, key, number);
                match threads {
                    Threads::One => {
                        values.as_mut_slice().chunks_exact_mut(features).enumerate().for_each(fill);
                    }
                    Threads::All => {
                        values.as_mut_slice().par_chunks_exact_mut(features).enumerate().for_each(fill);
                    }
                }
                Dense::of_units(values, affine.scale.into(), affine.mean.into())
            }
        })
    }

    fn is_implicit(&self) -> bool {
        self.method == Method::Implicit && self.given.is_none()
    }

    /// The rows that have not occurred by now, and those that have as features × known rows.
    fn split(&mut self) -> (&mut Rest<T>, Signal<T>) {
        let (features, key, law) = (self.features, self.key, self.law);
        let known = self.scaled(DMatrix::from_column_slice(features, self.places.len(), &self.known));
        let places = &self.places;
        let all = self.rows;
        let rest = self.rest.get_or_insert_with(|| {
            let (runs, count) = others(all, places.keys().copied());
            let (mean, std) = gaussian(law, all, features);
            Rest { map: ImplicitGaussian::new(mean, std, count, features, key), runs }
        });
        (rest, known)
    }

    /// tableᵀ·x, rows × B.
    fn rows_of(&mut self, x: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        if !self.is_implicit() {
            return self.whole(threads).forward(x, threads);
        }
        let (count, columns) = (self.rows, x.signal.values.ncols());
        let places: Vec<(usize, usize)> = self.places.iter().map(|(row, place)| (*row, *place)).collect();
        let (rest, known) = self.split();
        let products = tr_mul(&known.values, &x.signal.values, T::ONE, threads);
        let of_known = Signal::new(products, known.exponent + x.signal.exponent);
        let of_rest = rest.map.backward(x, threads);
        let exponent = match (of_known.top_exponent(), of_rest.top_exponent()) {
            (Some(a), Some(b)) if b >= a => of_rest.exponent,
            (None, Some(_)) => of_rest.exponent,
            _ => of_known.exponent,
        };
        let factor = |part: &Signal<T>| power_of_two::<T>(part.exponent - exponent);
        let (rest_factor, known_factor) = (factor(&of_rest), factor(&of_known));
        let write = |index: usize, to: &mut [MaybeUninit<T>]| {
            let column = |part: &Signal<T>| index * part.values.nrows()..(index + 1) * part.values.nrows();
            let mut from = &of_rest.values.as_slice()[column(&of_rest)];
            for run in &rest.runs {
                let (these, others) = from.split_at(run.len());
                to[run.clone()].iter_mut().zip(these).for_each(|(to, v)| _ = to.write(*v * rest_factor));
                from = others;
            }
            let from = &of_known.values.as_slice()[column(&of_known)];
            places.iter().for_each(|(row, place)| _ = to[*row].write(from[*place] * known_factor));
        };
        // SAFETY: a row has occurred or lies in a stretch of those that have not.
        Signal::new(unsafe { by_columns((count, columns), threads, write) }, exponent)
    }

    /// table·y, features × B.
    fn features_of(&mut self, y: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        if !self.is_implicit() {
            return self.whole(threads).backward(y, threads);
        }
        let places: Vec<(usize, usize)> = self.places.iter().map(|(row, place)| (*row, *place)).collect();
        let (rest, known) = self.split();
        let (rows, columns) = y.signal.values.shape();
        let values = y.signal.values.as_slice();
        let mut of_known = DMatrix::from_element(places.len(), columns, T::ZERO);
        for (index, column) in y.signal.values.column_iter().enumerate() {
            places.iter().for_each(|(row, place)| of_known[(*place, index)] = column[*row]);
        }
        let write = |index: usize, to: &mut [MaybeUninit<T>]| {
            let column = &values[index * rows..(index + 1) * rows];
            let from = rest.runs.iter().flat_map(|run| column[run.clone()].iter());
            to.iter_mut().zip(from).for_each(|(to, v)| _ = to.write(*v));
        };
        // SAFETY: there are as many places as the stretches have rows.
        let of_rest = unsafe { by_columns((rows - places.len(), columns), threads, write) };
        let known =
            Signal::new(mul(&known.values, &of_known, T::ONE, threads), known.exponent + y.signal.exponent);
        let from_rest = rest.map.forward(&Signal::new(of_rest, y.signal.exponent).into(), threads);
        known.plus(from_rest)
    }

    fn release(&mut self) {
        self.whole = None;
        if let Some(rest) = &mut self.rest {
            rest.map.release();
        }
    }
}

/// A matrix whose columns `write` writes, side by side.
///
/// # Safety
/// `write` must write every place of each column.
unsafe fn by_columns<T: Real>(
    (rows, columns): (usize, usize),
    threads: Threads,
    write: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync,
) -> DMatrix<T> {
    let mut values = DMatrix::<MaybeUninit<T>>::uninit(Dyn(rows), Dyn(columns));
    let places = values.as_mut_slice();
    let one = |(column, places): (usize, &mut [MaybeUninit<T>])| write(column, places);
    match threads {
        _ if rows == 0 => {}
        Threads::One => places.chunks_exact_mut(rows).enumerate().for_each(one),
        Threads::All => places.par_chunks_exact_mut(rows).enumerate().for_each(one),
    }
    // SAFETY: the columns are the whole matrix, and the caller promises that they are written.
    unsafe { values.assume_init() }
}

/// The standardized entries of a row, from streams of its own.
fn row<T: Real>(entries: &mut [T], affine: Affine, key: Key, number: usize) {
    if let Some(standard) = affine.standard {
        let part = Part::Row { row: number as u64, block: 0 };
        fill_from(entries, standard, key, Role::Weights, part, Threads::One);
    }
}

/// The transposed table as a linear map, rows × features.
struct Transposed<T: Real>(Rc<RefCell<Table<T>>>);

impl<T: Real> LinearMap<T> for Transposed<T> {
    fn forward(&mut self, x: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        self.0.borrow_mut().rows_of(x, threads)
    }

    fn backward(&mut self, y: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        self.0.borrow_mut().features_of(y, threads)
    }

    fn release(&mut self) {
        self.0.borrow_mut().release();
    }
}
