//! Gradients against finite differences for every activation and loss, and weight-gradient norms against the explicit product.

#[path = "common/stack.rs"]
mod common;

use initdiag::activation::{Activation, entries};
use initdiag::graph::{backward, forward};
use initdiag::law::Law;
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::{Key, Part};
use initdiag::op::linear::Trace;
use initdiag::op::parameters::gradients_like;
use initdiag::op::{Arrays, loss};
use initdiag::simulate::LayerPlan;
use initdiag::spec::Loss;
use initdiag::weights::Method;
use nalgebra::DMatrix;
use std::rc::Rc;
use std::sync::Arc;

const KEY: Key = Key { seed: 5, trial: 0, layer: 0 };
const WIDTHS: [usize; 4] = [5, 7, 6, 4];
const BATCH: usize = 3;

fn layers() -> Vec<LayerPlan> {
    let weights = Law::Normal { mean: 0.1, std: 0.6 };
    let bias = Law::Normal { mean: 0.0, std: 0.3 };
    let layer = |w: &[usize]| LayerPlan { fan_in: w[0], fan_out: w[1], weights, bias, rescaled: false };
    WIDTHS.windows(2).map(layer).collect()
}

fn plain(s: &Signal<f64>) -> DMatrix<f64> {
    s.values.map(|v| v * 2f64.powi(s.exponent as i32))
}

/// The network written out without the engine's signals.
fn output(act: &Activation, input: &DMatrix<f64>, arrays: &Arrays<f64>) -> DMatrix<f64> {
    arrays.values().fold(input.clone(), |h, layer| {
        let mut z = &*layer.weights * h;
        let bias = layer.bias.as_ref().unwrap();
        z.column_iter_mut().for_each(|mut column| column += bias);
        z.map(|v| act.at(v).0)
    })
}

fn cost(loss: Loss, h: &DMatrix<f64>, top: Key) -> f64 {
    let batch = h.ncols() as f64;
    // The targets are drawn as the engine draws them: the gradient at h = 0 gives them away.
    let zero = Signal::new(DMatrix::from_element(h.nrows(), h.ncols(), 0.0), 0);
    let at_zero = plain(&loss::gradient(loss, &zero, h.nrows(), (top, Part::Block(0)), Threads::One));
    match loss {
        Loss::Random => h.dot(&at_zero),
        Loss::Mse => {
            // ∂C/∂h = 2(h − t)/(n·B).
            let share = 1.0 / h.len() as f64;
            (h + at_zero / (2.0 * share)).norm_squared() * share
        }
        Loss::CrossEntropy => {
            let columns = h.column_iter().zip(at_zero.column_iter());
            let one = |(h, g): (nalgebra::DVectorView<f64>, nalgebra::DVectorView<f64>)| {
                // At zero the gradient is negative at the class only.
                let class = (0..g.len()).find(|i| g[*i] < 0.0).unwrap();
                let top = h.max();
                h.iter().map(|v| (v - top).exp()).sum::<f64>().ln() + top - h[class]
            };
            columns.map(one).sum::<f64>() / batch
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences_for_every_activation_and_loss() {
    let mut acts: Vec<Activation> = entries().iter().map(|e| Activation::parse(e.name).unwrap()).collect();
    acts.push(Activation::parse("x*sigmoid(1.702*x)").unwrap());
    acts.push(Activation::parse("leaky-relu(a=0.3)").unwrap());
    let top = Key { layer: WIDTHS.len() as u64, ..KEY };
    for act in acts.into_iter().map(Arc::new) {
        let graph = common::stack(&layers(), &act, Method::Dense);
        let arrays = graph.arrays::<f64>(&graph.context(KEY, BATCH, Threads::One));
        let input = DMatrix::from_fn(WIDTHS[0], BATCH, |i, j| ((3 * i + 5 * j) % 7) as f64 / 3.0 - 1.0);
        for loss in [Loss::Random, Loss::Mse, Loss::CrossEntropy] {
            let mut context = graph.context(KEY, BATCH, Threads::One);
            context.keep_weights = false;
            (context.given, context.gradients) = (Some(&arrays), Some(gradients_like(&arrays)));
            let signal = Signal::new(input.clone(), 0);
            let (out, tape) = forward(&graph, vec![signal], &mut context, false, &|| true).unwrap();
            let upstream = loss::gradient(
                loss,
                &out.signal,
                out.signal.values.nrows(),
                (top, Part::Block(0)),
                Threads::One,
            );
            backward(&graph, tape, upstream, &mut context, &|| true).unwrap();
            let gradients = context.gradients.unwrap();
            let check = |stream: u64, got: f64, moved: &dyn Fn(&mut Arrays<f64>, f64)| {
                let step = 1e-5;
                let at = |by: f64| {
                    let mut arrays = arrays.clone();
                    moved(&mut arrays, by);
                    cost(loss, &output(&act, &input, &arrays), top)
                };
                let difference =
                    (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step);
                // Rounding of the cost over the step: 10⁻¹⁶·cost/10⁻⁵.
                assert!(
                    (got - difference).abs() < 1e-8 * (1.0 + got.abs()),
                    "{} {loss:?} layer {stream}: {got} {difference}",
                    act.name
                );
            };
            for (stream, gradient) in &gradients {
                for place in 0..gradient.weights.len() {
                    check(*stream, gradient.weights[place], &|arrays, by| {
                        let array = arrays.get_mut(stream).unwrap();
                        Arc::make_mut(&mut array.weights)[place] += by;
                    });
                }
                let bias = gradient.bias.as_ref().unwrap();
                for place in 0..bias.len() {
                    check(*stream, bias[place], &|arrays, by| {
                        arrays.get_mut(stream).unwrap().bias.as_mut().unwrap()[place] += by;
                    });
                }
            }
        }
    }
}

#[test]
fn weight_gradient_norms_from_gram_matrices_are_those_of_the_product() {
    // Both forms: Gram for a small batch, the product itself for a large one.
    for (fan_in, fan_out, batch) in [(30, 20, 4), (30, 20, 12), (30, 20, 100), (6, 90, 5)] {
        let h = DMatrix::from_fn(fan_in, batch, |i, j| ((i * 13 + j * 7) % 17) as f64 / 8.0 - 0.7);
        let d = DMatrix::from_fn(fan_out, batch, |i, j| ((i * 5 + j * 11) % 19) as f64 / 9.0 - 1.1);
        let explicit = &d * h.transpose();
        let (h, d) = (Signal::new(h, 3), Signal::new(d, -7));
        let layer = LayerPlan {
            fan_in,
            fan_out,
            weights: Law::Constant(0.0),
            bias: Law::Constant(0.0),
            rescaled: false,
        };
        let graph = common::stack(&[layer], &Arc::new(Activation::parse("linear").unwrap()), Method::Dense);
        let mut context = graph.context(KEY, batch, Threads::One);
        let trace = Trace::new(&Rc::new(h.into()), fan_out, &context);
        let got = trace.gradient(&graph.parameters[0], &d.into(), &mut context);
        let scale = 2f64.powi(3 - 7);
        let count = explicit.len() as f64;
        let second = explicit.norm_squared() / count * scale * scale;
        let mean = explicit.sum() / count * scale;
        assert!((got.second_moment.to_f64() / second - 1.0).abs() < 1e-12);
        assert!((got.mean.to_f64() - mean).abs() < 1e-12 * (1.0 + mean.abs()));
        assert!((got.variance.to_f64() / (second - mean * mean) - 1.0).abs() < 1e-11);
    }
}
