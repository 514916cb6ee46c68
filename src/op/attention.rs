//! Multi-head attention: O = V·softmax(KᵀQ/√d), a column for each query.
//!
//! The softmax sees the scores at their true scale. Where they lie so far apart that all but one weight underflow, their
//! gradient is computed in wide numbers: it is tiny, not zero.

use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewNode, Port, divided, read, single};
use super::linear::{Part, project};
use super::samples::each_sample;
use super::{
    Activations, Backward, ByPart, Context, Forward, Operator, Parameter, Role, Shapes, Space, check_parts,
    exactly, of_part, softmax,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, View, product_to};
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType =
    LayerType { name: "attention", fields: &["heads", "causal", "init", "bias"], read: read::<Spec> };

/// The fields of multi-head self-attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Heads, of width features/heads each.
    heads: usize,
    /// A position sees those before it and itself only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    causal: bool,
    /// Of all four projections or of each, in place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<ByPart<String>>,
    /// Law of the biases, likewise; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<ByPart<BiasSpec>>,
}

/// Its projections.
const PARTS: [&str; 4] = ["query", "key", "value", "out"];

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = single("attention", inputs)?;
        let Space::Sequence(length) = input.shape.space else {
            return Err(format!("attention takes a sequence [length, features], not {}", input.shape));
        };
        let features = input.shape.channels;
        divided("heads", self.heads, features)?;
        check_parts("init", &self.init, &PARTS)?;
        check_parts("bias", &self.bias, &PARTS)?;
        let [query, key, value, out] = PARTS;
        let part = |name: &'static str, role: Role, beside: bool| Part {
            name: Some(name),
            role,
            init: of_part(&self.init, name).map(String::as_str),
            bias: of_part(&self.bias, name),
            beside,
            heads: Some(self.heads),
            ..Part::default()
        };
        // Queries, keys and values are one step in depth.
        let q = project(to, input, input.shape, &part(query, Role::Query, true))?;
        let k = project(to, input, input.shape, &part(key, Role::Key, true))?;
        let v = project(to, input, input.shape, &part(value, Role::Value, false))?;
        let operator = Attention { heads: self.heads, causal: self.causal, length };
        let node = NewNode { inputs: vec![q, k, v], ..NewNode::plain(operator, input, input.shape) };
        let [mixed] = exactly(to.node(node)?);
        project(to, mixed, input.shape, &part(out, Role::Output, false)).map(|port| vec![port])
    }
}

/// Multi-head attention (Vaswani et al. 2017, § 3.2) of queries, keys and values, its three inputs, each of features × length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Heads, of width features/heads each.
    pub heads: usize,
    /// A position sees those before it and itself only.
    pub causal: bool,
    /// Positions.
    pub length: usize,
}

impl Operator for Attention {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        12.0 * self.length as f64 * shapes.output_size() as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        let square = self.length as u128 * self.length as u128 * self.heads as u128;
        samples as u128 * (4 * square + 12 * shapes.output_size() as u128)
    }
}

/// Where the heads lie in features × (positions·samples).
#[derive(Clone, Copy)]
struct Heads {
    count: usize,
    width: usize,
    length: usize,
    causal: bool,
    /// Factor of the mantissas' products: 2^exponent/√width.
    scale: f64,
}

impl Heads {
    fn view<'a, T: Real>(&self, values: &'a DMatrix<T>, sample: usize, head: usize) -> View<'a, T> {
        View::plain(values)
            .columns(sample * self.length, (sample + 1) * self.length)
            .rows(head * self.width, (head + 1) * self.width)
    }

    fn features(&self) -> usize {
        self.count * self.width
    }

    /// Keys that a query sees.
    fn seen(&self, query: usize) -> usize {
        if self.causal { query + 1 } else { self.length }
    }

    /// Products of keys and queries, length × length, a column for each query.
    fn products<T: Real>(&self, q: &DMatrix<T>, k: &DMatrix<T>, sample: usize, head: usize, to: &mut [T]) {
        let keys = self.view(k, sample, head).transposed();
        product_to(to, self.length, &keys, &self.view(q, sample, head), T::ONE, false, Threads::One);
    }

    /// From products to weights, in place.
    fn softmax<T: Real>(&self, scores: &mut [T]) {
        for (query, column) in scores.chunks_exact_mut(self.length).enumerate() {
            softmax::weights(column, self.seen(query), self.scale);
        }
    }
}

struct Tape<T: Real> {
    heads: Heads,
    q: Activations<T>,
    k: Activations<T>,
    v: Activations<T>,
    /// length × length for each head of each sample.
    weights: Vec<T>,
}

impl<T: Real> Forward<T> for Attention {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        context: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let [q, k, v] = exactly(inputs);
        let (features, length, batch) = (q.signal.values.nrows(), self.length, context.batch);
        let width = features / self.heads;
        let exponent = q.signal.exponent + k.signal.exponent;
        let scale = softmax::true_scale(1.0 / (width as f64).sqrt(), exponent);
        let heads = Heads { count: self.heads, width, length, causal: self.causal, scale };
        let square = length * length;
        let mut weights = vec![T::ZERO; square * self.heads * batch];
        let mut mixed = DMatrix::from_element(features, length * batch, T::ZERO);
        let [queries, keys, values] = [&q, &k, &v].map(|value| &value.signal.values);
        let slices = [weights.as_mut_slice(), mixed.as_mut_slice()];
        each_sample(context.threads, batch, slices, |sample, [weights, mixed]| {
            for (head, weights) in weights.chunks_exact_mut(square).enumerate() {
                heads.products(queries, keys, sample, head, weights);
                heads.softmax(weights);
                let values = heads.view(values, sample, head);
                let shares = View::of(weights, length, length, length);
                let to = &mut mixed[head * width..];
                product_to(to, features, &values, &shares, T::ONE, false, Threads::One);
            }
        });
        let mixed = Rc::new(CachedSignal::from(Signal::new(mixed, v.signal.exponent)));
        (vec![mixed], Box::new(Tape { heads, q, k, v, weights }))
    }
}

impl<T: Real> Tape<T> {
    /// ∂C/∂scores in wide numbers, for all heads: mantissas and their exponent.
    fn wide(&self, slopes: &[T], batch: usize) -> (Vec<T>, i64) {
        let heads = &self.heads;
        let length = heads.length;
        let mut all = vec![Wide::ZERO; slopes.len()];
        let mut products = vec![T::ZERO; length * length];
        for sample in 0..batch {
            for head in 0..heads.count {
                heads.products(&self.q.signal.values, &self.k.signal.values, sample, head, &mut products);
                for query in 0..length {
                    let start = ((sample * heads.count + head) * length + query) * length;
                    let seen = heads.seen(query);
                    let scores = &products[query * length..][..seen];
                    let (slopes, to) = (&slopes[start..start + seen], &mut all[start..start + seen]);
                    softmax::wide_gradient(scores, heads.scale, slopes, to);
                }
            }
        }
        let signal = Signal::<T>::from_wide(slopes.len(), 1, &all);
        (signal.values.as_slice().to_vec(), signal.exponent)
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
        let heads = self.heads;
        let (features, length, width) = (heads.features(), heads.length, heads.width);
        let square = length * length;
        let (q, k, v) = (&self.q.signal, &self.k.signal, &self.v.signal);
        let weights = &self.weights;
        let mut slopes = vec![T::ZERO; self.weights.len()];
        let columns = d.values.ncols();
        let mut dv = DMatrix::from_element(features, columns, T::ZERO);
        let parts = [slopes.as_mut_slice(), dv.as_mut_slice()];
        each_sample(context.threads, context.batch, parts, |sample, [slopes, dv]| {
            for (head, slopes) in slopes.chunks_exact_mut(square).enumerate() {
                let from = (sample * heads.count + head) * square;
                let shares = View::of(&weights[from..from + square], length, length, length);
                let gradient = heads.view(&d.values, sample, head);
                product_to(
                    &mut dv[head * width..],
                    features,
                    &gradient,
                    &shares.transposed(),
                    T::ONE,
                    false,
                    Threads::One,
                );
                let values = heads.view(&v.values, sample, head).transposed();
                product_to(slopes, length, &values, &gradient, T::ONE, false, Threads::One);
            }
        });
        let mut scores = slopes.clone();
        for (scores, shares) in scores.chunks_exact_mut(length).zip(self.weights.chunks_exact(length)) {
            softmax::gradient(scores, shares);
        }
        let mut exponent = v.exponent + d.exponent;
        if length > 1 && softmax::is_lost(&scores, &slopes) {
            let (wide, shift) = self.wide(&slopes, context.batch);
            scores = wide;
            exponent += shift;
        }
        drop(slopes);
        let mut dq = DMatrix::from_element(features, columns, T::ZERO);
        let mut dk = DMatrix::from_element(features, columns, T::ZERO);
        let parts = [dq.as_mut_slice(), dk.as_mut_slice()];
        let alpha = T::of(1.0 / (width as f64).sqrt());
        each_sample(context.threads, context.batch, parts, |sample, [dq, dk]| {
            for head in 0..heads.count {
                let from = (sample * heads.count + head) * square;
                let scores = View::of(&scores[from..from + square], length, length, length);
                let (queries, keys) =
                    (heads.view(&q.values, sample, head), heads.view(&k.values, sample, head));
                product_to(&mut dq[head * width..], features, &keys, &scores, alpha, false, Threads::One);
                product_to(
                    &mut dk[head * width..],
                    features,
                    &queries,
                    &scores.transposed(),
                    alpha,
                    false,
                    Threads::One,
                );
            }
        });
        vec![
            Signal::new(dq, exponent + k.exponent),
            Signal::new(dk, exponent + q.exponent),
            Signal::new(dv, d.exponent),
        ]
    }
}
