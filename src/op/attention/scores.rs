//! What a product of a query and a key becomes on its way to the softmax: scaled, capped, shifted by distance; and which keys a query
//! sees.

use super::Attention;
use crate::numeric::real::Real;
use crate::numeric::wide::Wide;
use crate::op::softmax;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Keys that a query sees, where both stand at the same positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// A position sees those before it and itself only.
    pub causal: bool,
    /// It sees so many positions up to itself where the attention is causal, so many on either side where it is not.
    pub window: Option<usize>,
}

impl Mask {
    /// The keys that a query sees, of so many.
    pub fn seen(&self, query: usize, keys: usize) -> Range<usize> {
        let behind = query.saturating_add(1);
        match (self.causal, self.window) {
            (false, None) => 0..keys,
            (true, None) => 0..behind,
            (true, Some(window)) => behind.saturating_sub(window)..behind,
            (false, Some(window)) => query.saturating_sub(window)..behind.saturating_add(window).min(keys),
        }
    }
}

/// A learnt bias by relative position, as an architecture file spells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeSpec {
    #[serde(default = "buckets")]
    buckets: usize,
    #[serde(default = "distance")]
    distance: usize,
    /// The name of a table that several attentions share, such as all of an encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

impl RelativeSpec {
    /// What becomes of distances.
    pub fn relative(&self) -> Relative {
        Relative { buckets: self.buckets, distance: self.distance }
    }
}

/// A learnt bias of each head by relative position (Raffel et al. 2020, arXiv:1910.10683, § 2.1): distances share buckets, half of
/// which hold one distance each, while the others grow as a geometric sequence. Where a position sees both sides, each side has half
/// the buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relative {
    /// Columns of the table.
    pub buckets: usize,
    /// From this distance on all share the last bucket.
    pub distance: usize,
}

fn buckets() -> usize {
    32
}

fn distance() -> usize {
    128
}

/// More buckets than this are refused.
const MOST: usize = 65_536;

impl Relative {
    /// Buckets of one side, and those of them that hold one distance each.
    fn halves(&self, causal: bool) -> (usize, usize) {
        let side = if causal { self.buckets } else { self.buckets / 2 };
        (side, side / 2)
    }

    /// # Errors
    /// Too few buckets, too many, or a distance within those that hold one each.
    pub fn check(&self, causal: bool) -> Result<(), String> {
        let (buckets, sides) = (self.buckets, if causal { 1 } else { 2 });
        if !(2 * sides..=MOST).contains(&buckets) || !buckets.is_multiple_of(sides) {
            let even = if causal { "a number" } else { "an even number" };
            let least = 2 * sides;
            return Err(format!(
                "relative has {buckets} buckets, which is not {even} from {least} to {MOST}"
            ));
        }
        let (_, exact) = self.halves(causal);
        if self.distance <= exact {
            return Err(format!(
                "relative: distance = {} is not above {exact}, the distances that have a bucket each",
                self.distance
            ));
        }
        Ok(())
    }

    /// The bucket of a key and a query.
    fn bucket(&self, causal: bool, key: usize, query: usize) -> usize {
        let (side, exact) = self.halves(causal);
        let first = if !causal && key > query { side } else { 0 };
        let distance = if causal { query.saturating_sub(key) } else { key.abs_diff(query) };
        if distance < exact {
            return first + distance;
        }
        let share = (distance as f64 / exact as f64).ln() / (self.distance as f64 / exact as f64).ln();
        let beyond = (share * (side - exact) as f64) as usize;
        first + (exact + beyond).min(side - 1)
    }
}

/// From products of queries and keys to scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Factor of the products, 1/√width unless a file says otherwise.
    pub scale: f64,
    /// The keys that a query sees.
    pub mask: Mask,
    /// c·tanh(score/c) in place of the score, before any bias (Gemma Team 2024, arXiv:2408.00118).
    pub soft_cap: Option<f64>,
    /// Minus a slope of each head times the distance (Press et al. 2022, arXiv:2108.12409).
    pub alibi: bool,
    /// A learnt bias by relative position, of a parameter of the node.
    pub relative: Option<Relative>,
}

/// ALiBi's slopes of so many heads: 2^(−8/n), 2^(−16/n), … for a power of two n; for other counts those of the power of two
/// below, and then every other one of the power of two above.
pub fn slopes(heads: usize) -> Vec<f64> {
    let full = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let slope = |place: usize, of: usize| libm::exp2(-8.0 * (place + 1) as f64 / of as f64);
    let others = (0..heads - full).map(|place| slope(2 * place, 2 * full));
    (0..full).map(|place| slope(place, full)).chain(others).collect()
}

/// What is added to the score of a query and a key.
#[derive(Clone, Debug)]
enum Biases {
    None,
    /// Minus the distance times the slope of the head.
    Slopes(Vec<f64>),
    /// Of heads × buckets, and the bucket of each `key + queries − 1 − query`.
    Table {
        values: Vec<f64>,
        heads: usize,
        queries: usize,
        buckets: Vec<usize>,
    },
}

impl Biases {
    /// A bias from a table, heads × buckets.
    fn of_table(scores: &Scores, relative: Relative, table: Vec<f64>, queries: usize, keys: usize) -> Self {
        let offset = |place: usize| (place.saturating_sub(queries - 1), (queries - 1).saturating_sub(place));
        let bucket = |place: usize| {
            let (key, query) = offset(place);
            relative.bucket(scores.mask.causal, key, query)
        };
        let buckets = (0..queries + keys - 1).map(bucket).collect();
        Self::Table { heads: table.len() / relative.buckets, values: table, queries, buckets }
    }

    fn of(&self, head: usize, query: usize, key: usize) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Slopes(slopes) => -slopes[head] * key.abs_diff(query) as f64,
            Self::Table { values, heads, queries, buckets } => {
                values[buckets[key + queries - 1 - query] * heads + head]
            }
        }
    }

    /// The largest magnitude of what a table holds.
    fn top(&self) -> f64 {
        match self {
            Self::Table { values, .. } => values.iter().fold(0.0, |top, v| v.abs().max(top)),
            _ => 0.0,
        }
    }
}

/// The scores of one pass, whose products are mantissas with an exponent of their own.
#[derive(Clone, Debug)]
pub struct Pass {
    scores: Scores,
    /// Factor of the products' mantissas.
    scale: f64,
    /// Scores are handed on in units of 1/this: mantissas neither overflow nor lose their biases.
    unit: f64,
    biases: Biases,
}

impl Pass {
    /// Of products whose mantissas have this exponent; the table of relative positions is heads × buckets.
    pub fn new(attention: &Attention, exponent: i64, table: Option<Vec<f64>>) -> Self {
        let &Attention { heads, queries, keys, scores, .. } = attention;
        let scale = softmax::true_scale(scores.scale, exponent);
        let biases = match (scores.relative, table) {
            (Some(relative), Some(table)) => Biases::of_table(&scores, relative, table, queries, keys),
            _ if scores.alibi => Biases::Slopes(slopes(heads)),
            _ => Biases::None,
        };
        let unit = match (scores.soft_cap, &biases) {
            (Some(_), _) => 1.0,
            (None, Biases::None) => scale,
            (None, _) => scale.max(1.0).max(biases.top()),
        };
        Self { scores, scale, unit, biases }
    }

    /// The keys that a query sees, of so many.
    pub fn seen(&self, query: usize, keys: usize) -> Range<usize> {
        self.scores.mask.seen(query, keys)
    }

    /// Products are scores as they are.
    fn is_plain(&self) -> bool {
        self.scores.soft_cap.is_none() && matches!(self.biases, Biases::None)
    }

    /// From products of a head, a column of so many keys for each query, to scores in units of 1/`unit`.
    fn finish<T: Real>(&self, products: &mut [T], head: usize, keys: usize) {
        if self.is_plain() {
            return;
        }
        let capped = |product: f64| match self.scores.soft_cap {
            Some(cap) => cap * (product * self.scale / cap).tanh(),
            None => product * (self.scale / self.unit),
        };
        for (query, column) in products.chunks_exact_mut(keys).enumerate() {
            for key in self.seen(query, keys) {
                let score = capped(column[key].to_f64()) + self.biases.of(head, query, key) / self.unit;
                column[key] = T::of(score);
            }
        }
    }

    /// From products of a head to weights, in place.
    pub fn weights<T: Real>(&self, products: &mut [T], head: usize, keys: usize) {
        self.finish(products, head, keys);
        for (query, column) in products.chunks_exact_mut(keys).enumerate() {
            let seen = self.seen(query, keys);
            let (hidden, column) = column.split_at_mut(seen.start);
            hidden.fill(T::ZERO);
            softmax::weights(column, seen.len(), self.unit);
        }
    }

    /// Adds gradients of a head's scores to those of the table of relative positions.
    pub fn add_to_table<T: Real>(&self, gradients: &[T], head: usize, keys: usize, to: &mut [f64]) {
        let Biases::Table { heads, queries, buckets, .. } = &self.biases else { return };
        for (query, column) in gradients.chunks_exact(keys).enumerate() {
            for key in self.seen(query, keys) {
                to[buckets[key + queries - 1 - query] * heads + head] += column[key].to_f64();
            }
        }
    }

    /// Products are needed for the gradient too: the cap's slope depends on them.
    pub fn is_capped(&self) -> bool {
        self.scores.soft_cap.is_some()
    }

    /// From gradients of capped scores to those of scores, in place.
    pub fn uncap<T: Real>(&self, gradients: &mut [T], products: &[T]) {
        let Some(cap) = self.scores.soft_cap else { return };
        for (gradient, product) in gradients.iter_mut().zip(products) {
            let e = (-2.0 * (product.to_f64() * self.scale / cap).abs()).exp();
            *gradient *= T::of(4.0 * e / (1.0 + e).powi(2));
        }
    }

    /// Gradients of a head's scores in wide numbers from those of its weights.
    pub fn wide_gradient<T: Real>(
        &self,
        products: &[T],
        slopes: &[T],
        head: usize,
        keys: usize,
        to: &mut [Wide],
    ) {
        let mut scores = products.to_vec();
        self.finish(&mut scores, head, keys);
        for query in 0..products.len() / keys.max(1) {
            let seen = self.seen(query, keys);
            let seen = query * keys + seen.start..query * keys + seen.end;
            let to = &mut to[seen.clone()];
            softmax::wide_gradient(&scores[seen.clone()], self.unit, &slopes[seen.clone()], to);
            to.iter_mut()
                .zip(&products[seen])
                .for_each(|(to, product)| *to = self.wide_uncapped(*to, *product));
        }
    }

    /// The gradient of a score from that of the capped one: 1 − tanh² = 4e^(−2|x|)/(1 + e^(−2|x|))².
    fn wide_uncapped<T: Real>(&self, gradient: Wide, product: T) -> Wide {
        let Some(cap) = self.scores.soft_cap else { return gradient };
        let x = (product.to_f64() * self.scale / cap).abs().min(1e300);
        let rest = 1.0 + (-2.0 * x).exp();
        gradient * Wide::exp(-2.0 * x) * Wide::from(4.0 / (rest * rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_paper() {
        // Press et al. 2022: 1/2, 1/4, …, 1/2⁸ for 8 heads, and 1/√2, 1/2, …, 1/2⁸ for 16; 12 heads take four of the latter.
        let powers: Vec<f64> = (1..=8).map(|k| 0.5f64.powi(k)).collect();
        let close =
            |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-15);
        assert!(close(&slopes(8), &powers));
        let halves: Vec<f64> = (0..4).map(|k| 0.5f64.powf(k as f64 + 0.5)).collect();
        assert!(close(&slopes(12), &[&powers[..], &halves].concat()));
        assert!(close(&slopes(1), &[1.0 / 256.0]));
    }

    #[test]
    fn masks_let_windows_through() {
        let seen = |causal, window, query| Mask { causal, window }.seen(query, 6);
        assert_eq!([seen(false, None, 2), seen(true, None, 2)], [0..6, 0..3]);
        assert_eq!([seen(true, Some(2), 0), seen(true, Some(2), 4)], [0..1, 3..5]);
        assert_eq!([seen(false, Some(2), 1), seen(false, Some(2), 5)], [0..4, 3..6]);
        assert_eq!(seen(false, Some(usize::MAX), 3), 0..6);
    }
}
