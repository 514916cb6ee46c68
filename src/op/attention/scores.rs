//! What a product of a query and a key becomes on its way to the softmax: scaled, capped, shifted by distance; and which keys a query
//! sees.

use crate::numeric::real::Real;
use crate::numeric::wide::Wide;
use crate::op::softmax;
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
}

/// ALiBi's slopes of so many heads: 2^(−8/n), 2^(−16/n), … for a power of two n; for other counts those of the power of two
/// below, and then every other one of the power of two above.
pub fn slopes(heads: usize) -> Vec<f64> {
    let full = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let slope = |place: usize, of: usize| libm::exp2(-8.0 * (place + 1) as f64 / of as f64);
    let others = (0..heads - full).map(|place| slope(2 * place, 2 * full));
    (0..full).map(|place| slope(place, full)).chain(others).collect()
}

/// The scores of one pass, whose products are mantissas with an exponent of their own.
#[derive(Clone, Debug)]
pub struct Pass {
    scores: Scores,
    /// Factor of the products' mantissas.
    scale: f64,
    /// Scores are handed on in units of 1/this: mantissas neither overflow nor lose their biases.
    unit: f64,
    /// By head; empty without ALiBi.
    slopes: Vec<f64>,
}

impl Pass {
    /// Of products whose mantissas have this exponent.
    pub fn new(scores: Scores, exponent: i64, heads: usize) -> Self {
        let scale = softmax::true_scale(scores.scale, exponent);
        let unit = match scores.soft_cap {
            Some(_) => 1.0,
            None if scores.alibi => scale.max(1.0),
            None => scale,
        };
        let slopes = if scores.alibi { slopes(heads) } else { Vec::new() };
        Self { scores, scale, unit, slopes }
    }

    /// The keys that a query sees, of so many.
    pub fn seen(&self, query: usize, keys: usize) -> Range<usize> {
        self.scores.mask.seen(query, keys)
    }

    /// Products are scores as they are.
    fn is_plain(&self) -> bool {
        self.scores.soft_cap.is_none() && !self.scores.alibi
    }

    /// From products of a head, a column of so many keys for each query, to scores in units of 1/`unit`.
    fn finish<T: Real>(&self, products: &mut [T], head: usize, keys: usize) {
        if self.is_plain() {
            return;
        }
        let slope = self.slopes.get(head).map_or(0.0, |slope| slope / self.unit);
        let capped = |product: f64| match self.scores.soft_cap {
            Some(cap) => cap * (product * self.scale / cap).tanh(),
            None => product * (self.scale / self.unit),
        };
        for (query, column) in products.chunks_exact_mut(keys).enumerate() {
            for key in self.seen(query, keys) {
                let score = capped(column[key].to_f64()) - slope * key.abs_diff(query) as f64;
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
