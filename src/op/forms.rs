//! Fields that may be written in more than one way.

use crate::law::expression::Formula;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Height and width: one whole number for both, or a list of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub usize, pub usize);

impl BiasSpec {
    /// The layer is to have no biases.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Has(has) => !has,
            Self::Law(text) => text.trim().eq_ignore_ascii_case("none"),
        }
    }
}

impl Pair {
    pub(super) fn one() -> Self {
        Self(1, 1)
    }

    pub(super) fn is_one(&self) -> bool {
        *self == Self(1, 1)
    }
}

/// What surrounds an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many positions at each side.
    Of(Pair),
    /// As many as keep height and width at stride 1.
    Same,
}

impl Default for Padding {
    fn default() -> Self {
        Self::Of(Pair(0, 0))
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

/// Biases of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BiasSpec {
    /// None, or what would be without this field.
    Has(bool),
    /// Their law.
    Law(String),
}

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == self.1 {
            (self.0 as u64).serialize(serializer)
        } else {
            [self.0, self.1].serialize(serializer)
        }
    }
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Of(pair) => pair.serialize(serializer),
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

const PAIR: &str = "a whole number or a list of two";

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(Forms(PAIR))? {
            Form::Number(both) => Ok(Self(both, both)),
            Form::Numbers(list) if list.len() == 2 => Ok(Self(list[0], list[1])),
            _ => Err(de::Error::custom(format!("{PAIR} is needed"))),
        }
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NEEDED: &str = "a whole number, a list of two, or \"same\"";
        match deserializer.deserialize_any(Forms(NEEDED))? {
            Form::Number(both) => Ok(Self::Of(Pair(both, both))),
            Form::Numbers(list) if list.len() == 2 => Ok(Self::Of(Pair(list[0], list[1]))),
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
        const NEEDED: &str = "true, false or a law";
        match deserializer.deserialize_any(Forms(NEEDED))? {
            Form::Flag(has) => Ok(Self::Has(has)),
            Form::Word(law) => Ok(Self::Law(law)),
            _ => Err(de::Error::custom(format!("{NEEDED} is needed"))),
        }
    }
}
