//! `--input`: what goes into a network, by law or by file, of each of its inputs where there are several.

use super::error::Failure;
use crate::data;
use crate::frontend::toml::{Architecture, InputSpec};
use crate::law::call;
use crate::law::call::{CatalogError, printable};
use crate::simulate::{Input, Inputs};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What the options name.
pub struct Given {
    /// Text of what every input is given that has nothing of its own.
    pub common: String,
    /// Texts of what single inputs are given, by name.
    pub named: BTreeMap<String, String>,
    /// All of it.
    pub inputs: Inputs,
}

/// Reads what `--input` says, however often it is given, for a network of a file or, without one, for a plain stack.
pub fn given(texts: &[OsString], net: Option<&Architecture>) -> Result<Given, Failure> {
    let known = net.map_or(&[][..], |net| net.inputs.as_slice());
    let takes_tokens = |spec: &InputSpec| spec.tokens.is_some();
    let mut common: Option<(String, Input)> = None;
    let mut named: BTreeMap<String, (String, Input)> = BTreeMap::new();
    for text in texts {
        let fault = |reason: String| Failure::option("--input", &text.to_string_lossy(), reason);
        let taken = match of_one(text) {
            Some((name, kind)) => {
                let Some((_, spec)) = known.iter().find(|(known, _)| known == name) else {
                    return Err(fault(unknown(name, known)));
                };
                named.insert(name.into(), one(kind.as_ref(), takes_tokens(spec))?).is_some()
            }
            None => {
                let tokens = matches!(known, [(_, sole)] if takes_tokens(sole));
                common.replace(one(text, tokens)?).is_some()
            }
        };
        if taken {
            return Err(fault("this input is given something already".into()));
        }
    }
    let (common, input) = common.unwrap_or_else(|| ("normal".into(), Input::Normal));
    let texts = named.iter().map(|(name, (text, _))| (name.clone(), printable(text))).collect();
    let named = named.into_iter().map(|(name, (_, input))| (name, input)).collect();
    Ok(Given { common: printable(&common), named: texts, inputs: Inputs { common: input, named } })
}

/// Name and kind of `NAME=KIND`; `None` where the whole is meant, as of a file that is called so.
fn of_one(text: &OsStr) -> Option<(&str, &str)> {
    let (name, kind) = text.to_str()?.split_once('=')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    (is_name && !Path::new(text).exists()).then_some((name, kind))
}

/// Why no input has this name.
fn unknown(name: &str, known: &[(String, InputSpec)]) -> String {
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    match call::nearest(name, names.iter().copied()) {
        _ if names.is_empty() => "a plain stack has one input, which needs no name".into(),
        Some(near) => format!("the network has no input `{name}`: did you mean `{near}`?"),
        None => format!("the network has no input `{name}`; there are {}", names.join(", ")),
    }
}

/// The files among what is given.
pub fn files(texts: &[OsString]) -> Vec<&Path> {
    let all = texts.iter().map(|text| of_one(text).map_or(Path::new(text), |(_, kind)| Path::new(kind)));
    all.filter(|path| path.exists()).collect()
}

/// One input and its text in the spec. Anything that is not a law must be a file; what begins as a law, or nearly, is taken for a slip.
fn one(name: &OsStr, takes_tokens: bool) -> Result<(String, Input), Failure> {
    let (path, text) = (Path::new(name), &*name.to_string_lossy());
    const LAWS: [&str; 3] = ["normal", "uniform", "correlated"];
    let fault = |reason: String| Failure::option("--input", text, reason);
    let name = text.split('(').next().unwrap_or(text).trim().to_lowercase();
    if LAWS.contains(&name.as_str()) && !path.exists() {
        let call = call::Call::parse(text).map_err(|f| match f {
            CatalogError::Syntax { reason, .. } => fault(reason),
            f => fault(f.to_string()),
        })?;
        let canonical = match (name.as_str(), call.arguments.as_slice()) {
            ("correlated", [(Some(parameter), value)]) if parameter == "c" => format!("correlated({value})"),
            ("correlated", [(Some(parameter), _)]) => {
                return Err(fault(format!("no parameter `{parameter}`; correlated takes one, c")));
            }
            ("normal", [_, ..]) => {
                return Err(fault(
                    "normal takes no parameters: its entries have mean 0 and variance 1".into(),
                ));
            }
            ("uniform", [(low, a), (high, b)]) => {
                let known = |given: &Option<String>, names: [&str; 2]| {
                    given.as_ref().is_none_or(|given| names.contains(&given.as_str()))
                };
                if !known(low, ["lo", "low"]) || !known(high, ["hi", "high"]) {
                    return Err(fault("uniform takes two numbers, the lower one first".into()));
                }
                format!("uniform({a}, {b})")
            }
            _ => text.trim().to_string(),
        };
        let input = Input::parse(&canonical).map_err(|f| Failure::input(text, &f))?;
        return input.map(|input| (canonical, input)).ok_or_else(|| fault("is not a law of inputs".into()));
    }
    if !path.exists() {
        return Err(match call::nearest(&name, LAWS.into_iter()) {
            Some(law) => fault(format!("there is no such file; did you mean `{law}`?")),
            None => Failure::Data {
                path: path.into(),
                reason:
                    "there is no such file; laws are normal, uniform, uniform(low, high) and correlated(c)"
                        .into(),
            },
        });
    }
    let read = if takes_tokens {
        data::read_tokens(path).map(Input::Tokens)
    } else {
        data::read(path).map(Input::Data)
    };
    let input = read.map_err(|fault| Failure::Data { path: path.into(), reason: fault.to_string() })?;
    Ok((text.into(), input))
}
