//! The one comparison of specs: which fields differ, and in what values.

use serde::Serialize;
use serde_json::Value;

/// A field that two specs do not share.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The field of the spec, such as `widths`.
    pub field: String,
    /// Where the first difference within it is, such as `widths[3]` or `data.checksum`; the field itself where it differs as a
    /// whole.
    pub path: String,
    /// The earlier spec's value there; `None` where it has none.
    pub earlier: Option<Value>,
    /// This spec's value there.
    pub now: Option<Value>,
}

impl Difference {
    /// Index of the first entry that differs, of a list of equal length in both.
    pub fn index(&self) -> Option<usize> {
        self.path.strip_prefix(self.field.as_str())?.strip_prefix('[')?.split(']').next()?.parse().ok()
    }
}

/// Compares two specs field by field, in the order of the fields' names. Of a nested field the first difference is told.
///
/// Fields are taken from the JSON that the specs are written as, so a field that is added to a spec is compared without a word
/// here.
///
/// ```
/// use initdiag::spec::{Experiment, compare::differences};
///
/// let found = differences(&Experiment::plain(50, 512), &Experiment { batch: 8, ..Experiment::plain(50, 512) });
/// assert_eq!((found.len(), found[0].path.as_str()), (1, "batch"));
/// ```
pub fn differences<T: Serialize>(earlier: &T, now: &T) -> Vec<Difference> {
    let fields = |spec: &T| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (theirs, ours) = (fields(earlier), fields(now));
    let names = ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
    names
        .filter_map(|name| {
            let (path, earlier, now) = first(name.clone(), theirs.get(name), ours.get(name))?;
            Some(Difference { field: name.clone(), path, earlier: earlier.cloned(), now: now.cloned() })
        })
        .collect()
}

/// A place and the two values there.
type Place<'a> = (String, Option<&'a Value>, Option<&'a Value>);

/// The first place at which two values differ.
fn first<'a>(path: String, earlier: Option<&'a Value>, now: Option<&'a Value>) -> Option<Place<'a>> {
    match (earlier, now) {
        (a, b) if a == b => None,
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names = b.keys().chain(a.keys().filter(|name| !b.contains_key(*name)));
            names.into_iter().find_map(|name| first(format!("{path}.{name}"), a.get(name), b.get(name)))
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.into_iter().find_map(|(k, (a, b))| first(format!("{path}[{k}]"), Some(a), Some(b)))
        }
        (a, b) => Some((path, a, b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Experiment, Loss};

    #[test]
    fn every_field_that_differs_is_told_once_with_its_place() {
        let old = Experiment::plain(3, 8);
        assert!(differences(&old, &old).is_empty());
        let mut new = Experiment { bias: Some("normal".into()), loss: Loss::Mse, ..old.clone() };
        new.widths[2] = 9;
        new.widths[3] = 10;
        let found = differences(&old, &new);
        let places: Vec<&str> = found.iter().map(|d| d.path.as_str()).collect();
        assert_eq!(places, ["bias", "loss", "widths[2]"]);
        assert_eq!((found[2].field.as_str(), found[2].index()), ("widths", Some(2)));
        assert_eq!((&found[2].earlier, &found[2].now), (&Some(8.into()), &Some(9.into())));
        assert_eq!((&found[0].earlier, found[0].index()), (&Some(Value::Null), None));
        // Lists of unequal length differ as a whole, and so does what one of them lacks.
        let deeper = differences(&old, &Experiment::plain(4, 8));
        assert_eq!(deeper.iter().map(|d| d.path.as_str()).collect::<Vec<_>>(), ["depth", "widths"]);
        let source = crate::frontend::bundled::source("lenet5").unwrap();
        let net = crate::frontend::toml::Architecture::parse(source).unwrap();
        let with = Experiment { net: Some(net), ..old.clone() };
        let lacks = differences(&old, &with);
        assert_eq!((lacks[0].path.as_str(), &lacks[0].earlier), ("net", &None));
        let mut other = with.clone();
        other.net.as_mut().unwrap().act = Some("tanh".into());
        assert_eq!(differences(&with, &other)[0].path, "net.act");
    }
}
