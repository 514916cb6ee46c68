//! Multi-head attention: O = V·softmax(KᵀQ/√d), a column for each query.
//!
//! The softmax sees the scores at their true scale. Where they lie so far apart that all but one weight underflow, their
//! gradient is computed in wide numbers: it is tiny, not zero.

mod layer;
mod scores;

pub use layer::LAYER;
pub use scores::{Mask, Relative, Scores};

use super::parameters::gradient_of;
use super::record::product_moments;
use super::samples::each_sample;
use super::{
    Activations, Backward, Context, Exported, Exports, Forward, Operator, Parameter, Shapes, embedding,
    exactly, softmax,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, View, product_to};
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::max_abs;
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;
use scores::Pass;
use std::rc::Rc;

/// Multi-head attention (Vaswani et al. 2017, § 3.2) of queries, keys and values, its three inputs, each of width·heads × length. Keys
/// and values may have fewer heads, which neighboring heads of the queries share (Ainslie et al. 2023, arXiv:2305.13245), and other
/// positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values, a divisor of `heads`.
    pub kv_heads: usize,
    /// Positions of the queries.
    pub queries: usize,
    /// Positions of keys and values.
    pub keys: usize,
    /// From products to scores.
    pub scores: Scores,
}

impl Operator for Attention {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        // Seven products: the gradient needs the first again.
        14.0 * self.keys as f64 * shapes.output_size() as f64
    }

    /// The table of relative positions as an embedding has it, buckets × heads.
    fn export(&self, exported: &Exported) -> Vec<Exports> {
        embedding::export(exported)
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        // Of the table of relative positions the gradient wants the scores of all heads at once.
        let square = self.queries as u128 * self.keys as u128;
        let scores = if self.scores.relative.is_some() { self.heads as u128 * square } else { 0 };
        samples as u128 * (4 * scores + 4 * shapes.input_size() as u128)
    }
}

impl Attention {
    /// The biases of relative positions, heads × buckets, at their true scale as far as doubles hold it.
    fn table<T: Real>(&self, context: &mut Context<T>) -> Option<Vec<f64>> {
        let relative = self.scores.relative?;
        let parameter = context.parameter(0);
        let numbers: Vec<usize> = (0..relative.buckets).collect();
        let rows = context.table(parameter).borrow_mut().look_up(&numbers);
        let entry = |v: &T| Wide::new(v.to_f64(), rows.exponent).to_f64().clamp(-1e300, 1e300);
        Some(rows.values.iter().map(entry).collect())
    }
}

/// Where the heads lie in features × (positions·samples).
struct Heads {
    count: usize,
    /// Heads of the queries that share one of the keys.
    group: usize,
    width: usize,
    queries: usize,
    keys: usize,
    pass: Pass,
}

impl Heads {
    /// A head of a sample, width × positions.
    fn view<'a, T: Real>(
        &self,
        values: &'a DMatrix<T>,
        positions: usize,
        sample: usize,
        head: usize,
    ) -> View<'a, T> {
        View::plain(values)
            .columns(sample * positions, (sample + 1) * positions)
            .rows(head * self.width, (head + 1) * self.width)
    }

    /// The queries of a head, or what lies like them.
    fn queries<'a, T: Real>(&self, values: &'a DMatrix<T>, sample: usize, head: usize) -> View<'a, T> {
        self.view(values, self.queries, sample, head)
    }

    /// The keys of a head of the queries, or what lies like them.
    fn keys<'a, T: Real>(&self, values: &'a DMatrix<T>, sample: usize, head: usize) -> View<'a, T> {
        self.view(values, self.keys, sample, head / self.group)
    }

    /// The place of a head of the queries in keys × queries of all heads of all samples.
    fn scores(&self, sample: usize, head: usize) -> std::ops::Range<usize> {
        let (place, size) = (sample * self.count + head, self.queries * self.keys);
        place * size..(place + 1) * size
    }

    /// keys × queries from the start of a slice.
    fn square<'a, T: Real>(&self, scores: &'a [T]) -> View<'a, T> {
        View::of(scores, self.keys, self.queries, self.keys)
    }

    /// Writes to the rows of a head of the queries.
    fn to_queries<T: Real>(&self, to: &mut [T], head: usize, a: &View<T>, b: &View<T>, alpha: T) {
        let stride = self.count * self.width;
        product_to(&mut to[head * self.width..], stride, a, b, alpha, false, Threads::One);
    }

    /// Writes to the rows of the keys of a head of the queries, or adds to what another head of the group has written.
    fn to_keys<T: Real>(&self, to: &mut [T], head: usize, a: &View<T>, b: &View<T>, alpha: T) {
        let stride = self.count / self.group * self.width;
        let begun = !head.is_multiple_of(self.group);
        product_to(&mut to[head / self.group * self.width..], stride, a, b, alpha, begun, Threads::One);
    }

    /// ∂C/∂weights of a head from ∂C/∂O and the values.
    fn slopes<T: Real>(&self, v: &DMatrix<T>, d: &DMatrix<T>, sample: usize, head: usize, to: &mut [T]) {
        let (values, gradient) = (self.keys(v, sample, head).transposed(), self.queries(d, sample, head));
        product_to(to, self.keys, &values, &gradient, T::ONE, false, Threads::One);
    }

    /// Products of keys and queries, a column for each query.
    fn products<T: Real>(&self, q: &DMatrix<T>, k: &DMatrix<T>, sample: usize, head: usize, to: &mut [T]) {
        let (keys, queries) = (self.keys(k, sample, head).transposed(), self.queries(q, sample, head));
        product_to(to, self.keys, &keys, &queries, T::ONE, false, Threads::One);
    }
}

struct Tape<T: Real> {
    heads: Heads,
    /// Factor of the products.
    scale: f64,
    /// A table of relative positions is learnt.
    relative: bool,
    q: Activations<T>,
    k: Activations<T>,
    v: Activations<T>,
}

/// What comes of ∂C/∂O.
struct Gradients<T: Real> {
    q: DMatrix<T>,
    k: DMatrix<T>,
    v: DMatrix<T>,
    /// ∂C/∂scores of all heads, where a table of relative positions wants them.
    scores: Vec<T>,
    /// ∂C/∂scores is so small that it is to be computed in wide numbers.
    lost: bool,
}

impl<T: Real> Forward<T> for Attention {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        context: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let [q, k, v] = exactly(inputs);
        let (features, batch) = (q.signal.values.nrows(), context.batch);
        let heads = Heads {
            count: self.heads,
            group: self.heads / self.kv_heads,
            width: features / self.heads,
            queries: self.queries,
            keys: self.keys,
            pass: Pass::new(self, q.signal.exponent + k.signal.exponent, self.table(context)),
        };
        let mut mixed = DMatrix::from_element(features, self.queries * batch, T::ZERO);
        let [queries, keys, values] = [&q, &k, &v].map(|value| &value.signal.values);
        each_sample(context.threads, batch, [mixed.as_mut_slice()], |sample, [mixed]| {
            let mut weights = vec![T::ZERO; self.queries * self.keys];
            for head in 0..self.heads {
                heads.products(queries, keys, sample, head, &mut weights);
                heads.pass.weights(&mut weights, head, self.keys);
                let (values, weights) = (heads.keys(values, sample, head), heads.square(&weights));
                heads.to_queries(mixed, head, &values, &weights, T::ONE);
            }
        });
        let mixed = Signal::shared(mixed, v.signal.exponent, context.threads);
        let mixed = Rc::new(CachedSignal::from(mixed));
        let (scale, relative) = (self.scores.scale, self.scores.relative.is_some());
        (vec![mixed], Box::new(Tape { heads, scale, relative, q, k, v }))
    }
}

impl<T: Real> Tape<T> {
    /// ∂C/∂scores in wide numbers, for all heads, from ∂C/∂O: mantissas and their exponent.
    fn wide(&self, d: &DMatrix<T>, batch: usize) -> (Vec<T>, i64) {
        let heads = &self.heads;
        let square = heads.queries * heads.keys;
        let mut all = vec![Wide::ZERO; square * heads.count * batch];
        let (mut products, mut slopes) = (vec![T::ZERO; square], vec![T::ZERO; square]);
        for sample in 0..batch {
            for head in 0..heads.count {
                heads.products(&self.q.signal.values, &self.k.signal.values, sample, head, &mut products);
                heads.slopes(&self.v.signal.values, d, sample, head, &mut slopes);
                let to = &mut all[heads.scores(sample, head)];
                heads.pass.wide_gradient(&products, &slopes, head, heads.keys, to);
            }
        }
        let signal = Signal::<T>::from_wide(all.len(), 1, &all);
        (signal.values.as_slice().to_vec(), signal.exponent)
    }

    /// Head by head, whose weights are computed again: to keep those of all heads takes more memory than the rest of a long sequence, and
    /// to fetch it as long as to compute them.
    fn gradients(&self, d: &DMatrix<T>, context: &Context<T>) -> Gradients<T> {
        let heads = &self.heads;
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|value| &value.signal.values);
        let [mut dq, mut dk, mut dv] =
            [q, k, v].map(|m| DMatrix::from_element(m.nrows(), m.ncols(), T::ZERO));
        let square = heads.queries * heads.keys;
        let relative = self.relative;
        let kept = if relative { square * heads.count } else { 0 };
        let mut scores = vec![T::ZERO; kept * context.batch];
        // The largest of ∂C/∂scores and of ∂C/∂weights in each sample.
        let mut largest = vec![T::ZERO; 2 * context.batch];
        let alpha = T::of(self.scale);
        let parts =
            [dq.as_mut_slice(), dk.as_mut_slice(), dv.as_mut_slice(), scores.as_mut_slice(), &mut largest];
        each_sample(context.threads, context.batch, parts, |sample, [dq, dk, dv, kept, largest]| {
            let (mut weights, mut slopes) = (vec![T::ZERO; square], vec![T::ZERO; square]);
            let mut products = Vec::new();
            for head in 0..heads.count {
                heads.products(q, k, sample, head, &mut weights);
                if heads.pass.is_capped() {
                    products.clone_from(&weights);
                }
                heads.pass.weights(&mut weights, head, heads.keys);
                let gradient = heads.queries(d, sample, head);
                heads.to_keys(dv, head, &gradient, &heads.square(&weights).transposed(), T::ONE);
                heads.slopes(v, d, sample, head, &mut slopes);
                largest[1] = largest[1].max(max_abs(&slopes));
                let columns = slopes.chunks_exact_mut(heads.keys).zip(weights.chunks_exact(heads.keys));
                columns.for_each(|(slopes, weights)| softmax::gradient(slopes, weights));
                if heads.pass.is_capped() {
                    heads.pass.uncap(&mut slopes, &products);
                }
                largest[0] = largest[0].max(max_abs(&slopes));
                let (queries, keys) = (heads.queries(q, sample, head), heads.keys(k, sample, head));
                heads.to_queries(dq, head, &keys, &heads.square(&slopes), alpha);
                heads.to_keys(dk, head, &queries, &heads.square(&slopes).transposed(), alpha);
                if relative {
                    kept[head * square..(head + 1) * square].copy_from_slice(&slopes);
                }
            }
        });
        let most = |which: usize| largest.iter().skip(which).step_by(2).fold(T::ZERO, |most, v| most.max(*v));
        let lost = heads.keys > 1 && softmax::is_below(most(0), most(1));
        Gradients { q: dq, k: dk, v: dv, scores, lost }
    }

    /// ∂C/∂Q and ∂C/∂K from ∂C/∂scores.
    fn through_products(&self, scores: &[T], context: &Context<T>) -> [DMatrix<T>; 2] {
        let heads = &self.heads;
        let (q, k) = (&self.q.signal.values, &self.k.signal.values);
        let mut found = [q, k].map(|m| DMatrix::from_element(m.nrows(), m.ncols(), T::ZERO));
        let parts = found.each_mut().map(|m| m.as_mut_slice());
        let alpha = T::of(self.scale);
        each_sample(context.threads, context.batch, parts, |sample, [dq, dk]| {
            for head in 0..heads.count {
                let scores = heads.square(&scores[heads.scores(sample, head)]);
                let (queries, keys) = (heads.queries(q, sample, head), heads.keys(k, sample, head));
                heads.to_queries(dq, head, &keys, &scores, alpha);
                heads.to_keys(dk, head, &queries, &scores.transposed(), alpha);
            }
        });
        found
    }
}

impl<T: Real> Tape<T> {
    /// ∂C/∂table of relative positions from ∂C/∂scores, which have this exponent.
    fn table_gradient(&self, scores: &[T], exponent: i64, context: &mut Context<T>) {
        let heads = &self.heads;
        let parameter = context.parameter(0);
        let (rows, columns) = parameter.shape;
        let mut sums = DMatrix::<f64>::zeros(rows, columns);
        for (place, scores) in scores.chunks_exact(heads.queries * heads.keys).enumerate() {
            heads.pass.add_to_table(scores, place % heads.count, heads.keys, sums.as_mut_slice());
        }
        let sum = context.sum_over_uses(parameter, Signal::new(sums.clone(), exponent));
        let (total, square) =
            sum.values.iter().fold((0.0, 0.0), |(total, square), v| (total + v, square + v * v));
        let moments = product_moments((columns, rows), square, total, sum.exponent);
        context.observe_weight_gradient(parameter.entry, moments);
        if let Some(gradient) = gradient_of(&mut context.gradients, parameter) {
            gradient.add_sums(sums.as_slice(), exponent);
        }
    }
}

impl<T: Real> Backward<T> for Tape<T> {
    fn backward(
        self: Box<Self>,
        gradients: Vec<CachedSignal<T>>,
        context: &mut Context<T>,
    ) -> Vec<Signal<T>> {
        let [d] = exactly(gradients);
        let d = d.signal;
        let mut found = self.gradients(&d.values, context);
        let mut exponent = self.v.signal.exponent + d.exponent;
        if found.lost {
            let (scores, shift) = self.wide(&d.values, context.batch);
            [found.q, found.k] = self.through_products(&scores, context);
            found.scores = scores;
            exponent += shift;
        }
        if self.relative {
            self.table_gradient(&found.scores, exponent, context);
        }
        vec![
            Signal::shared(found.q, exponent + self.k.signal.exponent, context.threads),
            Signal::shared(found.k, exponent + self.q.signal.exponent, context.threads),
            Signal::shared(found.v, d.exponent, context.threads),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::stream::Key;

    const BATCH: usize = 2;

    /// Two heads of queries at two positions, which share one head of keys and values at three.
    const CROSS: Attention = Attention {
        heads: 2,
        kv_heads: 1,
        queries: 2,
        keys: 3,
        scores: Scores {
            scale: 0.7,
            mask: Mask { causal: false, window: None },
            soft_cap: None,
            alibi: false,
            relative: None,
        },
    };

    fn context() -> Context<'static, f64> {
        Context::new((&[], &[]), 0, Key { seed: 1, trial: 1, layer: 0 }, BATCH, Threads::One)
    }

    fn filled(rows: usize, columns: usize, seed: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| ((seed + 3 * i + 7 * j + i * j) as f64).sin())
    }

    /// O written out entry by entry.
    fn written_out([q, k, v]: &[DMatrix<f64>; 3]) -> DMatrix<f64> {
        DMatrix::from_fn(4, 2 * BATCH, |row, column| {
            let (head, sample) = (row / 2, column / 2);
            let score = |key: usize| {
                (0..2).map(|i| q[(2 * head + i, column)] * k[(i, 3 * sample + key)]).sum::<f64>() * 0.7
            };
            let weights: Vec<f64> = (0..3).map(|key| score(key).exp()).collect();
            let mixed = weights.iter().enumerate().map(|(key, w)| w * v[(row % 2, 3 * sample + key)]);
            mixed.sum::<f64>() / weights.iter().sum::<f64>()
        })
    }

    #[test]
    fn queries_and_keys_may_differ_in_number() {
        let inputs = [filled(4, 2 * BATCH, 1), filled(2, 3 * BATCH, 2), filled(2, 3 * BATCH, 3)];
        let given = inputs.iter().map(|m| Rc::new(CachedSignal::from(Signal::new(m.clone(), 0)))).collect();
        let (out, back) = CROSS.forward(given, &mut context());
        assert!((&out[0].signal.values - written_out(&inputs)).amax() < 1e-14);
        let d = filled(4, 2 * BATCH, 4);
        let gradients = back.backward(vec![Signal::new(d.clone(), 0).into()], &mut context());
        for (place, gradient) in gradients.iter().enumerate() {
            for entry in 0..inputs[place].len() {
                let at = |delta: f64| {
                    let mut inputs = inputs.clone();
                    inputs[place].as_mut_slice()[entry] += delta;
                    written_out(&inputs).dot(&d)
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((gradient.values[entry] - difference).abs() < 1e-9, "input {place}, entry {entry}");
            }
        }
    }
}
