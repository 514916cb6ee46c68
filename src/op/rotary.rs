//! Rotary positions (Su et al. 2021, arXiv:2104.09864): pairs of a head's entries turn by an angle that grows with the position, so
//! products of queries and keys depend on their distance.
//!
//! At position m, pair i of r/2 turns by m·base^(−2i/r).

use super::{Activations, Context, Operator, Parameter, Shapes, Unary, UnaryBackward, owned};
use crate::numeric::cached::CachedSignal;
use crate::numeric::pieces;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::max_abs;
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::rc::Rc;

/// Rotary positions as an architecture file asks for them: true, false, or a table of what is unusual.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RotarySpec {
    /// No rotation.
    #[default]
    Off,
    /// As usual.
    On,
    /// With fields of its own.
    With(Rotation),
}

/// The fields of rotary positions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Of the angles' geometric sequence.
    #[serde(default = "base")]
    pub base: f64,
    /// The first entries of each head that turn; all of them where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Which entries are a pair.
    #[serde(default)]
    pub style: Style,
}

fn base() -> f64 {
    10_000.0
}

impl RotarySpec {
    /// No rotation.
    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }

    /// What is asked for, of heads of this width.
    ///
    /// # Errors
    /// A width that is odd or too large, or a base that is none.
    pub fn rotation(&self, width: usize) -> Result<Option<Rotation>, String> {
        let rotation = match *self {
            Self::Off => return Ok(None),
            Self::On => Rotation { base: base(), width: None, style: Style::default() },
            Self::With(rotation) => rotation,
        };
        if width < 2 {
            return Err(
                "rotary turns pairs of features, and a head has but one: head_width = 2 would fit".into()
            );
        }
        let rotated = rotation.width.unwrap_or(width);
        if rotated == 0 || rotated % 2 == 1 || rotated > width {
            return Err(format!(
                "rotary turns pairs of a head's {width} features: its width is an even number up to that, not {rotated}"
            ));
        }
        if !(rotation.base.is_finite() && rotation.base >= 1.0) {
            return Err(format!(
                "the base of rotary is a number from 1 on, such as 10000, not {}",
                rotation.base
            ));
        }
        Ok(Some(rotation))
    }
}

impl Serialize for RotarySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::With(rotation) => rotation.serialize(serializer),
            _ => serializer.serialize_bool(*self == Self::On),
        }
    }
}

impl<'de> Deserialize<'de> for RotarySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Boolean(false) => Ok(Self::Off),
            toml::Value::Boolean(true) => Ok(Self::On),
            table @ toml::Value::Table(_) => Rotation::deserialize(table)
                .map(Self::With)
                .map_err(|fault| de::Error::custom(fault.message())),
            _ => Err(de::Error::custom("true, false or a table is needed, such as { base = 10000 }")),
        }
    }
}

/// Which entries of a head are a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Those half the rotated width apart, as in GPT-NeoX and Llama.
    #[default]
    Half,
    /// Neighbors, as in RoFormer and GPT-J.
    Pairs,
}

/// A rotation of each position's heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    /// Entries of a head.
    pub width: usize,
    /// The first entries of each head that turn, an even number.
    pub rotated: usize,
    /// Of the angles' geometric sequence.
    pub base: f64,
    /// Which entries are a pair.
    pub style: Style,
    /// Positions of a sample.
    pub length: usize,
}

impl Operator for Rotary {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        6.0 * shapes.output_size() as f64 * self.rotated as f64 / self.width as f64
    }

    fn tape_bytes(&self, _: &Shapes, _: usize) -> u128 {
        4 * self.length as u128 * self.rotated as u128
    }
}

/// Cosine and sine of each pair's angle at each position.
struct Tape<T: Real> {
    rotary: Rotary,
    turns: Vec<(T, T)>,
}

impl Rotary {
    fn turns<T: Real>(&self) -> Vec<(T, T)> {
        let pairs = self.rotated / 2;
        let rate = |pair: usize| self.base.powf(-2.0 * pair as f64 / self.rotated as f64);
        let rates: Vec<f64> = (0..pairs).map(rate).collect();
        let at = |position: usize| {
            rates.iter().map(move |rate| {
                let (sin, cos) = (position as f64 * rate).sin_cos();
                (T::of(cos), T::of(sin))
            })
        };
        (0..self.length).flat_map(at).collect()
    }
}

impl<T: Real> Tape<T> {
    /// Turns every head forward, or back.
    fn turned(&self, signal: Signal<T>, back: bool, threads: Threads) -> Signal<T> {
        let Signal { mut values, exponent } = signal;
        let Rotary { width, rotated, style, length, .. } = self.rotary;
        let (rows, pairs) = (values.nrows().max(1), rotated / 2);
        let tops = pieces::each(values.as_mut_slice(), pieces::length(rows), threads, |first, piece| {
            for (index, column) in piece.chunks_exact_mut(rows).enumerate() {
                let position = (first / rows + index) % length;
                let turns = &self.turns[position * pairs..][..pairs];
                for head in column.chunks_exact_mut(width) {
                    match style {
                        Style::Half => {
                            let (a, b) = head[..rotated].split_at_mut(pairs);
                            a.iter_mut()
                                .zip(b)
                                .zip(turns)
                                .for_each(|((a, b), turn)| rotate(a, b, *turn, back));
                        }
                        Style::Pairs => {
                            for (pair, turn) in head[..rotated].chunks_exact_mut(2).zip(turns) {
                                let (a, b) = pair.split_at_mut(1);
                                rotate(&mut a[0], &mut b[0], *turn, back);
                            }
                        }
                    }
                }
            }
            max_abs(piece)
        });
        Signal { values, exponent }.normalized_from(&tops)
    }
}

fn rotate<T: Real>(a: &mut T, b: &mut T, (cos, sin): (T, T), back: bool) {
    let sin = if back { -sin } else { sin };
    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
}

super::one_to_one!(Rotary);

impl<T: Real> Unary<T> for Rotary {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let tape = Tape { rotary: *self, turns: self.turns() };
        let out = tape.turned(owned(x), false, context.threads);
        (Rc::new(CachedSignal::from(out)), Box::new(tape))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        self.turned(d.signal, true, context.threads)
    }
}
