//! The laws of a network's layers: by the layer's own names, or by the defaults.

use super::{Builder, Matrix, NetError, fault};
use crate::activation::Activation;
use crate::frontend::toml::BiasSpec;
use crate::frontend::toml::count::{Census, Following};
use crate::initializer::{Initializer, Place, Site};
use crate::law::Law;
use crate::law::call::CatalogError;
use crate::law::draw::Affine;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// What tells a layer's law from another's where the layer's number does not.
#[derive(PartialEq, Eq, Hash)]
struct Same {
    fans: (usize, usize),
    place: Place,
    init: Option<String>,
    bias: Option<String>,
    act: String,
}

/// A layer is to have no biases.
pub fn without(bias: Option<&BiasSpec>) -> bool {
    match bias {
        None | Some(BiasSpec::Has(true)) => false,
        Some(BiasSpec::Has(false)) => true,
        Some(BiasSpec::Law(text)) => text.trim().eq_ignore_ascii_case("none"),
    }
}

pub struct Laws<'a> {
    builder: &'a Builder<'a>,
    census: &'a Census,
    acts: HashMap<String, Arc<Activation>>,
    inits: HashMap<String, Rc<Initializer>>,
    known: HashMap<Same, (Law, Law)>,
    straight: Option<Arc<Activation>>,
}

impl<'a> Laws<'a> {
    pub fn new(builder: &'a Builder, census: &'a Census) -> Self {
        let (acts, inits, known) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { builder, census, acts, inits, known, straight: None }
    }

    pub fn activation(&mut self, text: &str) -> Result<Arc<Activation>, CatalogError> {
        if let Some(known) = self.acts.get(text) {
            return Ok(Arc::clone(known));
        }
        let act = Arc::new(Activation::parse(text)?);
        self.acts.insert(text.into(), Arc::clone(&act));
        Ok(act)
    }

    pub fn initializer(&mut self, path: &str, text: &str) -> Result<Rc<Initializer>, NetError> {
        if let Some(known) = self.inits.get(text) {
            return Ok(Rc::clone(known));
        }
        let init = Initializer::parse_for_net(text).map_err(|f| fault(path, f.to_string()))?;
        let init = Rc::new(init);
        self.inits.insert(text.into(), Rc::clone(&init));
        Ok(init)
    }

    pub fn is_of_the_centre(&mut self, path: &str, init: Option<&str>) -> Result<bool, NetError> {
        match init {
            None => Ok(self.builder.init.is_of_the_centre()),
            Some(text) => Ok(self.initializer(path, text)?.is_of_the_centre()),
        }
    }

    /// The activation behind the layer of this number.
    fn following(&mut self, number: usize) -> Result<Arc<Activation>, CatalogError> {
        match self.census.followed.get(number - 1) {
            Some(Following::Default) => Ok(Arc::clone(self.builder.act)),
            Some(Following::Named(text)) => self.activation(&text.clone()),
            Some(Following::Nothing) | None => match &self.straight {
                Some(act) => Ok(Arc::clone(act)),
                None => {
                    let act = self.activation("linear")?;
                    self.straight = Some(Arc::clone(&act));
                    Ok(act)
                }
            },
        }
    }

    /// Laws of weights and biases of the layer of this number.
    pub fn of(
        &mut self,
        matrix: &Matrix,
        number: usize,
        branch: Option<(usize, usize)>,
    ) -> Result<(Law, Law), NetError> {
        let path = matrix.path;
        let word = |f: CatalogError| fault(path, f.to_string());
        let act = self.following(number).map_err(word)?;
        let own = matrix.init.map(|text| self.initializer(path, text)).transpose()?;
        let init: &Initializer = own.as_deref().unwrap_or(self.builder.init);
        let none = without(matrix.bias);
        let text = match matrix.bias {
            Some(BiasSpec::Law(text)) if !none => Some(text.as_str()),
            _ => None,
        };
        let named = text.map(|text| self.initializer(path, text)).transpose()?;
        let bias: Option<&Initializer> = named.as_deref().or(self.builder.bias);
        let place = Place { convolution: matrix.convolution, branches: self.census.branches, branch };
        let same = Same {
            fans: matrix.fans,
            place,
            init: matrix.init.map(str::to_string),
            bias: if none { Some("none".into()) } else { text.map(str::to_string) },
            act: act.name.clone(),
        };
        let depth = self.census.followed.len();
        // The last layer is one of a kind to some initialisers.
        let fixed = number < depth && !init.depends_on_layer() && bias.is_none_or(|b| !b.depends_on_layer());
        if fixed && let Some(known) = self.known.get(&same) {
            return Ok(*known);
        }
        let (fan_in, fan_out) = matrix.fans;
        let site = Site { place, ..Site::dense(fan_in, fan_out, number, depth, &act) };
        let weights = init.weights(&site).map_err(word)?;
        let biases = match bias {
            _ if none => Law::Constant(0.0),
            None => init.bias(&site).map_err(word)?,
            Some(bias) => {
                let law = bias.weights(&site).map_err(word)?;
                if Affine::of(law).is_none() {
                    let reason =
                        format!("the law of biases `{}` does not draw its entries independently", bias.name);
                    return Err(fault(path, reason));
                }
                law
            }
        };
        if fixed {
            self.known.insert(same, (weights, biases));
        }
        Ok((weights, biases))
    }
}
