//! Every weight drawn and multiplied: exact for any law.

use super::haar::orthonormal_columns;
use super::{LinearMap, rank_one};
use crate::law::Law;
use crate::law::draw::{self, Affine};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{Threads, View, mul, tr_mul};
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::{Key, Part, Role};
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;
use std::sync::Arc;

/// W = scale·U + mean·11ᵀ, with U of the order of one.
pub struct Dense<T: Real> {
    law: Law,
    fan_in: usize,
    fan_out: usize,
    key: Key,
    scale: Wide,
    mean: Wide,
    drawn: Option<Drawn<T>>,
    /// Not drawn but given: it cannot be drawn again.
    given: bool,
}

enum Drawn<T: Real> {
    /// U is zero: every weight is the mean.
    Nothing,
    /// Ones on the diagonal.
    Identity,
    /// U, fan_out × fan_in.
    Plain(DMatrix<T>),
    /// Uᵀ, fan_in × fan_out: a unit's weights lie side by side.
    Transposed(DMatrix<T>),
    /// W, fan_out × fan_in, which others have too.
    Shared(Arc<DMatrix<T>>),
}

impl<T: Real> Dense<T> {
    /// The weights of a layer under `law`; nothing is drawn before it is needed.
    pub fn new(law: Law, fan_in: usize, fan_out: usize, key: Key) -> Self {
        let (scale, mean) = match law {
            Law::Haar { gain } | Law::Identity { gain } | Law::Mirrored { gain, .. } => (gain, 0.0),
            Law::Sparse { std, .. } => (std, 0.0),
            _ => Affine::of(law).map_or((0.0, 0.0), |affine| (affine.scale, affine.mean)),
        };
        Self { law, fan_in, fan_out, key, scale: scale.into(), mean: mean.into(), drawn: None, given: false }
    }

    /// Weights that are known, fan_out × fan_in.
    pub fn given(weights: Arc<DMatrix<T>>) -> Self {
        let (fan_out, fan_in) = weights.shape();
        let key = Key { seed: 0, trial: 0, layer: 0 };
        let new = Self::new(Law::Constant(0.0), fan_in, fan_out, key);
        Self { scale: 1.0.into(), drawn: Some(Drawn::Shared(weights)), given: true, ..new }
    }

    /// scale·U + mean·11ᵀ with a known U, whose units' weights are the columns (fan_in × fan_out).
    pub fn of_units(units: DMatrix<T>, scale: Wide, mean: Wide) -> Self {
        let (fan_in, fan_out) = units.shape();
        let key = Key { seed: 0, trial: 0, layer: 0 };
        let new = Self::new(Law::Constant(0.0), fan_in, fan_out, key);
        Self { scale, mean, drawn: Some(Drawn::Transposed(units)), given: true, ..new }
    }

    /// scale and mean of W = scale·U + mean·11ᵀ.
    pub fn affine(&self) -> (Wide, Wide) {
        (self.scale, self.mean)
    }

    /// U, fan_out × fan_in, for products of other forms than this operator's; `None` where it is zero.
    pub fn unit(&mut self, threads: Threads) -> Option<View<'_, T>> {
        if matches!(self.draw(threads), Drawn::Identity) {
            let ones = |i, j| if i == j { T::ONE } else { T::ZERO };
            self.drawn = Some(Drawn::Plain(DMatrix::from_fn(self.fan_out, self.fan_in, ones)));
        }
        match self.draw(threads) {
            Drawn::Nothing | Drawn::Identity => None,
            Drawn::Plain(w) => Some(View::plain(w)),
            Drawn::Shared(w) => Some(View::plain(w)),
            Drawn::Transposed(wt) => Some(View::plain(wt).transposed()),
        }
    }

    /// The same weights times a number.
    #[must_use]
    pub fn times(self, factor: Wide) -> Self {
        Self { scale: self.scale * factor, mean: self.mean * factor, ..self }
    }

    /// The weight matrix itself, fan_out × fan_in, in double precision.
    pub fn matrix(&mut self, threads: Threads) -> DMatrix<f64> {
        let (scale, mean) = (self.scale.to_f64(), self.mean.to_f64());
        self.unit_as(Real::to_f64, threads).map(|u| scale * u + mean)
    }

    /// A copy of U, fan_out × fan_in.
    pub fn unit_matrix(&mut self, threads: Threads) -> DMatrix<T> {
        self.unit_as(|u| u, threads)
    }

    fn unit_as<S: Real>(&mut self, number: impl Fn(T) -> S, threads: Threads) -> DMatrix<S> {
        let (rows, columns) = (self.fan_out, self.fan_in);
        let of = |is_one: bool| if is_one { S::ONE } else { S::ZERO };
        match self.draw(threads) {
            Drawn::Nothing => DMatrix::from_element(rows, columns, S::ZERO),
            Drawn::Identity => DMatrix::from_fn(rows, columns, |i, j| of(i == j)),
            Drawn::Plain(w) => w.map(number),
            Drawn::Shared(w) => w.map(number),
            Drawn::Transposed(wt) => wt.map(number).transpose(),
        }
    }

    fn draw(&mut self, threads: Threads) -> &Drawn<T> {
        let (law, fan_in, fan_out, key) = (self.law, self.fan_in, self.fan_out, self.key);
        let haar = |fan_in: usize, fan_out: usize| match fan_in >= fan_out {
            true => Drawn::Transposed(orthonormal_columns(fan_in, fan_out, key, threads)),
            false => Drawn::Plain(orthonormal_columns(fan_out, fan_in, key, threads)),
        };
        self.drawn.get_or_insert_with(|| match law {
            Law::Haar { .. } => haar(fan_in, fan_out),
            Law::Mirrored { .. } => {
                let (columns, rows) = law.block(fan_in, fan_out);
                let of = |m: &dyn Fn(usize, usize) -> T| {
                    Drawn::Plain(DMatrix::from_fn(fan_out, fan_in, |i, j| {
                        let entry = m(i % rows, j % columns);
                        if (i >= rows) == (j >= columns) { entry } else { -entry }
                    }))
                };
                match haar(columns, rows) {
                    Drawn::Transposed(m) => of(&|i, j| m[(j, i)]),
                    Drawn::Plain(m) => of(&|i, j| m[(i, j)]),
                    other => other,
                }
            }
            Law::Identity { .. } => Drawn::Identity,
            Law::Sparse { sparsity, .. } => {
                Drawn::Plain(draw::sparse(fan_out, fan_in, sparsity, key, threads))
            }
            law => match Affine::of(law).and_then(|affine| affine.standard) {
                None => Drawn::Nothing,
                Some(standard) => {
                    let name = (key, Role::Weights, Part::Block(0));
                    Drawn::Transposed(draw::matrix((fan_in, fan_out), standard, name, threads))
                }
            },
        })
    }
}

impl<T: Real> Dense<T> {
    /// scale·U·x or scale·Uᵀ·x; `None` where U is zero.
    fn spread(&mut self, x: &Signal<T>, backward: bool, threads: Threads) -> Option<Signal<T>> {
        let rows = if backward { self.fan_in } else { self.fan_out };
        let (alpha, exponent) = (T::of(self.scale.mantissa()), self.scale.exponent());
        let values = match self.draw(threads) {
            Drawn::Nothing => return None,
            Drawn::Identity => on_diagonal(&x.values, rows, alpha),
            Drawn::Plain(w) if backward => tr_mul(w, &x.values, alpha, threads),
            Drawn::Plain(w) => mul(w, &x.values, alpha, threads),
            Drawn::Shared(w) if backward => tr_mul(w, &x.values, alpha, threads),
            Drawn::Shared(w) => mul(w, &x.values, alpha, threads),
            Drawn::Transposed(wt) if backward => mul(wt, &x.values, alpha, threads),
            Drawn::Transposed(wt) => tr_mul(wt, &x.values, alpha, threads),
        };
        Some(Signal::shared(values, x.exponent + exponent, threads))
    }

    /// scale·U·x + mean·1(1ᵀx), and the same with Uᵀ.
    fn apply(&mut self, x: &CachedSignal<T>, backward: bool, threads: Threads) -> Signal<T> {
        let rows = if backward { self.fan_in } else { self.fan_out };
        let spread = self.spread(&x.signal, backward, threads);
        match spread {
            Some(spread) if self.mean.is_zero() => spread,
            Some(spread) => spread.plus(rank_one(x, rows, self.mean)),
            None => rank_one(x, rows, self.mean),
        }
    }
}

impl<T: Real> LinearMap<T> for Dense<T> {
    fn forward(&mut self, x: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        self.apply(x, false, threads)
    }

    fn backward(&mut self, y: &CachedSignal<T>, threads: Threads) -> Signal<T> {
        self.apply(y, true, threads)
    }

    fn release(&mut self) {
        if !self.given {
            self.drawn = None;
        }
    }
}

fn on_diagonal<T: Real>(x: &DMatrix<T>, rows: usize, scale: T) -> DMatrix<T> {
    DMatrix::from_fn(rows, x.ncols(), |i, j| if i < x.nrows() { scale * x[(i, j)] } else { T::ZERO })
}
