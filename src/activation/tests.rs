use super::*;
use crate::numeric::wide::Wide;

fn all() -> Vec<Activation> {
    let mut all: Vec<_> = entries().iter().map(|e| Activation::parse(e.name).unwrap()).collect();
    for text in
        ["leaky-relu(a=0.3)", "elu(2)", "sine(omega=3)", "x*sigmoid(1.702*x)", "max(x, 0.1*x)", "tanh(x)+0.5"]
    {
        all.push(Activation::parse(text).unwrap());
    }
    all
}

fn grid() -> impl Iterator<Item = f64> {
    (-240..=240).map(|k| f64::from(k) * 0.05 + 0.0123)
}

#[test]
fn the_derivative_is_that_of_the_function() {
    for act in all() {
        for z in grid() {
            if act.shape.kinks.iter().any(|k| (k - z).abs() < 1e-3) {
                continue;
            }
            let h = 1e-4;
            let psi = |z| act.kernel.at(z).0;
            // Fourth order: error h⁴·φ⁽⁵⁾/30.
            let difference =
                (8.0 * (psi(z + h) - psi(z - h)) - (psi(z + 2.0 * h) - psi(z - 2.0 * h))) / (12.0 * h);
            let slope = act.kernel.at(z).1;
            assert!(
                (slope - difference).abs() < 1e-10 * (1.0 + z.abs()),
                "{} at {z}: {slope} {difference}",
                act.name
            );
        }
    }
}

#[test]
fn slices_agree_with_single_numbers() {
    for act in all() {
        let z: Vec<f64> = grid().chain([0.0, 1e-6, -1e-6, 1e-12, -1e-12]).collect();
        let z32: Vec<f32> = z.iter().map(|z| *z as f32).collect();
        let (mut psi, mut slope) = (vec![0.0; z.len()], vec![0.0; z.len()]);
        act.kernel.map_f64(&z, &mut psi, &mut slope);
        let (mut psi32, mut slope32) = (vec![0.0; z.len()], vec![0.0; z.len()]);
        act.kernel.map_f32(&z32, &mut psi32, &mut slope32);
        for i in 0..z.len() {
            let exact = act.kernel.at(z[i]);
            assert_eq!((psi[i], slope[i]), exact, "{}", act.name);
            let exact = act.kernel.at(f64::from(z32[i]));
            // A few units of rounding relative to the value; absolute near zeros of φ and φ′ away from the origin.
            // The phase of a sine is rounded before it is taken.
            let floor = match act.name.as_str() {
                name if name.starts_with("sine") => 1e-6 * z[i].abs(),
                _ if (0.5..4.0).contains(&z[i].abs()) => 2e-7,
                _ => 1e-9,
            };
            let close = |got: f32, exact: f64| (f64::from(got) - exact).abs() <= 2e-6 * exact.abs() + floor;
            assert!(close(psi32[i], exact.0), "{} ψ({}) {} {}", act.name, z32[i], psi32[i], exact.0);
            assert!(close(slope32[i], exact.1), "{} φ′({}) {} {}", act.name, z32[i], slope32[i], exact.1);
        }
    }
}

#[test]
fn small_arguments_keep_relative_accuracy() {
    for act in all() {
        for z in [1e-3, -1e-3, 1e-6, -1e-6, 1e-9, -1e-9, 1e-30, -1e-30] {
            let tangent = z * if z > 0.0 { act.shape.slopes_at_zero.1 } else { act.shape.slopes_at_zero.0 };
            let psi = act.kernel.at(z).0;
            let tolerance = (10.0 * z.abs() + 1e-9) * tangent.abs();
            assert!((psi - tangent).abs() <= tolerance, "{} ψ({z}) = {psi}, tangent {tangent}", act.name);
            let mut single = ([0.0], [0.0]);
            act.kernel.map_f32(&[z as f32], &mut single.0, &mut single.1);
            let tolerance = (10.0 * z.abs() + 1e-6) * tangent.abs();
            assert!((f64::from(single.0[0]) - tangent).abs() <= tolerance, "{} f32 ψ({z})", act.name);
        }
    }
}

#[test]
fn extended_values_continue_the_ordinary_ones() {
    let log = |w: Wide| w.log10_abs().unwrap_or(f64::NEG_INFINITY);
    for act in all() {
        for z in [-300.0, -37.0, -30.5, -29.5, -3.0, -1e-200, 1e-200, 0.5, 29.5, 30.5, 300.0] {
            let (psi, slope) = act.kernel.extended(Wide::from(z));
            let exact = act.kernel.at(z);
            for (got, exact) in [(psi, exact.0), (slope, exact.1)] {
                if exact.abs() > 1e-250 && act.name != "tanh(x)+0.5" {
                    assert!(
                        (got.to_f64() / exact - 1.0).abs() < 1e-8,
                        "{} at {z}: {got:?} {exact}",
                        act.name
                    );
                }
            }
        }
        // Nothing overflows at any scale.
        for exponent in [-5_000_000_000, -2000, 2000, 5_000_000_000] {
            for mantissa in [-1.5, 1.5] {
                let (psi, slope) = act.kernel.extended(Wide::new(mantissa, exponent));
                assert!(
                    psi.mantissa().is_finite() && slope.mantissa().is_finite(),
                    "{} 2^{exponent}",
                    act.name
                );
            }
        }
    }
    let at = |name: &str, z: f64| Activation::parse(name).unwrap().kernel.extended(Wide::from(z));
    let decade = std::f64::consts::LOG10_E;
    assert!((log(at("tanh", 1000.0).1) - (4f64.log10() - 2000.0 * decade)).abs() < 1e-9);
    assert!((log(at("sigmoid", -5000.0).1) + 5000.0 * decade).abs() < 1e-9);
    assert!((log(at("silu", -5000.0).0) - (5000f64.log10() - 5000.0 * decade)).abs() < 1e-9);
    assert!(
        (log(at("gelu", -100.0).1)
            - (100f64.log10() - 5000.0 * decade - 0.5 * std::f64::consts::TAU.log10()))
        .abs()
            < 1e-3
    );
    assert!(
        (log(at("erf", 100.0).1) - (2.0 / std::f64::consts::PI.sqrt()).log10() + 10_000.0 * decade).abs()
            < 1e-9
    );
    // An expression's tail is continued from where doubles still reach.
    let silu = log(at("x*sigmoid(x)", -5000.0).0);
    assert!((silu / (-5000.0 * decade) - 1.0).abs() < 0.01, "{silu}");
    assert!((log(at("x^3", 1e200).0) - 600.0).abs() < 1e-6);
    assert!((log(at("x^2", 1e-200).0) + 400.0).abs() < 1e-6);
    assert!(at("relu(x)", -1e250).0.is_zero());
}

#[test]
fn shapes_are_what_they_should_be() {
    let shape = |text: &str| Activation::parse(text).unwrap().shape;
    for text in ["relu", "leaky-relu", "prelu", "linear", "relu(x)", "max(x, 0.2*x)", "abs(x)", "2*x"] {
        assert!(shape(text).homogeneous, "{text}");
    }
    for text in ["elu", "tanh", "gelu", "x*sigmoid(x)", "x+1", "x^2", "relu(x-1)"] {
        assert!(!shape(text).homogeneous, "{text}");
    }
    for (text, bounded) in
        [("tanh", true), ("tanh(x)", true), ("sin(x)", true), ("x", false), ("gelu", false)]
    {
        assert_eq!(shape(text).bounded, bounded, "{text}");
    }
    assert_eq!(shape("relu(x-1)").kinks, [1.0]);
    assert_eq!(shape("max(x, -0.5) + abs(x-2.25)").kinks, [-0.5, 2.25]);
    assert_eq!(shape("tanh(x)").kinks, [0.0; 0]);
    assert_eq!(shape("relu").slopes_at_zero, (0.0, 1.0));
    assert_eq!(shape("relu(x)").slopes_at_zero, (0.0, 1.0));
    assert!((shape("gelu").max_slope.unwrap() - 1.128_904).abs() < 1e-5);
    assert_eq!(shape("x^2").max_slope, None);
    assert_eq!(shape("sigmoid").max_slope, Some(0.25));
    assert_eq!(shape("1/(1+exp(-x))").at_zero, 0.5);
}

#[test]
fn known_values() {
    // Printed digits of scipy.special and of PyTorch's functional forms in double precision.
    for (text, z, value) in [
        ("gelu", 1.0, 0.841_344_746_068_542_9),
        ("gelu-tanh", 1.0, 0.841_191_990_608_274_6),
        ("silu", -2.0, -0.238_405_844_044_235_26),
        ("mish", 1.0, 0.865_098_388_267_310_2),
        ("softplus", -1.0, 0.313_261_687_518_222_84),
        ("selu", -1.0, -1.111_330_737_812_562_6),
        ("hard-sigmoid", 1.0, 2.0 / 3.0),
        ("hard-swish", 1.0, 2.0 / 3.0),
        ("hard-swish", -4.0, 0.0),
        ("relu6", 7.0, 6.0),
        ("relu6", -1.0, 0.0),
        ("softsign", -3.0, -0.75),
        ("erf", 0.5, 0.520_499_877_813_046_5),
        ("leaky-relu", -2.0, -0.02),
    ] {
        let got = Activation::parse(text).unwrap().at(z).0;
        assert!((got - value).abs() < 1e-14, "{text}({z}) = {got}");
    }
}

#[test]
fn names_parse_back_and_faults_are_named() {
    for act in all() {
        let again = Activation::parse(&act.name).unwrap();
        assert_eq!((&again.name, &again.shape), (&act.name, &act.shape));
    }
    assert_eq!(Activation::parse("Leaky_ReLU(0.01)").unwrap().name, "leaky-relu");
    assert_eq!(Activation::parse("x\n+\t1").unwrap().name, "x + 1");
    for (text, words) in [
        ("", "nothing is named"),
        ("rellu", "did you mean `relu`"),
        ("relu(1)", "no parameters"),
        ("leaky-relu(a=nan)", "not one of"),
        ("leaky-relu(1/0)", "not between"),
        ("leaky-relu(a=)", "name=value"),
        ("elu(beta=1)", "no parameter `beta`"),
        ("1/x", "finite"),
        ("log(x)", "finite"),
        ("x*", "missing"),
        ("x+y", "not one of"),
        ("foo(x)", "not a function"),
    ] {
        let fault = Activation::parse(text).unwrap_err().to_string();
        assert!(fault.contains(words), "{text}: {fault}");
    }
}

#[test]
fn names_as_frameworks_write_them_work() {
    for (text, name) in [
        ("nn.ReLU", "relu"),
        ("LeakyReLU", "leaky-relu"),
        ("torch.nn.functional.leaky_relu(a=0.2)", "leaky-relu(a=0.2)"),
        ("jax.nn.hard_tanh", "hard-tanh"),
        ("nn.SiLU", "silu"),
        ("nn.ReLU6", "relu6"),
        ("nn.Hardswish", "hard-swish"),
    ] {
        assert_eq!(Activation::parse(text).unwrap().name, name, "{text}");
    }
    assert!(Activation::parse("nn.RelU7").unwrap_err().to_string().contains("did you mean `relu`"));
}
