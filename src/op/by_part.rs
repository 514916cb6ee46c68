//! A field of an architecture file that may differ from part to part of a layer.

use crate::law::call::nearest;
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// One value for all parts of a layer, or a table with a value for some: `{ query = "normal(0, 0.02)", out = "zeros" }`. Parts that the
/// table leaves out are as if the field were not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ByPart<T> {
    /// Of every part.
    All(T),
    /// By the parts' names.
    Parts(BTreeMap<String, T>),
}

/// What a field says of a part of its layer.
pub fn of_part<'a, T>(field: &'a Option<ByPart<T>>, part: &str) -> Option<&'a T> {
    match field {
        Some(ByPart::All(value)) => Some(value),
        Some(ByPart::Parts(parts)) => parts.get(part),
        None => None,
    }
}

/// Refuses names of parts that the layer does not have.
///
/// # Errors
/// The first such name, with those that there are.
pub fn check_parts<T>(name: &str, field: &Option<ByPart<T>>, known: &[&str]) -> Result<(), String> {
    let Some(ByPart::Parts(parts)) = field else { return Ok(()) };
    let Some(part) = parts.keys().find(|part| !known.contains(&part.as_str())) else { return Ok(()) };
    Err(match (known, nearest(part, known.iter().copied())) {
        ([], _) => format!("{name} takes no table here: the layer has one part"),
        (_, Some(near)) => format!("{name} has no part `{part}`; did you mean `{near}`?"),
        (all, None) => format!("{name} has no part `{part}`; there are {}", all.join(", ")),
    })
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for ByPart<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let of = |value: toml::Value| T::deserialize(value).map_err(|fault| fault.message().to_string());
        let read = match toml::Value::deserialize(deserializer)? {
            toml::Value::Table(parts) => {
                let one = |(name, value): (String, toml::Value)| match of(value) {
                    Ok(value) => Ok((name, value)),
                    Err(fault) => Err(format!("{name}: {fault}")),
                };
                parts.into_iter().map(one).collect::<Result<_, _>>().map(Self::Parts)
            }
            other => of(other).map(Self::All),
        };
        read.map_err(|fault| de::Error::custom(fault.trim()))
    }
}
