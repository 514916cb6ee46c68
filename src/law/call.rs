//! The common form of catalog entries on the command line: `name`, `name(value, parameter=value)`, lists of them.

use std::fmt;

/// `name(argument, parameter=argument)` as written, not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Lower case, with `_` read as `-`.
    pub name: String,
    /// (parameter, argument) in order; no parameter where it is given by its place.
    pub arguments: Vec<(Option<String>, String)>,
}

/// Why a text does not name an entry of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum CatalogError {
    #[error("nothing is named")]
    Empty,
    #[error("unknown {what} `{name}`{}", Suggestion(.nearest))]
    Unknown { what: &'static str, name: String, nearest: Option<String> },
    #[error("unknown {what} `{name}`; there are {known}")]
    NotAmong { what: &'static str, name: String, known: String },
    #[error("cannot read `{text}`: {reason}")]
    Syntax { text: String, reason: String },
    #[error("{name}: {reason}")]
    Argument { name: String, reason: String },
}

struct Suggestion<'a>(&'a Option<String>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, ": did you mean `{name}`?"),
            None => write!(f, "; `initdiag catalog` lists all"),
        }
    }
}

impl CatalogError {
    /// With the known name most like it, if one is.
    pub fn unknown<'a>(what: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let nearest = nearest(name, known).map(str::to_string);
        Self::Unknown { what, name: name.into(), nearest }
    }

    /// With the known names, of which there are few.
    pub fn not_among(what: &'static str, name: &str, known: &[&str]) -> Self {
        match nearest(name, known.iter().copied()) {
            Some(near) => Self::Unknown { what, name: name.into(), nearest: Some(near.into()) },
            None => Self::NotAmong { what, name: name.into(), known: known.join(", ") },
        }
    }

    /// The argument `name` cannot be what it is, for this reason.
    pub fn argument(name: &str, reason: impl Into<String>) -> Self {
        Self::Argument { name: name.into(), reason: reason.into() }
    }

    pub(crate) fn syntax(text: &str, reason: &str) -> Self {
        Self::Syntax { text: text.into(), reason: reason.into() }
    }
}

/// The known name most like a misspelt one, when there is one that a reader would recognize.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Letters in common alone make `groupnorm` of `gru`: a beginning of the name, or most of its letters in order, is a slip of it.
    let slips = |candidate: &str| {
        candidate.starts_with(name) || strsim::normalized_damerau_levenshtein(name, candidate) >= 0.4
    };
    known
        .filter(|candidate| slips(candidate))
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Splits a list at the commas that stand outside parentheses.
///
/// # Errors
/// Unbalanced parentheses, or an empty item.
pub fn split_list(text: &str) -> Result<Vec<&str>, CatalogError> {
    let mut items = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.checked_sub(1).ok_or_else(|| CatalogError::syntax(text, "`)` without `(`"))?;
            }
            ',' if depth == 0 => {
                items.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(CatalogError::syntax(text, "`)` is missing at the end"));
    }
    items.push(text[start..].trim());
    if items.iter().any(|item| item.is_empty()) {
        return Err(if items.len() == 1 {
            CatalogError::Empty
        } else {
            CatalogError::syntax(text, "an item is empty")
        });
    }
    Ok(items)
}

/// The text with a plain space for each line break, tab or other white space: names stand in lines of a table.
pub fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect()
}

impl Call {
    /// Reads one call.
    ///
    /// # Errors
    /// No name, unbalanced parentheses, text after the closing one, or a parameter without a value.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let text = one_line(text);
        let text = text.as_str();
        if text.is_empty() {
            return Err(CatalogError::Empty);
        }
        let (name, inside) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => {
                let inside = rest.strip_suffix(')').ok_or_else(|| {
                    let reason = if rest.contains(')') {
                        "text after the closing `)`"
                    } else {
                        "`)` is missing at the end"
                    };
                    CatalogError::syntax(text, reason)
                })?;
                (name, Some(inside))
            }
        };
        let name = name.trim().to_lowercase().replace('_', "-");
        if name.is_empty() {
            return Err(CatalogError::syntax(text, "there is no name before `(`"));
        }
        let mut arguments = Vec::new();
        if let Some(inside) = inside.filter(|inside| !inside.trim().is_empty()) {
            for item in split_list(inside).map_err(|fault| match fault {
                CatalogError::Syntax { reason, .. } => CatalogError::syntax(text, &reason),
                other => other,
            })? {
                arguments.push(match item.split_once('=') {
                    None => (None, item.to_string()),
                    Some((parameter, value)) => {
                        let (parameter, value) = (parameter.trim(), value.trim());
                        if parameter.is_empty() || value.is_empty() {
                            return Err(CatalogError::syntax(text, "a parameter is written `name=value`"));
                        }
                        (Some(parameter.to_lowercase().replace('-', "_")), value.to_string())
                    }
                });
            }
        }
        Ok(Self { name, arguments })
    }

    /// The number of a bound parameter, of this name and with this default, that must be `legal`; `range` says in words what is.
    ///
    /// # Errors
    /// What is no such number.
    pub fn number(
        &self,
        given: Option<&str>,
        (name, default): (&str, f64),
        legal: fn(f64) -> bool,
        range: &str,
    ) -> Result<f64, CatalogError> {
        let Some(text) = given else { return Ok(default) };
        match text.parse::<f64>() {
            Ok(value) if legal(value) => Ok(value),
            _ => Err(CatalogError::argument(&self.name, format!("{name} = {text} is not {range}"))),
        }
    }

    /// Matches the arguments with the names of parameters, in their order; `None` where one is left to its default.
    ///
    /// # Errors
    /// More arguments than parameters, an unknown parameter, one given twice, or a positional one after a named one.
    pub fn bind(&self, parameters: &[&str]) -> Result<Vec<Option<&str>>, CatalogError> {
        let mut values = vec![None; parameters.len()];
        let mut named = false;
        for (place, (parameter, value)) in self.arguments.iter().enumerate() {
            let slot = match parameter {
                Some(parameter) => {
                    named = true;
                    parameters.iter().position(|p| p == parameter).ok_or_else(|| {
                        let reason = match parameters {
                            [] => format!("takes no parameters, so not `{parameter}`"),
                            [only] => format!("no parameter `{parameter}`; there is only {only}"),
                            [first @ .., last] => {
                                format!(
                                    "no parameter `{parameter}`; there are {} and {last}",
                                    first.join(", ")
                                )
                            }
                        };
                        CatalogError::argument(&self.name, reason)
                    })?
                }
                None if named => {
                    return Err(CatalogError::argument(
                        &self.name,
                        format!("`{value}` follows a named parameter"),
                    ));
                }
                None if place >= parameters.len() => {
                    let takes = match parameters.len() {
                        0 => "no parameters".to_string(),
                        1 => format!("one parameter ({})", parameters[0]),
                        count => format!("{count} parameters ({})", parameters.join(", ")),
                    };
                    let reason = format!("takes {takes}, not {}", self.arguments.len());
                    return Err(CatalogError::argument(&self.name, reason));
                }
                None => place,
            };
            if values[slot].replace(value.as_str()).is_some() {
                return Err(CatalogError::argument(
                    &self.name,
                    format!("`{}` is given twice", parameters[slot]),
                ));
            }
        }
        Ok(values)
    }
}

/// A text from outside, fit for a line of output: control characters, and those that turn the direction of writing, stand
/// as their escapes, such as `\u{1b}`.
pub fn printable(text: &str) -> String {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if hidden(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_outside_parentheses() {
        assert_eq!(
            split_list("xavier, normal(0, max(1,2)),he").unwrap(),
            ["xavier", "normal(0, max(1,2))", "he"]
        );
        for text in ["", " ", "a,", ",a", "a,,b", "a(", "a)"] {
            assert!(split_list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn calls_bind_by_place_and_name() {
        let call = Call::parse("He_Normal(fan_out, a = 0.2)").unwrap();
        assert_eq!(call.name, "he-normal");
        assert_eq!(call.bind(&["mode", "a", "gain"]).unwrap(), [Some("fan_out"), Some("0.2"), None]);
        for text in ["f(1,2,3,4)", "f(b=1)", "f(a=1, a=2)", "f(a=1, 2)", "f(1, mode=2)"] {
            assert!(Call::parse(text).unwrap().bind(&["mode", "a", "gain"]).is_err(), "{text}");
        }
        for text in ["f(1", "f(1)x", "(1)", "", "f(a=)", "f(=1)", "f(,)"] {
            assert!(Call::parse(text).is_err(), "{text}");
        }
        assert_eq!(Call::parse("zeros()").unwrap().arguments, []);
    }

    #[test]
    fn a_misspelt_name_gets_its_neighbor() {
        let known = ["xavier", "he", "orthogonal"];
        let fault = CatalogError::unknown("initializer", "xavierr", known.into_iter());
        assert_eq!(fault.to_string(), "unknown initializer `xavierr`: did you mean `xavier`?");
        assert_eq!(nearest("qqq", known.into_iter()), None);
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(printable("a\u{1b}[31m\n\u{202e}é.csv"), "a\\u{1b}[31m\\u{a}\\u{202e}é.csv");
    }
}
