//! Gradients against finite differences, and weight-gradient norms against the explicit product.

use initdiag::activation::{Activation, entries};
use initdiag::law::Law;
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::Key;
use initdiag::op::record::InputTrace;
use initdiag::simulate::{LayerPlan, Network, backward_gradients};
use initdiag::spec::Loss;
use initdiag::weights::Method;
use initdiag::weights::{Dense, Operator};
use nalgebra::DMatrix;

const KEY: Key = Key { seed: 5, trial: 0, layer: 0 };
const WIDTHS: [usize; 4] = [5, 7, 6, 4];
const BATCH: usize = 3;

fn layers() -> Vec<LayerPlan> {
    let weights = Law::Normal { mean: 0.1, std: 0.6 };
    let bias = Law::Normal { mean: 0.0, std: 0.3 };
    WIDTHS.windows(2).map(|w| LayerPlan { fan_in: w[0], fan_out: w[1], weights, bias }).collect()
}

fn plain(s: &Signal<f64>) -> DMatrix<f64> {
    s.values.map(|v| v * 2f64.powi(s.exponent as i32))
}

/// The rest of the network above layer `from`, given its pre-activation, written out without the engine's signals.
fn forward_from(act: &Activation, z: &DMatrix<f64>, from: usize) -> DMatrix<f64> {
    let mut h = z.map(|v| act.at(v).0);
    for (index, layer) in layers().iter().enumerate().skip(from + 1) {
        let key = Key { layer: index as u64 + 1, ..KEY };
        let w = Dense::<f64>::new(layer.weights, layer.fan_in, layer.fan_out, key).matrix(Threads::One);
        let bias = initdiag::law::draw::vector::<f64>(
            layer.bias,
            layer.fan_out,
            key,
            initdiag::numeric::stream::Role::Bias,
        );
        let bias = plain(&bias);
        let mut z = w * h;
        z.column_iter_mut().for_each(|mut column| column += &bias);
        h = z.map(|v| act.at(v).0);
    }
    h
}

fn cost(loss: Loss, h: &DMatrix<f64>, top: Key) -> f64 {
    let batch = h.ncols() as f64;
    // The targets are drawn as the engine draws them: the gradient at h = 0 gives them away.
    let zero = Signal::new(DMatrix::from_element(h.nrows(), h.ncols(), 0.0), 0);
    let at_zero = plain(&initdiag::op::loss::gradient(loss, &zero, top, 0));
    match loss {
        Loss::Random => h.dot(&at_zero),
        Loss::Mse => (h + at_zero * batch).norm_squared() * 0.5 / batch,
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
    let layers = layers();
    let top = Key { layer: 4, ..KEY };
    for act in &acts {
        for loss in [Loss::Random, Loss::Mse, Loss::CrossEntropy] {
            let network = Network {
                layers: &layers,
                act,
                key: KEY,
                threads: Threads::One,
                keep_weights: false,
                effective_rank: false,
                method: Method::Dense,
            };
            let input = DMatrix::from_fn(WIDTHS[0], BATCH, |i, j| ((3 * i + 5 * j) % 7) as f64 / 3.0 - 1.0);
            let (_, gradients) = backward_gradients(&network, Signal::new(input.clone(), 0), loss);
            // Pre-activations of each layer, by the plain forward pass.
            let mut h = input.clone();
            for (index, layer) in layers.iter().enumerate() {
                let key = Key { layer: index as u64 + 1, ..KEY };
                let mut operator = Dense::<f64>::new(layer.weights, layer.fan_in, layer.fan_out, key);
                let bias = initdiag::law::draw::vector::<f64>(
                    layer.bias,
                    layer.fan_out,
                    key,
                    initdiag::numeric::stream::Role::Bias,
                );
                let mut z = plain(&operator.forward(&Signal::new(h, 0).into(), Threads::One));
                z.column_iter_mut().for_each(|mut column| column += &plain(&bias));
                let gradient = plain(&gradients[index]);
                for row in 0..z.nrows() {
                    for column in 0..BATCH {
                        let step = 1e-5;
                        let moved = |by: f64| {
                            let mut z = z.clone();
                            z[(row, column)] += by;
                            cost(loss, &forward_from(act, &z, index), top)
                        };
                        let difference = (8.0 * (moved(step) - moved(-step))
                            - (moved(2.0 * step) - moved(-2.0 * step)))
                            / (12.0 * step);
                        let got = gradient[(row, column)];
                        // Rounding of the cost over the step: 10⁻¹⁶·cost/10⁻⁵.
                        assert!(
                            (got - difference).abs() < 1e-8 * (1.0 + got.abs()),
                            "{} {loss:?} layer {index} entry ({row}, {column}): {got} {difference}",
                            act.name
                        );
                    }
                }
                h = z.map(|v| act.at(v).0);
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
        let got = InputTrace::new(h.into(), fan_out, Threads::One).weight_gradient(&d.into(), Threads::One);
        let scale = 2f64.powi(3 - 7);
        let count = explicit.len() as f64;
        let second = explicit.norm_squared() / count * scale * scale;
        let mean = explicit.sum() / count * scale;
        assert!((got.second_moment.to_f64() / second - 1.0).abs() < 1e-12);
        assert!((got.mean.to_f64() - mean).abs() < 1e-12 * (1.0 + mean.abs()));
        assert!((got.variance.to_f64() / (second - mean * mean) - 1.0).abs() < 1e-11);
    }
}
