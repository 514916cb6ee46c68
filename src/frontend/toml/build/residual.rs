//! Residual blocks: branch and shortcut must give the same shape.

use super::{Level, State, fault};
use crate::frontend::toml::ResidualSpec;
use crate::frontend::toml::{NetError, count};
use crate::graph::{Entry, Kind, Residual};
use crate::law::Law;
use crate::op::{Shape, Space};

impl State<'_> {
    pub(super) fn residual(
        &mut self,
        spec: &ResidualSpec,
        level: &mut Level,
        shape: Shape,
    ) -> Result<Shape, NetError> {
        let path = level.path("block", spec.name.as_ref());
        self.features(&path, "residual", shape)?;
        if !spec.scale.is_finite() {
            return Err(fault(&path, format!("scale = {} is not a finite number", spec.scale)));
        }
        // The sum needs the gradients of both ways, whatever stands below.
        self.first = false;
        self.depth += 1;
        let mut branch = Vec::new();
        let mut inner = Level::new(&path, &mut branch);
        inner.branch = Some((0, count::depth(&spec.layers)));
        let out = self.list(&spec.layers, &mut inner, shape)?;
        let mut shortcut = Vec::new();
        let around =
            self.list(&spec.shortcut, &mut Level::new(&format!("{path}/shortcut"), &mut shortcut), shape)?;
        self.depth -= 1;
        if out != around {
            let what =
                if spec.shortcut.is_empty() { "the identity around it keeps" } else { "its shortcut gives" };
            return Err(fault(
                &path,
                format!("the branch makes {out} of {shape} and {what} {around}: {}", fitting(shape, out)),
            ));
        }
        let entry = self.net.entries.len();
        self.net.entries.push(Entry {
            path: path.clone(),
            kind: "residual",
            fan_in: out.channels,
            fan_out: out.channels,
            units: out.channels,
            positions: out.positions(),
            weights: Law::Identity { gain: 1.0 },
            bias: Law::Constant(0.0),
            weighted: false,
            trunk: self.depth == 0,
        });
        level.pending = Some(entry);
        level.put(path, Kind::Residual(Residual { entry, scale: spec.scale, branch, shortcut }));
        Ok(out)
    }
}

/// The shortcut that would join a branch.
fn fitting(from: Shape, to: Shape) -> String {
    match (from.space, to.space) {
        (a, b) if a == b && !matches!(a, Space::Image(..)) => {
            format!(
                "a shortcut of linear with out = {} would fit, or a branch that ends with {}",
                to.channels, from.channels
            )
        }
        (Space::Image(h, w), Space::Image(a, b))
            if h.div_ceil(h.div_ceil(a)) == a && w.div_ceil(w.div_ceil(b)) == b =>
        {
            let stride = (h.div_ceil(a), w.div_ceil(b));
            let stride = if stride.0 == stride.1 {
                stride.0.to_string()
            } else {
                format!("[{}, {}]", stride.0, stride.1)
            };
            format!(
                "a shortcut of conv2d with out = {}, kernel = 1, stride = {stride} would fit",
                to.channels
            )
        }
        _ => format!("a branch that ends with {from} would fit"),
    }
}
