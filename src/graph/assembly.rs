//! A graph under construction, and the checks that end it.

use super::{Entry, Graph, GraphError, Node, Places, RecordedNorm, Value, trunk};
use crate::activation::Activation;
use crate::law::Law;
use crate::op::layer::{Assembler, NewEntry, NewNode, Port, Wanted};
use crate::op::vector::STREAMS;
use crate::op::{Nature, Parameter, Shape, VectorParameter, WantedVector};
use crate::weights::Method;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// More entries of a sample than this are refused: products of four such counts still fit 128 bits.
const LARGEST: u128 = 1_000_000_000_000;
/// More lines of the result, or nodes, than this are refused.
const MOST: usize = 4_000_000;

/// A graph to which layers add their nodes.
pub struct Assembly {
    graph: Graph,
    /// Path of the layer at work.
    path: String,
    act: Arc<Activation>,
    acts: HashMap<String, Arc<Activation>>,
    masks: u64,
    table: Option<usize>,
    /// Tables that layers share, by the names that a file gives them.
    shared: HashMap<String, usize>,
    /// Residual branches around the layer at work; `None` for a shortcut, which belongs to none.
    around: Vec<Option<usize>>,
}

impl Assembly {
    /// Begins with inputs of these names and shapes; activations that a file does not name are `act`.
    ///
    /// # Errors
    /// A shape that is empty or too large.
    pub fn new(inputs: &[(&str, Shape)], act: &Arc<Activation>) -> Result<Self, GraphError> {
        for (name, shape) in inputs {
            check(*shape).map_err(|reason| GraphError::new(name, reason))?;
        }
        let value = |(_, shape): &(&str, Shape)| Value { shape: *shape, last_use: 0, trained: false };
        let graph = Graph {
            nodes: Arc::default(),
            values: Arc::new(inputs.iter().map(value).collect()),
            inputs: inputs.iter().map(|(name, _)| (*name).into()).collect(),
            parameters: Vec::new(),
            vectors: Vec::new(),
            entries: Vec::new(),
            recorded_norms: Vec::new(),
            output: 0,
            branches: Vec::new(),
            trunks: Vec::new(),
            cuts: Vec::new(),
        };
        Ok(Self {
            graph,
            path: String::new(),
            act: Arc::clone(act),
            acts: HashMap::new(),
            masks: 0,
            table: None,
            shared: HashMap::new(),
            around: Vec::new(),
        })
    }

    /// The network's inputs, each with its name.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, Port)> {
        let port = |(value, shape)| Port { value, shape };
        self.graph.inputs.iter().map(String::as_str).zip(self.graph.inputs().enumerate().map(port))
    }

    /// The layer whose nodes come next stands at this path.
    pub fn begin(&mut self, path: &str) {
        self.path.clear();
        self.path.push_str(path);
    }

    /// What comes next stands in a residual branch of its own.
    pub fn open_branch(&mut self) {
        self.around.push(Some(self.graph.branches.len()));
        self.graph.branches.push(0);
    }

    /// What comes next stands in no residual branch.
    pub fn open_shortcut(&mut self) {
        self.around.push(None);
    }

    /// The branch or shortcut opened last ends.
    pub fn close(&mut self) {
        self.around.pop();
    }

    fn at(&self, part: Option<&str>) -> String {
        match part {
            Some(part) if self.path.is_empty() => part.into(),
            Some(part) => format!("{}/{part}", self.path),
            None => self.path.clone(),
        }
    }

    /// The innermost residual branch around the layer at work, and the layers with weights in it so far.
    fn branch(&self) -> Option<(usize, usize)> {
        let innermost = self.around.last().copied().flatten();
        innermost.map(|branch| (branch, self.graph.branches[branch]))
    }

    /// Ends the construction with this output.
    ///
    /// # Errors
    /// No weights at all, two layers with weights at one path, or a value that no layer takes.
    pub fn finish(self, output: Port) -> Result<Graph, GraphError> {
        let mut graph = self.graph;
        graph.output = output.value;
        if graph.parameters.is_empty() {
            return Err(GraphError::new("the network", "no layer of it has weights"));
        }
        let mut paths = HashSet::new();
        for entry in graph.entries.iter().filter(|entry| !entry.path.is_empty()) {
            if !paths.insert(entry.path.as_str()) {
                return Err(GraphError::new(
                    &entry.path,
                    "two layers have this path: give one of them another name",
                ));
            }
        }
        all_used(&graph)?;
        uses(&mut graph);
        completions(&mut graph);
        trunks_and_cuts(&mut graph);
        Ok(graph)
    }
}

/// A shape that is neither empty nor too large.
fn check(shape: Shape) -> Result<(), String> {
    let extent = shape.space.extent().map(|length| length as u128);
    let positions = extent.into_iter().fold(1, u128::saturating_mul);
    match positions.saturating_mul(shape.channels as u128) {
        0 => Err(format!("its output {shape} is empty")),
        size if size > LARGEST => Err(format!("its output {shape} has more than 10^12 entries")),
        _ => Ok(()),
    }
}

impl Assembler for Assembly {
    fn activation(&mut self, text: Option<&str>) -> Result<Arc<Activation>, String> {
        let Some(text) = text else { return Ok(Arc::clone(&self.act)) };
        if let Some(known) = self.acts.get(text) {
            return Ok(Arc::clone(known));
        }
        let act = Arc::new(Activation::parse(text).map_err(|fault| fault.to_string())?);
        self.acts.insert(text.into(), Arc::clone(&act));
        Ok(act)
    }

    fn parameter(&mut self, wanted: &Wanted) -> usize {
        let place = self.graph.parameters.len();
        let branch = self.branch();
        if wanted.deepens {
            for branch in self.around.iter().flatten() {
                self.graph.branches[*branch] += 1;
            }
        }
        self.graph.parameters.push(Parameter {
            path: self.at(wanted.part),
            gate: wanted.gate,
            role: wanted.role,
            stream: place as u64 + 1,
            entry: wanted.entry,
            shape: wanted.shape,
            biases: wanted.biases,
            fans: wanted.fans,
            counts: wanted.counts,
            kernel: wanted.kernel,
            branch,
            init: wanted.init.map(str::to_string),
            bias_spec: wanted.bias.cloned(),
            usual: wanted.usual,
            gate_bias: wanted.gate_bias.clone(),
            source: wanted.source,
            law: Law::Constant(0.0),
            bias: Law::Constant(0.0),
            center: false,
            rescaled: false,
            method: Method::Dense,
        });
        if wanted.role == crate::op::Role::Embedding {
            self.table = Some(place);
        }
        let entry = &mut self.graph.entries[wanted.entry];
        entry.parameter.get_or_insert(place);
        place
    }

    fn vector(&mut self, wanted: &WantedVector) -> usize {
        let place = self.graph.vectors.len();
        self.graph.vectors.push(VectorParameter {
            path: self.path.clone(),
            kind: wanted.kind,
            stream: STREAMS + place as u64,
            length: wanted.length,
            init: wanted.init.cloned(),
            branch: self.branch(),
            usual: wanted.usual,
            neutral: wanted.neutral,
            law: Law::Constant(wanted.neutral),
        });
        place
    }

    fn entry(&mut self, entry: &NewEntry) -> Result<usize, String> {
        let place = self.graph.entries.len();
        if place >= MOST {
            return Err(format!("the network would have more than {MOST} layers"));
        }
        self.graph.entries.push(Entry {
            path: self.at(entry.part),
            kind: entry.kind,
            fan_in: entry.fans.0,
            fan_out: entry.fans.1,
            units: entry.units,
            positions: entry.positions,
            weights: Law::Identity { gain: 1.0 },
            bias: Law::Constant(0.0),
            parameter: None,
            weighted: entry.weighted,
            trunk: false,
        });
        Ok(place)
    }

    fn node(&mut self, node: NewNode) -> Result<Vec<Port>, String> {
        if self.graph.nodes.len() >= MOST {
            return Err(format!("the network would have more than {MOST} operators"));
        }
        node.outputs.iter().try_for_each(|shape| check(*shape))?;
        let first = self.graph.values.len();
        let new = |shape: &Shape| Value { shape: *shape, last_use: 0, trained: false };
        Arc::make_mut(&mut self.graph.values).extend(node.outputs.iter().map(new));
        let outputs: Places = (first..self.graph.values.len()).collect();
        let ports = outputs.iter().zip(&node.outputs).map(|(v, shape)| Port { value: *v, shape: *shape });
        let ports = ports.collect();
        let path = self.at(node.part);
        if let (Some(entry), Some(first)) = (node.entry, node.parameters.first()) {
            self.graph.entries[entry].parameter.get_or_insert(*first);
        }
        Arc::make_mut(&mut self.graph.nodes).push(Node {
            path,
            operator: node.operator,
            inputs: node.inputs.iter().map(|port| port.value).collect(),
            outputs,
            parameters: node.parameters.into(),
            vectors: node.vectors.into(),
            entry: node.entry,
            completes: None,
            norm: node.norm,
        });
        Ok(ports)
    }

    fn norm(&mut self, kind: &'static str, shape: Shape) -> usize {
        let (path, behind) = (self.path.clone(), self.graph.entries.len());
        let norm = RecordedNorm { path, kind, channels: shape.channels, behind, trunk: false };
        self.graph.recorded_norms.push(norm);
        self.graph.recorded_norms.len() - 1
    }

    fn embedding(&self) -> Option<(usize, (usize, usize))> {
        self.table.map(|place| (place, self.graph.parameters[place].shape))
    }

    fn table(&mut self, name: Option<&str>, wanted: &Wanted) -> usize {
        let place = self.parameter(wanted);
        self.shared.extend(name.map(|name| (name.to_string(), place)));
        place
    }

    fn known(&self, name: &str, wanted: &Wanted) -> Result<Option<usize>, String> {
        let Some(&place) = self.shared.get(name) else { return Ok(None) };
        let known = &self.graph.parameters[place];
        let differ = |what: &str, first: String, other: String| {
            let at = if known.path.is_empty() { "an earlier layer" } else { &known.path };
            Err(format!("table `{name}` is that of {at}, whose {what} is {first}, not {other}"))
        };
        let size = |(rows, columns): (usize, usize)| format!("{rows} × {columns}");
        if (known.shape, known.role) != (wanted.shape, wanted.role) {
            return differ("size", size(known.shape), size(wanted.shape));
        }
        match wanted.init {
            Some(init) if known.init.as_deref() != Some(init) => {
                let first = known.init.as_deref().unwrap_or("what the experiment says");
                differ("law", format!("`{first}`"), format!("`{init}`"))
            }
            _ => Ok(Some(place)),
        }
    }

    fn next_mask(&mut self) -> u64 {
        self.masks += 1;
        self.masks
    }

    fn name_of(&self, port: &Port) -> String {
        match self.graph.inputs.get(port.value) {
            Some(_) if self.graph.inputs.len() == 1 => return "the input".into(),
            Some(name) => return format!("the input `{name}`"),
            None => {}
        }
        let maker = self.graph.nodes.iter().rev().find(|node| node.outputs.contains(&port.value));
        let name = |node: &Node| match index(node, port.value) {
            Some(place) => format!("`{}[{place}]`", node.path),
            None => format!("`{}`", node.path),
        };
        maker.map_or_else(String::new, name)
    }
}

/// Which of a node's several outputs a value is; `None` where there is but one.
fn index(node: &Node, value: usize) -> Option<usize> {
    node.outputs.iter().position(|output| *output == value).filter(|_| node.outputs.len() > 1)
}

/// Every value must go somewhere: a layer whose output is dropped is a slip of the pen, and would have no gradient.
fn all_used(graph: &Graph) -> Result<(), GraphError> {
    let mut used = vec![false; graph.values.len()];
    used[graph.output] = true;
    graph.nodes.iter().flat_map(|node| &node.inputs).for_each(|value| used[*value] = true);
    if let Some((_, name)) = used.iter().zip(&graph.inputs).find(|(used, _)| !**used) {
        return Err(GraphError::new(name, "no layer takes it"));
    }
    for node in graph.nodes.iter() {
        if let Some(value) = node.outputs.iter().find(|value| !used[**value]) {
            let output = index(node, *value).map_or_else(String::new, |place| format!(" [{place}]"));
            let reason = format!(
                "no later layer takes its output{output}: name it in `from` of one, or leave the layer out"
            );
            return Err(GraphError::new(&node.path, reason));
        }
    }
    Ok(())
}

/// Where values are used last, and which depend on a parameter.
fn uses(graph: &mut Graph) {
    let values = Arc::make_mut(&mut graph.values);
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut trained = node.has_parameters();
        for value in &node.inputs {
            values[*value].last_use = index;
            trained |= values[*value].trained;
        }
        node.outputs.iter().for_each(|value| values[*value].trained = trained);
    }
    values[graph.output].last_use = usize::MAX;
}

/// An activation completes the record of the layer whose output reaches it alone, through norms and the like.
fn completions(graph: &mut Graph) {
    let mut users = vec![0usize; graph.values.len()];
    let mut makers = vec![usize::MAX; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|value| users[*value] += 1);
        node.outputs.iter().for_each(|value| makers[*value] = index);
    }
    users[graph.output] += 1;
    let nodes = Arc::make_mut(&mut graph.nodes);
    for index in 0..nodes.len() {
        if !matches!(nodes[index].operator.nature(), Nature::Pointwise(_)) {
            continue;
        }
        let mut value = nodes[index].inputs[0];
        let completes = loop {
            let maker = makers[value];
            if users[value] != 1 || maker == usize::MAX {
                break None;
            }
            let node = &nodes[maker];
            if node.operator.records_steps() {
                break None;
            }
            match node.operator.nature() {
                Nature::Passing | Nature::Norm { .. } => value = node.inputs[0],
                _ => break node.entry,
            }
        };
        nodes[index].completes = completes;
    }
}

/// Which entries every way from an input leads through, and behind which nodes little is alive.
fn trunks_and_cuts(graph: &mut Graph) {
    let inputs = graph.inputs.len();
    let mut narrow = vec![false; graph.nodes.len()];
    let normalized = trunk::normalized(graph);
    for input in 0..inputs {
        let (mut trunk, mut norms) = (Vec::new(), Vec::new());
        alive(graph, input..input + 1, |index, passed, alive| {
            narrow[index] |= alive.len() == 1;
            let node = &graph.nodes[index];
            if let (true, Some(norm)) = (passed, node.norm) {
                norms.push(norm);
            }
            if let (true, Some(first)) = (passed, node.entry) {
                let steps = if node.operator.records_steps() {
                    let inputs = graph.shapes(node).inputs;
                    inputs.first().map_or(1, |shape| shape.positions())
                } else {
                    1
                };
                trunk.push((index, first, steps));
            }
        });
        let trunk = trunk::places(graph, &normalized, (input, &trunk));
        trunk.iter().for_each(|place| graph.entries[place.entry].trunk = true);
        norms.into_iter().for_each(|norm| graph.recorded_norms[norm].trunk = true);
        graph.trunks.push(trunk);
    }
    let mut cuts = Vec::new();
    alive(graph, 0..inputs, |index, _, alive| {
        if narrow[index] {
            let mut values: Places = alive.iter().copied().collect();
            values.sort_unstable();
            cuts.push((index, values));
        }
    });
    graph.cuts = cuts;
}

/// Follows what comes of some inputs. Calls `at` for each node that takes some of it, with whether it takes all that is left of it, and
/// the values that are alive behind it.
fn alive(graph: &Graph, inputs: Range<usize>, mut at: impl FnMut(usize, bool, &HashSet<usize>)) {
    let mut alive: HashSet<usize> = inputs.collect();
    for (index, node) in graph.nodes.iter().enumerate() {
        if !node.inputs.iter().any(|value| alive.contains(value)) {
            continue;
        }
        for value in &node.inputs {
            if graph.values[*value].last_use == index {
                alive.remove(value);
            }
        }
        let passed = alive.is_empty();
        alive.extend(node.outputs.iter().filter(|value| graph.values[**value].last_use > index));
        at(index, passed, &alive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Space;
    use crate::op::layer::Assembler;
    use crate::op::linear::{Part, project};
    use crate::op::scale::Scale;

    #[test]
    fn an_input_that_no_layer_takes_is_refused() {
        let act = Arc::new(Activation::parse("relu").unwrap());
        let shape = Shape { channels: 3, space: Space::Flat };
        let mut assembly = Assembly::new(&[("x", shape)], &act).unwrap();
        let (_, input) = assembly.inputs().next().unwrap();
        let node = NewNode::plain(Scale { by: 1.0 }, input, shape);
        let ports = assembly.node(NewNode { inputs: Vec::new(), ..node }).unwrap();
        let out = project(&mut assembly, ports[0], shape, &Part::default()).unwrap();
        assert_eq!(assembly.finish(out).unwrap_err().to_string(), "x: no layer takes it");
    }
}
