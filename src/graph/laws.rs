//! The laws of a graph's parameters: those that the network's file names, or the experiment's.

use super::overrides::Override;
use super::{Graph, GraphError, Origin};
use crate::activation::Activation;
use crate::initializer::{Class, Initializer, Place, Procedure, Site, VectorSite};
use crate::law::Law;
use crate::law::call::CatalogError;
use crate::law::draw::Affine;
use crate::op::recurrent::FORGET;
use crate::op::{BiasSpec, Counts, GateBias, Nature, Parameter, Role, Source, VectorParameter};
use std::collections::{HashMap, HashSet};
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
        let matches =
            |p: &Parameter| one.of_weights(p).or(one.of_biases(p)).or(one.of_gate_bias(p)).is_some();
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
        numbers: numbers(&graph.branches),
        inits: HashMap::new(),
        known: HashMap::new(),
        identity: None,
    };
    for place in 0..graph.parameters.len() {
        let depth_of_branch = graph.parameters[place].branch.map(|(branch, _)| graph.branches[branch]);
        let Assigned { weights: law, bias, init } =
            assignment.of(&graph.parameters[place], depth_of_branch)?;
        let own = assignment.of_gate_bias(&graph.parameters[place], depth_of_branch, &init)?;
        let (center, procedure) = (init.is_of_the_center(), init.procedure());
        let law = match graph.parameters[place].source {
            Source::Law => law,
            Source::Transposed(table) => graph.parameters[table].law,
        };
        let parameter = &mut graph.parameters[place];
        (parameter.law, parameter.bias) = (law, bias);
        if let (Some(gate_bias), Some(own)) = (&mut parameter.gate_bias, own) {
            gate_bias.law = own;
        }
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
    vectors(graph, &mut assignment)?;
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

/// Gives every vector its law.
fn vectors(graph: &mut Graph, assignment: &mut Assignment) -> Result<(), GraphError> {
    // Behind a branch's last weights, the last of a kind ends the branch.
    let ending = |vector: &VectorParameter| {
        vector.branch.filter(|(branch, place)| *place > 0 && *place == graph.branches[*branch])
    };
    let mut last: HashMap<(usize, &str), u64> = HashMap::new();
    for vector in &graph.vectors {
        if let Some((branch, _)) = ending(vector) {
            last.insert((branch, vector.kind), vector.stream);
        }
    }
    let last: HashSet<u64> = last.into_values().collect();
    let of = assignment.laws.init.entry();
    let mut done = false;
    for vector in &mut graph.vectors {
        let site = VectorSite { kind: vector.kind, ends_branch: last.contains(&vector.stream) };
        let scheme = of.vectors.as_ref().and_then(|vectors| {
            let constant = (vectors.constant)(&site)?;
            done = true;
            (vectors.above_file || vector.init.is_none()).then_some(Law::Constant(constant))
        });
        vector.law = assignment.of_vector(vector, scheme)?;
    }
    match of.vectors.as_ref().and_then(|vectors| vectors.needs) {
        Some(needs) if !done => {
            let reason = format!("needs {needs}, which the network has not");
            Err(GraphError::new(&assignment.laws.init.name, reason).of(Origin::Initializer))
        }
        _ => Ok(()),
    }
}

/// The law of biases by the initializer that is named for them, else the one that the weights' initializer brings; each with where it is
/// named.
fn law_of_biases(
    path: &str,
    named: Option<(&Initializer, Origin)>,
    (init, of_weights): (&Initializer, Origin),
    site: &Site,
) -> Result<Law, GraphError> {
    let fault = |reason: String, origin| GraphError::new(path, reason).of(origin);
    let Some((bias, origin)) = named else {
        return init.bias(site).map_err(|f| fault(f.to_string(), of_weights));
    };
    let law = bias.weights(site).map_err(|f| fault(f.to_string(), origin))?;
    match Affine::of(law) {
        Some(_) => Ok(law),
        None => {
            let reason = format!("the law of biases `{}` does not draw its entries independently", bias.name);
            Err(fault(reason, origin))
        }
    }
}

/// Of each residual branch, its running number among those with weights, from 1; 0 of one without.
fn numbers(branches: &[usize]) -> Vec<usize> {
    let mut count = 0;
    let number = |weighted: bool| {
        count += usize::from(weighted);
        if weighted { count } else { 0 }
    };
    branches.iter().map(|depth| *depth > 0).map(number).collect()
}

/// What frameworks call a parameter's layer.
fn class(parameter: &Parameter) -> Class {
    match parameter.role {
        Role::Query => Class::Query,
        Role::Key => Class::Key,
        Role::Value => Class::Value,
        Role::Output if parameter.gate.is_some() => Class::Projection,
        Role::Output => Class::AttentionOutput,
        Role::Gate => Class::GateInput,
        Role::Recurrent => Class::GateState,
        Role::Embedding => Class::Embedding,
        Role::Position => Class::Positions,
        Role::Weight if parameter.counts.transposed => Class::TransposedConvolution,
        Role::Weight if parameter.kernel.is_some() => Class::Convolution,
        Role::Weight => Class::Linear,
    }
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
    /// Running numbers of the branches.
    numbers: Vec<usize>,
    inits: HashMap<String, Rc<Initializer>>,
    known: HashMap<Same, (Law, Law)>,
    identity: Option<Arc<Activation>>,
}

/// Laws of a parameter.
struct Assigned {
    weights: Law,
    bias: Law,
    /// The initializer that the weights' law is from.
    init: Rc<Initializer>,
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

    /// The law of a vector: what the experiment says of it, or the scheme that it follows, or the file, or its usual constant.
    fn of_vector(&mut self, vector: &VectorParameter, scheme: Option<Law>) -> Result<Law, GraphError> {
        let path = vector.name();
        let word = |f: CatalogError| GraphError::new(&path, f.to_string());
        let overrides = self.laws.overrides;
        let (init, origin) =
            match (overrides.iter().rev().find_map(|one| one.of_vector(vector)), &vector.init) {
                (Some(own), _) => (Rc::clone(own), Origin::Override),
                (None, _) if let Some(law) = scheme => return Ok(law),
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
    fn of(&mut self, parameter: &Parameter, depth_of_branch: Option<usize>) -> Result<Assigned, GraphError> {
        let path = &parameter.path;
        let word = |f: CatalogError| GraphError::new(path, f.to_string());
        let number = parameter.stream as usize;
        let act = self.following(number - 1).map_err(word)?;
        let laws = self.laws;
        let (own_weights, own_biases) = (laws.own_weights(parameter), laws.own_biases(parameter));
        let init = match (own_weights, &parameter.init) {
            (Some(own), _) => Rc::clone(own),
            (None, Some(text)) => self.initializer(path, text)?,
            (None, None) if let Some(usual) = parameter.usual.filter(|_| !laws.init.entry().tables) => {
                self.initializer(path, usual)?
            }
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
        let spec = if absent { None } else { parameter.bias_spec.as_ref() };
        let named = self.named_biases(path, own_biases, spec)?;
        // What the experiment says of biases, it says of one vector a gate.
        let beside = parameter.role == Role::Recurrent && laws.bias.is_some();
        let zeros = if beside { Some(self.initializer(path, "zeros")?) } else { None };
        let common = zeros.as_deref().or(laws.bias).map(|bias| (bias, Origin::Biases));
        let bias = named.as_ref().map(|(bias, origin)| (&**bias, *origin)).or(common);
        // The number of its branch, as its own, matters to those that ask for it.
        let mut place = self.place(parameter, depth_of_branch);
        if !init.depends_on_layer() {
            place.number = 0;
        }
        let same = Same {
            fans: parameter.fans,
            place,
            init: own_weights.map(|own| own.name.clone()).or_else(|| parameter.init.clone()),
            bias: if absent {
                Some("none".into())
            } else {
                named.as_ref().map(|(named, _)| named.name.clone())
            },
            act: act.name.clone(),
        };
        // The last layer is one of a kind to some initializers.
        let fixed = number < self.depth
            && !init.depends_on_layer()
            && bias.is_none_or(|(b, _)| !b.depends_on_layer());
        if fixed && let Some((law, bias)) = self.known.get(&same) {
            return Ok(Assigned { weights: *law, bias: *bias, init });
        }
        let (fan_in, fan_out) = parameter.fans;
        let site = Site { place, ..Site::dense(fan_in, fan_out, number, self.depth, &act) };
        let brought = (&*init, laws.origin_of_weights(parameter));
        let weights = init.weights(&site).map_err(|f| word(f).of(brought.1))?;
        let biases = if absent { Law::Constant(0.0) } else { law_of_biases(path, bias, brought, &site)? };
        if fixed {
            self.known.insert(same, (weights, biases));
        }
        Ok(Assigned { weights, bias: biases, init })
    }

    /// The initializer that the experiment or the file names for these biases, and which of them does.
    fn named_biases(
        &mut self,
        path: &str,
        own: Option<&Rc<Initializer>>,
        spec: Option<&BiasSpec>,
    ) -> Result<Option<(Rc<Initializer>, Origin)>, GraphError> {
        Ok(match (own, spec) {
            (Some(own), _) => Some((Rc::clone(own), Origin::Override)),
            (None, Some(BiasSpec::Law(text))) => Some((self.initializer(path, text)?, Origin::Network)),
            (None, _) => None,
        })
    }

    /// Where a parameter stands.
    fn place(&self, parameter: &Parameter, depth_of_branch: Option<usize>) -> Place {
        let Counts { groups, heads, width, blocks, packed, .. } = parameter.counts;
        Place {
            class: class(parameter),
            blocks,
            packed,
            forget: parameter.gate == Some(FORGET),
            groups,
            heads,
            width: Some(width),
            branches: self.branches,
            branch: parameter.branch.zip(depth_of_branch).map(|((_, place), depth)| (place, depth)),
            number: parameter.branch.map_or(0, |(branch, _)| self.numbers[branch]),
        }
    }

    /// The law of one gate's biases among those of all: what the experiment says of them, or the file, or the initializer.
    fn of_gate_bias(
        &mut self,
        parameter: &Parameter,
        depth_of_branch: Option<usize>,
        init: &Initializer,
    ) -> Result<Option<Law>, GraphError> {
        let (Some(GateBias { gate, spec, .. }), Some(path)) =
            (&parameter.gate_bias, parameter.gate_bias_name())
        else {
            return Ok(None);
        };
        let overrides = self.laws.overrides;
        // Who names the biases of all gates means these too.
        let own =
            overrides.iter().rev().find_map(|one| one.of_gate_bias(parameter).or(one.of_biases(parameter)));
        let named = self.named_biases(&path, own, spec.as_ref())?;
        let common = self.laws.bias.map(|bias| (bias, Origin::Biases));
        let bias = named.as_ref().map(|(bias, origin)| (&**bias, *origin)).or(common);
        let act = self
            .following(parameter.stream as usize - 1)
            .map_err(|f| GraphError::new(&path, f.to_string()))?;
        let place = Place { forget: *gate == FORGET, ..self.place(parameter, depth_of_branch) };
        let (fan_in, fan_out) = parameter.fans;
        let site =
            Site { place, ..Site::dense(fan_in, fan_out, parameter.stream as usize, self.depth, &act) };
        let brought = (init, self.laws.origin_of_weights(parameter));
        law_of_biases(&path, bias, brought, &site).map(Some)
    }
}
