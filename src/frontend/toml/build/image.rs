//! Layers of images.

use super::{Level, Matrix, State, checked, fault};
use crate::frontend::toml::NetError;
use crate::frontend::toml::{ConvSpec, Padding, Pair, PoolSpec};
use crate::graph::Kind;
use crate::op::conv::Conv;
use crate::op::pool::{Of, Pool};
use crate::op::window::Window;
use crate::op::{Shape, Space};

impl State<'_> {
    pub(super) fn conv(
        &mut self,
        spec: &ConvSpec,
        level: &mut Level,
        shape: Shape,
    ) -> Result<Shape, NetError> {
        let path = level.path("conv", spec.name.as_ref());
        let refuse = |reason: String| Err(fault(&path, reason));
        let Space::Image(height, width) = shape.space else {
            return refuse(format!(
                "conv2d takes an image [channels, height, width], not {shape}; `linear` takes it as it is"
            ));
        };
        let window = window(&path, [height, width], spec.kernel, spec.stride, spec.padding, spec.dilation)?;
        if spec.groups == 0
            || !shape.channels.is_multiple_of(spec.groups)
            || !spec.out.is_multiple_of(spec.groups)
        {
            let fits = (1..=shape.channels.min(spec.out))
                .rev()
                .filter(|g| shape.channels.is_multiple_of(*g) && spec.out.is_multiple_of(*g))
                .min_by_key(|g| g.abs_diff(spec.groups));
            return refuse(format!(
                "groups = {} does not divide both the {} channels that come in and out = {}; {} does",
                spec.groups,
                shape.channels,
                spec.out,
                fits.unwrap_or(1)
            ));
        }
        let space = Space::Image(window.output[0], window.output[1]);
        let out = checked(&path, Shape { channels: spec.out, space })?;
        let taps = window.taps();
        let fan_in = shape.channels / spec.groups * taps;
        let size = |centre: bool| (if centre { fan_in / taps } else { fan_in }, spec.out);
        let centre = self.laws.is_of_the_centre(&path, spec.init.as_deref())?;
        let matrix = Matrix {
            path: &path,
            kind: "conv2d",
            fans: (fan_in, spec.out * taps),
            size: size(centre),
            convolution: true,
            init: spec.init.as_deref(),
            bias: spec.bias.as_ref(),
        };
        let weights = self.weights(&matrix, level, out.positions())?;
        self.net.tape += 4 * shape.size() as u128;
        let (channels, groups, first) = (shape.channels, spec.groups, self.first);
        level.put(path, Kind::Conv(Conv { weights, window, channels, groups, centre, first }));
        Ok(out)
    }

    pub(super) fn pool(
        &mut self,
        spec: &PoolSpec,
        of: Of,
        level: &mut Level,
        shape: Shape,
    ) -> Result<Shape, NetError> {
        let kind = if of == Of::Mean { "avgpool" } else { "maxpool" };
        let path = level.path(kind, spec.name.as_ref());
        let Space::Image(height, width) = shape.space else {
            return Err(fault(
                &path,
                format!(
                    "{kind} takes an image [channels, height, width], not {shape}: put it before `flatten`"
                ),
            ));
        };
        let kernel = spec.kernel.unwrap_or(Pair(height, width));
        let stride = spec.stride.unwrap_or(kernel);
        let window = window(&path, [height, width], kernel, stride, spec.padding, Pair(1, 1))?;
        if (0..2).any(|axis| 2 * window.padding[axis] as usize > window.kernel[axis]) {
            let reason = format!(
                "a padding of more than half the kernel would make windows without an entry; at most {} and {} fit",
                window.kernel[0] / 2,
                window.kernel[1] / 2
            );
            return Err(fault(&path, reason));
        }
        let space = Space::Image(window.output[0], window.output[1]);
        let out = checked(&path, Shape { channels: shape.channels, space })?;
        if of == Of::Largest {
            self.net.tape += 4 * out.size() as u128;
        }
        level.put(path, Kind::Pool(Pool { window, of }));
        Ok(out)
    }
}

/// Largest number of a window.
const WIDEST: usize = 1_000_000;

fn window(
    path: &str,
    input: [usize; 2],
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
) -> Result<Window, NetError> {
    for (name, pair, least) in [("kernel", kernel, 1), ("stride", stride, 1), ("dilation", dilation, 1)] {
        if pair.0.min(pair.1) < least || pair.0.max(pair.1) > WIDEST {
            return Err(fault(path, format!("{name} is a whole number from {least} to {WIDEST}")));
        }
    }
    let padding = match padding {
        Padding::Of(pair) => pair,
        Padding::Same => {
            let total = [dilation.0 * (kernel.0 - 1), dilation.1 * (kernel.1 - 1)];
            if total.iter().any(|t| t % 2 == 1) {
                return Err(fault(
                    path,
                    "padding = \"same\" needs an odd kernel; give the padding as a number".into(),
                ));
            }
            Pair(total[0] / 2, total[1] / 2)
        }
    };
    if padding.0.max(padding.1) > WIDEST {
        return Err(fault(path, format!("padding is a whole number from 0 to {WIDEST}")));
    }
    let pair = |p: Pair| [p.0, p.1];
    Window::place(input, pair(kernel), pair(stride), pair(padding), pair(dilation))
        .map_err(|reason| fault(path, reason))
}
