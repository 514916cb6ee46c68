//! Laws that the experiment gives to single parameters, by patterns of their names.

use crate::initializer::Initializer;
use crate::law::call::CatalogError;
use crate::op::vector::KINDS;
use crate::op::{Parameter, VectorParameter};
use std::rc::Rc;
use wildmatch::WildMatch;

/// `PATTERN=LAW`: a law for every parameter whose name the pattern matches, in place of what the network's file and the experiment say of
/// it.
///
/// A name is the layer's path, a gate of a recurrent layer, and `weight`, `recurrent`, `positions` or `bias`:
/// `block1/attention1/query/weight`, `lstm1/forget/bias`. In a pattern `*` stands for any characters and `?` for one; dots are slashes;
/// `weight` may be left out. Biases are meant where the pattern ends with `bias`, and only there; so it is with `gain`, `shift` and the
/// other vectors.
///
/// ```
/// use initdiag::graph::Override;
///
/// assert_eq!(Override::parse("*.out = normal(0, 0.01)")?.to_string(), "*.out=normal(0, 0.01)");
/// assert_eq!(Override::parse("*/gain=0")?.to_string(), "*/gain=constant(0)");
/// assert!(Override::parse("*.out").is_err());
/// # Ok::<(), initdiag::law::call::CatalogError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Override {
    pattern: String,
    matcher: WildMatch,
    meant: Meant,
    init: Rc<Initializer>,
}

/// What a pattern is of, by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meant {
    Weights,
    Biases,
    Vectors,
}

impl Meant {
    fn by(pattern: &str) -> Self {
        let last = pattern.rsplit('/').next().unwrap_or(pattern).trim_start_matches(['*', '?']);
        match last {
            _ if pattern.ends_with("bias") => Self::Biases,
            kind if KINDS.contains(&kind) => Self::Vectors,
            _ => Self::Weights,
        }
    }
}

impl std::fmt::Display for Override {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.pattern, self.init.name)
    }
}

impl Override {
    /// Reads `PATTERN=LAW`.
    ///
    /// # Errors
    /// No `=`, an empty pattern, or a law that cannot be read.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let (pattern, law) = text
            .split_once('=')
            .map(|(pattern, law)| (pattern.trim(), law.trim()))
            .filter(|(pattern, _)| !pattern.is_empty())
            .ok_or_else(|| {
                CatalogError::syntax(text, "PATTERN=LAW is needed, such as '*/query=normal(0, 0.02)'")
            })?;
        // A number alone is the constant.
        let number = law.parse::<f64>().ok().filter(|number| number.is_finite());
        let law = number.map_or_else(|| law.to_string(), |number| format!("constant({number})"));
        let init = Rc::new(Initializer::parse_for_net(&law)?);
        let name = pattern.replace('.', "/");
        Ok(Self { matcher: WildMatch::new(&name), meant: Meant::by(&name), pattern: pattern.into(), init })
    }

    /// Reads a list of them.
    ///
    /// # Errors
    /// As for [`Override::parse`], for the first faulty one.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, CatalogError> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// The initializer that draws the weights of this parameter.
    pub fn of_weights(&self, parameter: &Parameter) -> Option<&Rc<Initializer>> {
        let matches = |name: &str| {
            let short = name.strip_suffix("/weight");
            self.matcher.matches(name) || short.is_some_and(|short| self.matcher.matches(short))
        };
        let own = self.meant == Meant::Weights && parameter.is_own();
        (own && matches(&parameter.name().replace('.', "/"))).then_some(&self.init)
    }

    /// The initializer that draws its biases.
    pub fn of_biases(&self, parameter: &Parameter) -> Option<&Rc<Initializer>> {
        let matches = || self.matcher.matches(&parameter.bias_name().replace('.', "/"));
        (self.meant == Meant::Biases && parameter.is_biased() && matches()).then_some(&self.init)
    }

    /// The initializer that draws the biases of one gate, which stand among those of all.
    pub fn of_gate_bias(&self, parameter: &Parameter) -> Option<&Rc<Initializer>> {
        let matches = |name: String| self.matcher.matches(&name.replace('.', "/"));
        let meant = self.meant == Meant::Biases && parameter.is_biased();
        (meant && parameter.gate_bias_name().is_some_and(matches)).then_some(&self.init)
    }

    /// The initializer that draws this vector.
    pub fn of_vector(&self, vector: &VectorParameter) -> Option<&Rc<Initializer>> {
        let matches = || self.matcher.matches(&vector.name().replace('.', "/"));
        (self.meant == Meant::Vectors && matches()).then_some(&self.init)
    }

    /// What a message says of a pattern that matches nothing in a network with these parameters.
    pub fn in_vain(&self, parameters: &[Parameter], vectors: &[VectorParameter]) -> String {
        const SHOWN: usize = 3;
        let names = |all: &mut dyn Iterator<Item = String>| {
            let mut names: Vec<String> = all.take(SHOWN + 1).collect();
            if names.len() > SHOWN {
                names[SHOWN] = "…".into();
            }
            names.join(", ")
        };
        let (what, all) = match self.meant {
            Meant::Biases => {
                let biased = parameters.iter().filter(|p| p.is_biased());
                ("biases", names(&mut biased.map(Parameter::bias_name)))
            }
            Meant::Weights => {
                let own = parameters.iter().filter(|p| p.is_own());
                ("weights", names(&mut own.map(Parameter::name)))
            }
            Meant::Vectors => {
                ("gains, shifts and the like", names(&mut vectors.iter().map(VectorParameter::name)))
            }
        };
        match all.as_str() {
            "" => format!("the network has no {what}"),
            all => format!("no {what} have such a name; there are {all}"),
        }
    }
}
