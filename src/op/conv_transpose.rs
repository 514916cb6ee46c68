//! Transposed convolutions: each position of the input adds its kernel's taps to the output. It is the transpose of the convolution
//! from its output to its input, whose gathering and scattering it shares.

use super::conv::{Conv, along_axes, grouped};
use super::forms::{BiasSpec, PerAxis};
use super::layer::{self, Assembler, LayerType, NewEntry, NewNode, Port, Wanted, read, sized};
use super::window::{Window, numbers};
use super::{
    Activations, Context, Counts, Exported, Exports, Operator, Parameter, Shape, Shapes, Space, Unary,
    UnaryBackward,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::weights::{Dense, LinearMap};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

const FIELDS: &[&str] =
    &["out", "kernel", "stride", "padding", "output_padding", "dilation", "groups", "init", "bias"];

/// Of sequences, as an architecture file spells it.
pub const ONE: LayerType = LayerType { name: "conv-transpose1d", fields: FIELDS, read: read::<Spec<1>> };
/// Of images.
pub const TWO: LayerType = LayerType { name: "conv-transpose2d", fields: FIELDS, read: read::<Spec<2>> };
/// Of volumes.
pub const THREE: LayerType = LayerType { name: "conv-transpose3d", fields: FIELDS, read: read::<Spec<3>> };

/// The fields of a transposed convolution along so many axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec<const AXES: usize> {
    /// Channels.
    out: usize,
    /// Taps along each axis.
    kernel: PerAxis,
    /// Positions of the output between two of the input.
    #[serde(default = "PerAxis::one", skip_serializing_if = "PerAxis::is_one")]
    stride: PerAxis,
    /// Positions that the output leaves out at each side.
    #[serde(default = "PerAxis::zero", skip_serializing_if = "PerAxis::is_zero")]
    padding: PerAxis,
    /// Positions that the output has more behind the last.
    #[serde(default = "PerAxis::zero", skip_serializing_if = "PerAxis::is_zero")]
    output_padding: PerAxis,
    /// Positions between two taps.
    #[serde(default = "PerAxis::one", skip_serializing_if = "PerAxis::is_one")]
    dilation: PerAxis,
    /// Groups of channels that do not see one another.
    #[serde(default = "layer::one", skip_serializing_if = "layer::is_one")]
    groups: usize,
    /// In place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<String>,
    /// Law of the biases; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<BiasSpec>,
}

impl<const AXES: usize> Spec<AXES> {
    /// The windows over the output, one for each position of the input.
    fn window(&self, space: Space) -> Result<Window, String> {
        let kernel = numbers("kernel", &self.kernel, space, 1)?;
        let stride = numbers("stride", &self.stride, space, 1)?;
        let dilation = numbers("dilation", &self.dilation, space, 1)?;
        let padding = numbers("padding", &self.padding, space, 0)?;
        let more = numbers("output_padding", &self.output_padding, space, 0)?;
        let positions = space.extent();
        let mut output = [1; 3];
        for axis in 0..3 {
            let most = stride[axis].max(dilation[axis]) - 1;
            if more[axis] > most {
                return Err(format!(
                    "output_padding = {} is not below the larger of stride and dilation: at most {most} fits",
                    more[axis]
                ));
            }
            let all =
                (positions[axis] - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1 + more[axis];
            if 2 * padding[axis] >= all {
                return Err(format!(
                    "a padding of {} leaves nothing of {all} positions: at most {} fits",
                    padding[axis],
                    (all - 1) / 2
                ));
            }
            output[axis] = all - 2 * padding[axis];
        }
        let padding = padding.map(|p| p as isize);
        Ok(Window { kernel, stride, padding, dilation, input: output, output: positions })
    }
}

impl<const AXES: usize> layer::Layer for Spec<AXES> {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = along_axes("conv-transpose", AXES, inputs)?;
        let window = self.window(input.shape.space)?;
        let (channels, groups) = (input.shape.channels, self.groups);
        grouped(groups, channels, self.out)?;
        let positions = sized("its output", &window.input)?;
        let out = Shape { channels: self.out, space: input.shape.space.resized(window.input) };
        let taps = sized("its kernel", &window.kernel)?;
        // As PyTorch counts them from the shape of its weight, in × out/groups × the kernel.
        let fan_in = sized("its fan-in", &[self.out / groups, taps])?;
        let fans = (fan_in, sized("its fan-out", &[channels, taps])?);
        let kind = ["conv-transpose1d", "conv-transpose2d", "conv-transpose3d"][AXES - 1];
        let entry =
            to.entry(&NewEntry { part: None, kind, fans, units: self.out, positions, weighted: true })?;
        let parameter = to.parameter(&Wanted {
            fans,
            biases: self.out,
            counts: Counts { groups, transposed: true, ..Counts::of_width(channels) },
            kernel: Some(window.kernel),
            ..Wanted::linear(entry, fan_in, channels).with(self.init.as_deref(), self.bias.as_ref())
        });
        let of = Conv { units: channels, window, channels: self.out, groups, axes: AXES, standardize: None };
        to.node(NewNode {
            parameters: vec![parameter],
            entry: Some(entry),
            ..NewNode::plain(ConvTranspose { of }, input, out)
        })
    }
}

/// A transposed convolution. Rows of W are input channels, columns (tap, output channel of the group), as in the convolution
/// whose transpose it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTranspose {
    /// The convolution that leads from its output to its input.
    pub of: Conv,
}

impl Operator for ConvTranspose {
    fn operations(&self, shapes: &Shapes, parameters: &[&Parameter]) -> f64 {
        let columns = self.columns(shapes) as f64;
        let one = |parameter: &&Parameter| parameter.shape.0 as f64 * parameter.shape.1 as f64;
        6.0 * columns * parameters.iter().map(one).sum::<f64>()
    }

    fn columns(&self, _: &Shapes) -> usize {
        self.of.window.windows()
    }

    fn copied(&self, shapes: &Shapes) -> f64 {
        self.of.copied(shapes)
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        self.of.tape_bytes(shapes, samples)
    }

    /// in × out/groups × the kernel.
    fn export(&self, exported: &Exported) -> Vec<Exports> {
        self.of.export(exported)
    }
}

struct Tape<T: Real> {
    of: Conv,
    dense: Dense<T>,
    x: Activations<T>,
}

super::one_to_one!(ConvTranspose);

impl<T: Real> Unary<T> for ConvTranspose {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let parameter = context.parameter(0);
        let mut dense = context.dense(parameter);
        let z = self.of.transposed(&x.signal, &mut dense, context);
        let mut z = context.rescaled(parameter, z);
        if !context.keep_weights {
            dense.release();
        }
        if let Some(bias) = context.bias(parameter) {
            z = z.plus_column_shared(&bias, context.threads);
        }
        (Rc::new(CachedSignal::from(z)), Box::new(Tape { of: self.of, dense, x }))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let Self { of, mut dense, x } = *self;
        let parameter = context.parameter(0);
        // What comes in has the place of the other convolution's output.
        of.collect((&d.signal, &x.signal), &d.signal, context);
        if !context.quiet {
            let moments = of.weight_gradient((&d.signal, &x.signal), context);
            context.observe_own_weight_gradient(moments);
        }
        drop(x);
        if !context.call.input_gradient {
            return d.signal;
        }
        let dx = of.product(&d.signal, &mut dense, context);
        context.with_factor(parameter, dx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::layer::Fields;

    /// Windows over an output whose size PyTorch's `ConvTranspose2d` gives: (in − 1)·stride − 2·padding + dilation·(kernel − 1) +
    /// output_padding + 1.
    #[test]
    fn outputs_are_as_large_as_pytorch_makes_them() {
        let of = |text: &str| toml::from_str::<Spec<2>>(&format!("out = 1\n{text}")).unwrap();
        for (text, size) in [
            ("kernel = 2\nstride = 2", [10, 14]),
            ("kernel = [3, 4]\nstride = 2\npadding = 1\noutput_padding = [1, 0]", [10, 14]),
            ("kernel = 3\ndilation = 3\noutput_padding = [0, 2]", [11, 15]),
        ] {
            let window = of(text).window(Space::Image(5, 7)).unwrap();
            assert_eq!((window.input, window.output), ([1, size[0], size[1]], [1, 5, 7]), "{text}");
        }
        for (text, words) in [
            ("kernel = 3\noutput_padding = 1", "at most 0 fits"),
            ("kernel = 3\npadding = 4", "leaves nothing of 7 positions: at most 3 fits"),
            ("kernel = [3, 3, 3]", "a whole number or [height, width] fits"),
        ] {
            let fault = of(text).window(Space::Image(5, 7)).unwrap_err();
            assert!(fault.contains(words), "{fault}");
        }
        assert!(!of("kernel = 3").fields().contains_key("padding"));
    }
}
