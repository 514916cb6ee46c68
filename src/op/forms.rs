//! Fields that may be written in more than one way.

use super::Space;
use crate::law::expression::Formula;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A whole number for each axis of a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PerAxis {
    /// The same for all axes.
    All(usize),
    /// In the order of the axes.
    Each(Vec<usize>),
}

impl BiasSpec {
    /// The layer is to have no biases.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Has(has) => !has,
            Self::Law(text) => text.trim().eq_ignore_ascii_case("none"),
        }
    }
}

impl PerAxis {
    pub(super) fn zero() -> Self {
        Self::All(0)
    }

    pub(super) fn is_zero(&self) -> bool {
        *self == Self::zero()
    }

    pub(super) fn one() -> Self {
        Self::All(1)
    }

    pub(super) fn is_one(&self) -> bool {
        *self == Self::one()
    }

    /// The numbers for depth, height and width, `absent` along the axes that the space has not.
    ///
    /// # Errors
    /// A list that is longer or shorter than the list of axes.
    pub fn along(&self, field: &str, space: Space, absent: usize) -> Result<[usize; 3], String> {
        let axes = space.axes();
        let mut all = [absent; 3];
        let present = &mut all[3 - axes.len()..];
        match self {
            Self::All(number) => present.fill(*number),
            Self::Each(list) if list.len() == axes.len() => present.copy_from_slice(list),
            Self::Each(list) => {
                return Err(format!(
                    "{field} = {list:?} has {} numbers; a whole number or [{}] fits",
                    list.len(),
                    axes.join(", ")
                ));
            }
        }
        Ok(all)
    }
}

/// What surrounds a sample's positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many positions at each side.
    Of(PerAxis),
    /// As many as make ⌈positions/stride⌉ outputs, the odd one behind the last: TensorFlow's and Keras's rule, and PyTorch's at stride 1.
    Same,
}

impl Default for Padding {
    fn default() -> Self {
        Self::Of(PerAxis::zero())
    }
}

/// A number, or a formula in the width of what it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Factor {
    /// As it is.
    Number(f64),
    /// As in `1/sqrt(width)`.
    Formula(String),
}

impl Factor {
    /// Its value at this width.
    ///
    /// # Errors
    /// A formula that cannot be read.
    pub fn value(&self, field: &str, width: usize) -> Result<f64, String> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Formula(text) => Formula::parse(text, &["width"])
                .map(|formula| formula.value(&[width as f64]))
                .map_err(|fault| format!("{field} = \"{text}\": {fault}")),
        }
    }
}

/// Biases of a layer, or another vector: a law, a number that all entries begin with, or whether there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BiasSpec {
    /// None, or what would be without this field.
    Has(bool),
    /// Their law.
    Law(String),
}

impl Serialize for PerAxis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All(number) => number.serialize(serializer),
            Self::Each(list) => list.serialize(serializer),
        }
    }
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Of(numbers) => numbers.serialize(serializer),
            Self::Same => "same".serialize(serializer),
        }
    }
}

impl Serialize for BiasSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Has(has) => has.serialize(serializer),
            Self::Law(law) => law.serialize(serializer),
        }
    }
}

/// What stands in a field that takes more than one form.
enum Form {
    Number(usize),
    Real(f64),
    Numbers(Vec<usize>),
    Word(String),
    Flag(bool),
}

struct Forms(&'static str);

impl<'de> Visitor<'de> for Forms {
    type Value = Form;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Form, E> {
        usize::try_from(value).map(Form::Number).map_err(|_| E::custom(format!("{value} is negative")))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Form, E> {
        usize::try_from(value).map(Form::Number).map_err(|_| E::custom(format!("{value} is too large")))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Form, E> {
        Ok(Form::Real(value))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Form, E> {
        Ok(Form::Flag(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Form, E> {
        Ok(Form::Word(value.into()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Form, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element()? {
            numbers.push(number);
        }
        Ok(Form::Numbers(numbers))
    }
}

impl<'de> Deserialize<'de> for PerAxis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NEEDED: &str = "a whole number or a list of them";
        match deserializer.deserialize_any(Forms(NEEDED))? {
            Form::Number(all) => Ok(Self::All(all)),
            Form::Numbers(list) => Ok(Self::Each(list)),
            _ => Err(de::Error::custom(format!("{NEEDED} is needed"))),
        }
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NEEDED: &str = "a whole number, a list of them, or \"same\"";
        match deserializer.deserialize_any(Forms(NEEDED))? {
            Form::Number(all) => Ok(Self::Of(PerAxis::All(all))),
            Form::Numbers(list) => Ok(Self::Of(PerAxis::Each(list))),
            Form::Word(word) if word == "same" => Ok(Self::Same),
            _ => Err(de::Error::custom(format!("{NEEDED} is needed"))),
        }
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Float(number) => Ok(Self::Number(number)),
            toml::Value::Integer(number) => Ok(Self::Number(number as f64)),
            toml::Value::String(text) => Ok(Self::Formula(text)),
            _ => Err(de::Error::custom("a number or a formula in `width` is needed, such as \"1/width\"")),
        }
    }
}

impl<'de> Deserialize<'de> for BiasSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NEEDED: &str = "true, false, a number or a law";
        match deserializer.deserialize_any(Forms(NEEDED))? {
            Form::Number(all) => Ok(Self::Law(format!("constant({all})"))),
            Form::Real(all) if all.is_finite() => Ok(Self::Law(format!("constant({all})"))),
            Form::Flag(has) => Ok(Self::Has(has)),
            Form::Word(law) => Ok(Self::Law(law)),
            _ => Err(de::Error::custom(format!("{NEEDED} is needed"))),
        }
    }
}
