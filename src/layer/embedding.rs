//! Random tokens become features: rows of a table, of which only those that occur are drawn.

use super::pass::{Back, Layer, Pass, Value, Weights};
use super::recurrent::pooled;
use crate::draw::{Affine, fill_from};
use crate::measure::record::{Moments, product_moments};
use crate::observed::Observed;
use crate::operator::Dense;
use crate::product::Threads;
use crate::real::Real;
use crate::signal::Signal;
use crate::slice::sums;
use crate::stream::{Key, Role};
use crate::wide::Wide;
use nalgebra::DMatrix;
use rand::RngExt;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// An embedding of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// The table: features × tokens.
    pub table: Weights,
    /// Features × positions.
    pub positions: Option<Weights>,
    /// Tokens of a sequence.
    pub length: usize,
}

/// scale and mean of a table's entries, and whether they vary.
fn affine(weights: &Weights) -> Affine {
    Affine::of(weights.law).unwrap_or(Affine { standard: None, scale: 0.0, mean: 0.0 })
}

/// The standardised row of a token. Each token has blocks of streams of its own.
fn row<T: Real>(entries: &mut [T], weights: &Weights, key: Key, token: usize) {
    if let Some(standard) = affine(weights).standard {
        fill_from(entries, standard, key, Role::Weights, (token as u64) << 24, Threads::One);
    }
}

/// Rows of a table as columns: features × tokens.
fn rows<T: Real>(weights: &Weights, tokens: &[usize], pass: &Pass<T>) -> Signal<T> {
    let mut values = DMatrix::from_element(weights.units, tokens.len(), T::ZERO);
    if let Some(given) = pass.given.and_then(|given| given.get(&weights.stream)) {
        let values = DMatrix::from_fn(weights.units, tokens.len(), |i, j| given.weights[(i, tokens[j])]);
        return Signal::new(values, 0);
    }
    let key = pass.key_of(weights.stream);
    for (column, token) in values.as_mut_slice().chunks_exact_mut(weights.units).zip(tokens) {
        row(column, weights, key, *token);
    }
    let law = affine(weights);
    let shape = values.shape();
    let signal = Signal::new(values, 0).times(law.scale.into());
    if law.mean == 0.0 {
        return signal;
    }
    signal.plus(Signal::new(DMatrix::from_element(shape.0, shape.1, T::ONE), 0).times(law.mean.into()))
}

/// All of a table as the weights of a linear layer from features to tokens.
pub fn tied<T: Real>(table: &Weights, pass: &Pass<T>) -> Dense<T> {
    if let Some(given) = pass.given.and_then(|given| given.get(&table.stream)) {
        return Dense::given(Arc::new(given.weights.transpose()));
    }
    let key = pass.key_of(table.stream);
    // Zeros from the system, which are first touched where they are drawn over: by all threads.
    let zeros = vec![T::ZERO; table.units * table.fan_in];
    let mut values = DMatrix::from_vec(table.units, table.fan_in, zeros);
    let fill = |(token, column): (usize, &mut [T])| row(column, table, key, token);
    match pass.threads {
        Threads::One => values.as_mut_slice().chunks_exact_mut(table.units).enumerate().for_each(fill),
        Threads::All => values.as_mut_slice().par_chunks_exact_mut(table.units).enumerate().for_each(fill),
    }
    let law = affine(table);
    Dense::of_units(values, law.scale.into(), law.mean.into())
}

struct Tape {
    layer: Embedding,
    tokens: Vec<usize>,
}

impl<T: Real> Layer<T> for Embedding {
    fn forward(&self, _: Value<T>, pass: &mut Pass<T>) -> (Value<T>, Box<dyn Back<T>>) {
        let mut rng = pass.key.stream(Role::Input, 0);
        let tokens: Vec<usize> =
            (0..self.length * pass.batch).map(|_| rng.random_range(0..self.table.fan_in)).collect();
        let mut out = rows(&self.table, &tokens, pass);
        if let Some(positions) = &self.positions {
            let places: Vec<usize> = (0..tokens.len()).map(|k| k % self.length).collect();
            out = out.plus(rows(positions, &places, pass));
        }
        let out = Observed::from(out);
        pass.observe(self.table.entry, &out);
        (Rc::new(out), Box::new(Tape { layer: self.clone(), tokens }))
    }
}

/// Moments of a table's gradient: for each row the sum over the places where it occurs.
fn table_gradient<T: Real>(weights: &Weights, places: &[usize], d: &Signal<T>) -> Moments {
    let mut by_row: BTreeMap<usize, Vec<T>> = BTreeMap::new();
    for (column, row) in d.values.as_slice().chunks_exact(weights.units).zip(places) {
        let sum = by_row.entry(*row).or_insert_with(|| vec![T::ZERO; weights.units]);
        sum.iter_mut().zip(column).for_each(|(s, v)| *s += *v);
    }
    let (mut total, mut square) = (0.0, 0.0);
    for sum in by_row.values() {
        let (plain, squares) = sums(sum);
        total += plain;
        square += squares;
    }
    let moments = product_moments((weights.fan_in, weights.units), square, total, d.exponent);
    // Most rows get nothing: the variance is the second moment to rounding.
    Moments { variance: moments.second_moment + -(moments.mean * moments.mean), ..moments }
}

impl<T: Real> Back<T> for Tape {
    fn backward(self: Box<Self>, d: Signal<T>, pass: &mut Pass<T>) -> Signal<T> {
        let Embedding { table, positions, length } = &self.layer;
        let d = Observed::from(d);
        pass.observe_gradient(table.entry, &d);
        let count = |w: &Weights| w.fan_in as f64 * w.units as f64;
        let mut groups = vec![(table_gradient(table, &self.tokens, &d.signal), count(table))];
        if let Some(positions) = positions {
            let places: Vec<usize> = (0..self.tokens.len()).map(|k| k % length).collect();
            groups.push((table_gradient(positions, &places, &d.signal), count(positions)));
        }
        pass.observe_weight_gradient(table.entry, pooled(&groups));
        d.signal.times(Wide::ZERO)
    }
}
