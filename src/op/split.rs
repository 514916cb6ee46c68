//! The channels of each position in several values: the first of them, the next, and so on.

use super::layer::{self, Assembler, LayerType, NewNode, Port, divided, features, read};
use super::{Activations, Backward, Context, Forward, Operator, exactly};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, stacked, unstacked};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "split", fields: &["parts", "sizes"], read: read::<Spec> };

/// The fields of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {
    /// So many outputs of as many channels each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<usize>,
    /// Channels of each output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sizes: Option<Vec<usize>>,
}

/// More outputs of one layer than this are refused.
const MOST: usize = 4096;

impl Spec {
    /// Channels of each output.
    fn sizes(&self, channels: usize) -> Result<Vec<usize>, String> {
        let sizes = match (self.parts, &self.sizes) {
            (Some(parts), None) => {
                let size = divided("parts", parts, channels)?;
                vec![size; parts.min(MOST + 1)]
            }
            (None, Some(sizes)) => {
                let total = layer::total("the sum of its sizes", sizes)?;
                if total != channels {
                    return Err(format!(
                        "its sizes add up to {total}, not to the {channels} features that come in"
                    ));
                }
                sizes.clone()
            }
            _ => return Err("split needs either parts = 2, say, or sizes = [..]".into()),
        };
        match sizes.len() {
            0 | 1 => Err("split makes at least two outputs".into()),
            count if count > MOST => Err(format!("split makes at most {MOST} outputs")),
            _ if sizes.contains(&0) => Err("each of its sizes is at least 1".into()),
            _ => Ok(sizes),
        }
    }
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("split", inputs)?;
        into(to, input, self.sizes(input.shape.channels)?)
    }
}

/// Adds a division of channels into so many each.
///
/// # Errors
/// Too many nodes.
pub fn into(to: &mut dyn Assembler, input: Port, rows: Vec<usize>) -> Result<Vec<Port>, String> {
    let outputs = rows.iter().map(|channels| input.shape.with(*channels)).collect();
    to.node(NewNode { outputs, ..NewNode::plain(Split { rows }, input, input.shape) })
}

/// A division of channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Channels of each output.
    pub rows: Vec<usize>,
}

impl Operator for Split {}

impl<T: Real> Forward<T> for Split {
    fn forward(
        &self,
        inputs: Vec<Activations<T>>,
        _: &mut Context<T>,
    ) -> (Vec<Activations<T>>, Box<dyn Backward<T>>) {
        let [x] = exactly(inputs);
        let parts = unstacked(&x.signal, &self.rows);
        (parts.into_iter().map(|part| Rc::new(CachedSignal::from(part))).collect(), Box::new(self.clone()))
    }
}

impl<T: Real> Backward<T> for Split {
    fn backward(self: Box<Self>, gradients: Vec<CachedSignal<T>>, _: &mut Context<T>) -> Vec<Signal<T>> {
        let parts: Vec<Signal<T>> = gradients.into_iter().map(|d| d.signal).collect();
        vec![stacked(&parts)]
    }
}
