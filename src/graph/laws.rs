//! The laws of a graph's parameters: those that the network's file names, or the experiment's.

use super::overrides::Override;
use super::{Graph, GraphError, Origin};
use crate::activation::Activation;
use crate::initializer::{Initializer, Place, Procedure, Site};
use crate::law::Law;
use crate::law::call::CatalogError;
use crate::law::draw::Affine;
use crate::op::{BiasSpec, Counts, Nature, Parameter, Role, Source, VectorParameter};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// What an experiment says of the laws.
#[derive(Clone, Copy)]
pub struct Laws<'a> {
    /// The initializer of layers that name none.
    pub init: &'a Initializer,
    /// The law of biases of layers that say nothing of them; `None` for what the initializer brings.
    pub bias: Option<&'a Initializer>,
    /// The activation of layers that name none.
    pub act: &'a Arc<Activation>,
    /// Laws of single parameters; of several that match, the last counts.
    pub overrides: &'a [Override],
}

impl Laws<'_> {
    /// What the experiment says of this parameter's weights alone.
    fn own_weights(&self, parameter: &Parameter) -> Option<&Rc<Initializer>> {
        self.overrides.iter().rev().find_map(|one| one.of_weights(parameter))
    }

    /// What it says of its biases alone.
    fn own_biases(&self, parameter: &Parameter) -> Option<&Rc<Initializer>> {
        self.overrides.iter().rev().find_map(|one| one.of_biases(parameter))
    }

    /// Where the initializer of a parameter's weights is named.
    fn origin_of_weights(&self, parameter: &Parameter) -> Origin {
        match parameter.init {
            _ if self.own_weights(parameter).is_some() => Origin::Override,
            Some(_) => Origin::Network,
            None => Origin::Initializer,
        }
    }
}

/// What tells a parameter's laws from another's where its number does not.
#[derive(PartialEq, Eq, Hash)]
struct Same {
    fans: (usize, usize),
    place: Place,
    init: Option<String>,
    bias: Option<String>,
    act: String,
}

/// Gives every parameter its law.
///
/// # Errors
/// The first law that cannot be drawn, with the path of its layer.
pub fn assign(graph: &mut Graph, laws: &Laws) -> Result<(), GraphError> {
    for one in laws.overrides {
        let matches = |p: &Parameter| one.of_weights(p).or(one.of_biases(p)).is_some();
        let of_vector = |vector: &VectorParameter| one.of_vector(vector).is_some();
        if !graph.parameters.iter().any(matches) && !graph.vectors.iter().any(of_vector) {
            let fault = GraphError::new(&one.to_string(), one.in_vain(&graph.parameters, &graph.vectors));
            return Err(fault.of(Origin::Override));
        }
    }
    let following = following(graph);
    let mut assignment = Assignment {
        laws,
        following,
        depth: graph.parameters.len(),
        branches: graph.residual_branches(),
        inits: HashMap::new(),
        known: HashMap::new(),
        identity: None,
    };
    for place in 0..graph.parameters.len() {
        let depth_of_branch = graph.parameters[place].branch.map(|(branch, _)| graph.branches[branch]);
        let (law, bias, init) = assignment.of(&graph.parameters[place], depth_of_branch)?;
        let (center, procedure) = (init.is_of_the_center(), init.procedure());
        let law = match graph.parameters[place].source {
            Source::Law => law,
            Source::Transposed(table) => graph.parameters[table].law,
        };
        let parameter = &mut graph.parameters[place];
        (parameter.law, parameter.bias) = (law, bias);
        parameter.center = center && parameter.kernel.is_some();
        parameter.rescaled = procedure == Some(Procedure::UnitVariance) && parameter.is_own();
        if matches!(parameter.role, Role::Embedding | Role::Position) {
            parameter.rescaled = false;
            if Affine::of(law).is_none() {
                let reason =
                    format!("`{}` does not draw its entries independently, as a table needs", init.name);
                let origin = laws.origin_of_weights(parameter);
                return Err(GraphError::new(&parameter.path, reason).of(origin));
            }
        }
    }
    for vector in &mut graph.vectors {
        vector.law = assignment.of_vector(vector)?;
    }
    // A recurrent layer shows the law of its state's weights.
    for entry in 0..graph.entries.len() {
        let Some(first) = graph.entries[entry].parameter else { continue };
        let shown = match graph.parameters.get(first + 1) {
            Some(next) if next.role == Role::Recurrent && next.entry == entry => first + 1,
            _ => first,
        };
        let (law, bias) = (graph.parameters[shown].law, graph.parameters[first].bias);
        (graph.entries[entry].weights, graph.entries[entry].bias) = (law, bias);
    }
    // Its later steps have no parameters of their own.
    for index in 1..graph.entries.len() {
        let before = &graph.entries[index - 1];
        let (law, bias, kind) = (before.weights, before.bias, before.kind);
        let entry = &mut graph.entries[index];
        if entry.weighted && entry.parameter.is_none() && entry.kind == kind {
            (entry.weights, entry.bias) = (law, bias);
        }
    }
    Ok(())
}

/// For each parameter, the activation that comes next behind it, the first of them where ways part; `None` behind the last.
fn following(graph: &Graph) -> Vec<Option<Arc<Activation>>> {
    let mut found = vec![None; graph.parameters.len()];
    // Of each value, the node of the next activation.
    let mut next: Vec<Option<usize>> = vec![None; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        let behind = node.outputs.iter().filter_map(|value| next[*value]).min();
        let (own, inner) = match node.operator.nature() {
            Nature::Pointwise(_) => (Some(index), behind),
            Nature::Activated(_) => (Some(index), Some(index)),
            _ => (behind, behind),
        };
        let act = inner.and_then(|node| match graph.nodes[node].operator.nature() {
            Nature::Pointwise(act) | Nature::Activated(act) => Some(act),
            _ => None,
        });
        node.parameters.iter().for_each(|place| found[*place] = act.cloned());
        for value in &node.inputs {
            next[*value] = [next[*value], own].into_iter().flatten().min();
        }
    }
    found
}

struct Assignment<'a> {
    laws: &'a Laws<'a>,
    following: Vec<Option<Arc<Activation>>>,
    depth: usize,
    branches: usize,
    inits: HashMap<String, Rc<Initializer>>,
    known: HashMap<Same, (Law, Law)>,
    identity: Option<Arc<Activation>>,
}

impl Assignment<'_> {
    fn initializer(&mut self, path: &str, text: &str) -> Result<Rc<Initializer>, GraphError> {
        if let Some(known) = self.inits.get(text) {
            return Ok(Rc::clone(known));
        }
        let init = Initializer::parse_for_net(text).map_err(|f| GraphError::new(path, f.to_string()))?;
        let init = Rc::new(init);
        self.inits.insert(text.into(), Rc::clone(&init));
        Ok(init)
    }

    /// The activation behind a parameter.
    fn following(&mut self, place: usize) -> Result<Arc<Activation>, CatalogError> {
        if let Some(Some(act)) = self.following.get(place) {
            return Ok(Arc::clone(act));
        }
        if let Some(identity) = &self.identity {
            return Ok(Arc::clone(identity));
        }
        let act = Arc::new(Activation::parse("linear")?);
        self.identity = Some(Arc::clone(&act));
        Ok(act)
    }

    /// The law of a vector: what the experiment says of it, or the file, or its usual constant.
    fn of_vector(&mut self, vector: &VectorParameter) -> Result<Law, GraphError> {
        let path = vector.name();
        let word = |f: CatalogError| GraphError::new(&path, f.to_string());
        let overrides = self.laws.overrides;
        let (init, origin) =
            match (overrides.iter().rev().find_map(|one| one.of_vector(vector)), &vector.init) {
                (Some(own), _) => (Rc::clone(own), Origin::Override),
                (None, Some(BiasSpec::Law(text))) => (self.initializer(&path, text)?, Origin::Network),
                (None, _) => (self.initializer(&path, vector.usual)?, Origin::Network),
            };
        let act = self.following(usize::MAX).map_err(word)?;
        let place = Place { width: Some(vector.length), branches: self.branches, ..Place::default() };
        let site = Site { place, ..Site::dense(vector.length, vector.length, 1, self.depth, &act) };
        let law = init.weights(&site).map_err(|f| word(f).of(origin))?;
        if Affine::of(law).is_none() {
            let reason =
                format!("`{}` does not draw its entries independently, as a vector needs", init.name);
            return Err(GraphError::new(&path, reason).of(origin));
        }
        Ok(law)
    }

    /// Laws of weights and biases, and the initializer that they are from.
    fn of(
        &mut self,
        parameter: &Parameter,
        depth_of_branch: Option<usize>,
    ) -> Result<(Law, Law, Rc<Initializer>), GraphError> {
        let path = &parameter.path;
        let word = |f: CatalogError| GraphError::new(path, f.to_string());
        let number = parameter.stream as usize;
        let act = self.following(number - 1).map_err(word)?;
        let laws = self.laws;
        let (own_weights, own_biases) = (laws.own_weights(parameter), laws.own_biases(parameter));
        let init = match (own_weights, &parameter.init) {
            (Some(own), _) => Rc::clone(own),
            (None, Some(text)) => self.initializer(path, text)?,
            (None, None) => match self.inits.get("") {
                Some(init) => Rc::clone(init),
                None => {
                    let init = Rc::new(self.laws.init.clone());
                    self.inits.insert(String::new(), Rc::clone(&init));
                    init
                }
            },
        };
        if let (true, Some(advice)) = (path.is_empty() && own_weights.is_some(), init.entry().not_dense) {
            let fault = CatalogError::argument(init.entry().name, advice);
            return Err(GraphError::new(&parameter.name(), fault.to_string()).of(Origin::Override));
        }
        let absent = !parameter.is_biased();
        let text = match &parameter.bias_spec {
            Some(BiasSpec::Law(text)) if !absent => Some(text.as_str()),
            _ => None,
        };
        let named = match own_biases {
            Some(own) => Some(Rc::clone(own)),
            None => text.map(|text| self.initializer(path, text)).transpose()?,
        };
        let bias: Option<&Initializer> = named.as_deref().or(self.laws.bias);
        let branch = parameter.branch.zip(depth_of_branch).map(|((_, place), depth)| (place, depth));
        let Counts { groups, heads, width } = parameter.counts;
        let convolution = parameter.kernel.is_some();
        let place = Place { convolution, groups, heads, width: Some(width), branches: self.branches, branch };
        let same = Same {
            fans: parameter.fans,
            place,
            init: own_weights.map(|own| own.name.clone()).or_else(|| parameter.init.clone()),
            bias: if absent { Some("none".into()) } else { named.as_ref().map(|named| named.name.clone()) },
            act: act.name.clone(),
        };
        // The last layer is one of a kind to some initializers.
        let fixed =
            number < self.depth && !init.depends_on_layer() && bias.is_none_or(|b| !b.depends_on_layer());
        if fixed && let Some((law, bias)) = self.known.get(&same) {
            return Ok((*law, *bias, init));
        }
        let (fan_in, fan_out) = parameter.fans;
        let site = Site { place, ..Site::dense(fan_in, fan_out, number, self.depth, &act) };
        let of_weights = laws.origin_of_weights(parameter);
        let of_biases = match named {
            _ if own_biases.is_some() => Origin::Override,
            Some(_) => Origin::Network,
            None => Origin::Biases,
        };
        let weights = init.weights(&site).map_err(|f| word(f).of(of_weights))?;
        let biases = match bias {
            _ if absent => Law::Constant(0.0),
            None => init.bias(&site).map_err(|f| word(f).of(of_weights))?,
            Some(bias) => {
                let law = bias.weights(&site).map_err(|f| word(f).of(of_biases))?;
                if Affine::of(law).is_none() {
                    let reason =
                        format!("the law of biases `{}` does not draw its entries independently", bias.name);
                    return Err(GraphError::new(path, reason).of(of_biases));
                }
                law
            }
        };
        if fixed {
            self.known.insert(same, (weights, biases));
        }
        Ok((weights, biases, init))
    }
}
