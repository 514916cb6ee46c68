use super::*;

fn relu() -> Activation {
    Activation::parse("relu").unwrap()
}

fn site(act: &Activation, fan_in: usize, fan_out: usize) -> Site<'_> {
    Site::dense(fan_in, fan_out, 2, 5, act)
}

fn scaled_variance(text: &str, fan_in: usize, fan_out: usize) -> f64 {
    let act = relu();
    let law = Initializer::parse(text).unwrap().weights(&site(&act, fan_in, fan_out)).unwrap();
    fan_in as f64 * law.moments(fan_in, fan_out).variance
}

#[test]
fn n_var_of_every_law_that_states_one() {
    // n = 300, m = 100 tells fan_in, fan_out and their means apart.
    for (text, expected) in [
        ("zeros", 0.0),
        ("normal", 300.0 * 0.0025),
        ("uniform", 300.0 * 0.01 / 12.0),
        ("lecun", 1.0),
        ("lecun-uniform", 1.0),
        ("xavier", 1.5),
        ("glorot", 1.5),
        ("glorot-normal", 1.5),
        ("xavier(gain=torch)", 3.0),
        ("he", 2.0),
        ("kaiming-uniform", 2.0),
        ("he(fan_out)", 6.0),
        ("he(a=1)", 1.0),
        ("he(gain=3)", 9.0),
        ("he-uniform(a=sqrt(5))", 1.0 / 3.0),
        ("glorot-standard", 1.0 / 3.0),
        ("variance-scaling", 1.0),
        ("variance-scaling(2, fan_avg, uniform)", 3.0),
        ("variance-scaling(scale=2, mode=fan-geo-avg, distribution=normal)", 2.0 * 300.0 / 30_000f64.sqrt()),
        ("orthogonal", 1.0),
        ("orthogonal(2)", 4.0),
        ("sparse(0.25, 1)", 225.0),
        ("critical", 2.0),
        ("mup", 1.0),
        ("torch-linear", 1.0 / 3.0),
        ("torch-xavier-normal(2)", 6.0),
        ("keras-dense", 1.5),
        ("keras-glorot-normal", 1.5),
        ("keras-he-normal", 2.0),
        ("keras-lecun-normal", 1.0),
        ("keras-truncated-normal", 300.0 * 0.0025 * 0.773_741_303_552_056),
        ("truncated-normal(0, 1)", 300.0 * 0.773_741_303_552_056),
        ("torch-trunc-normal(std=0.02)", 300.0 * 4e-4),
        ("jax-uniform(scale=1)", 25.0),
        ("candle-linear", 2.0),
        ("tch-linear", 2.0),
        ("burn-linear", 1.0 / 3.0),
        ("dfdx-linear", 1.0 / 3.0),
        ("gpt2", 0.12),
        ("xavier-limit-as-std", 4.5),
        ("he-over-both-fans", 1.5),
        ("ratio-std", 4.0 / 3.0),
        ("ratio-var", 20.0),
        ("xavier-uniform-6-over-n", 2.0),
        ("he-uniform-2-over-n", 2.0 / 3.0),
        ("xavier-inverse-sqrt-sum", 0.75),
        ("xavier-square-fans", 2.0 / 900.0),
        ("he-uniform-over-both-fans", 0.5),
        ("he-alpha", 2.0),
        ("he-alpha(3)", 3.0),
        ("xavier-divided(4)", 0.375),
        ("unit-uniform", 100.0),
        ("unit-mean", 300.0),
        ("small-normal", 0.03),
        ("normal(0, sqrt(2/fan_in))", 2.0),
        ("normal(0, gain/sqrt(max(fan_in, fan_out)))", 2.0),
        ("uniform(-layer, depth)", 300.0 * 49.0 / 12.0),
    ] {
        let got = scaled_variance(text, 300, 100);
        assert!((got - expected).abs() < 1e-11 * (1.0 + expected), "{text}: {got} instead of {expected}");
    }
}

#[test]
fn every_entry_parses_by_each_of_its_names_and_no_name_is_taken_twice() {
    let mut names = std::collections::HashSet::new();
    let act = Activation::parse("tanh").unwrap();
    for entry in entries() {
        for name in std::iter::once(&entry.name).chain(entry.aliases) {
            assert!(names.insert(*name), "{name} is taken twice");
            match Initializer::parse(name) {
                Ok(init) => {
                    assert_eq!(init.name, entry.name);
                    init.weights(&site(&act, 64, 32)).unwrap();
                    init.bias(&site(&act, 64, 32)).unwrap();
                }
                Err(fault) => assert!(entry.not_dense.is_some(), "{fault}"),
            }
        }
        assert!(!entry.law.is_empty() && !entry.source.is_empty(), "{}", entry.name);
    }
}

#[test]
fn canonical_names_parse_back() {
    for (text, name) in [
        ("Xavier", "xavier-normal"),
        ("he(fan_in, 0)", "he-normal"),
        ("he(a=0.2)", "he-normal(a=0.2)"),
        ("normal(0, 1)", "normal(0, 1)"),
        ("normal(0, 0.05)", "normal"),
        ("orthogonal(gain = 1)", "orthogonal"),
        ("Keras_Dense()", "keras-dense"),
    ] {
        let init = Initializer::parse(text).unwrap();
        assert_eq!(init.name, name);
        assert_eq!(Initializer::parse(&init.name).unwrap().name, name);
    }
}

#[test]
fn critical_points_are_those_of_the_literature() {
    let variance = |act: &str, init: &str| {
        let act = Activation::parse(act).unwrap();
        let init = Initializer::parse(init).unwrap();
        let site = site(&act, 100, 100);
        let spread = |law: Law| law.moments(100, 100).variance;
        (100.0 * spread(init.weights(&site).unwrap()), spread(init.bias(&site).unwrap()))
    };
    for (act, init, w, b) in [
        ("tanh", "critical", 2.153_303, 0.150_965),
        ("relu", "critical", 2.0, 0.0),
        ("gelu", "critical", 2.193_700, 0.067_192),
        ("selu", "critical", 0.933_206, 0.066_794),
        ("tanh", "critical(sigma_b2=0.05)", 1.760_955, 0.05),
        ("tanh", "critical(0.3)", 2.505_127, 0.3),
        ("tanh", "critical(sigma_b2=0)", 1.0, 0.0),
        ("hard-tanh", "critical(0.05)", 1.165_545, 0.05),
        ("sigmoid", "critical", 103.0076, 0.0),
        ("silu", "critical(q=14.32017)", 1.988_004_68, 0.555_143_17),
    ] {
        let got = variance(act, init);
        assert!((got.0 - w).abs() < 1e-5 * w && (got.1 - b).abs() < 1e-6, "{act} {init}: {got:?}");
    }
    let act = Activation::parse("softplus").unwrap();
    let fault = Initializer::parse("critical").unwrap().weights(&site(&act, 9, 9)).unwrap_err();
    assert!(fault.to_string().contains("no critical point"), "{fault}");
}

#[test]
fn as_written_entries_name_the_nearest_proper_law() {
    let act = relu();
    let site = site(&act, 512, 512);
    for (text, name, ratio) in [
        ("xavier-limit-as-std", "xavier-normal", 3.0),
        ("xavier-inverse-sqrt-sum", "xavier-normal", 0.5),
        ("xavier-divided", "xavier-normal", 0.5),
        ("he-uniform-over-both-fans", "xavier-uniform", 1.0 / 3.0),
        ("unit-mean", "he-normal", 256.0),
        ("he-over-both-fans", "xavier-normal", 1.0),
        ("ratio-std", "he-normal", 1.0),
        ("xavier-uniform-6-over-n", "he-uniform", 1.0),
        ("he-uniform-2-over-n", "lecun-uniform", 2.0 / 3.0),
        ("he-alpha", "he-normal", 1.0),
    ] {
        let got = nearest_proper(&Initializer::parse(text).unwrap(), &site).unwrap();
        assert_eq!(got.name, name, "{text}");
        assert!((got.ratio / ratio - 1.0).abs() < 1e-9, "{text}: {got:?}");
    }
    assert_eq!(nearest_proper(&Initializer::parse("constant-0.02").unwrap(), &site), None);
}

#[test]
fn faults_are_named() {
    let gelu = Activation::parse("gelu").unwrap();
    for (text, words) in [
        ("xavierr", "did you mean `xavier`?"),
        ("", "nothing is named"),
        ("normal(0", "missing"),
        ("normal(0, 1, 2)", "takes 2 parameters"),
        ("normal(mean=0, sd=1)", "no parameter `sd`"),
        ("he(fan_both)", "not one of fan_in, fan_out"),
        ("normal(0, fan)", "not one of fan_in"),
        ("normal(0, 1/0)", "no finite value"),
        ("normal(0, sqrt(-1))", "no finite value"),
        ("normal(0, -1)", "negative"),
        ("normal(nan, 1)", "not one of"),
        ("uniform(1, 0)", "empty"),
        ("he-alpha(-1)", "negative"),
        ("xavier-divided(0)", "finite"),
        ("sparse(2)", "between 0 and 1"),
        ("xavier(gain=torch)", "no gain for gelu"),
        ("delta-orthogonal", "`orthogonal`"),
        ("fixup", "residual"),
        ("critical(-1)", "negative"),
        ("normal(0, 1/(layer-2))", "no finite value at layer 2"),
    ] {
        let outcome = Initializer::parse(text).and_then(|init| init.weights(&site(&gelu, 10, 10)));
        let fault = outcome.expect_err(text).to_string();
        assert!(fault.contains(words), "{text}: {fault}");
        assert!(!fault.contains('\n'));
    }
}

#[test]
fn residual_branches_have_laws_of_their_own() {
    // Zhang et al. 2019: He's std times L^(−1/(2m−2)) in branches of m layers, the last of them and the head zero.
    // Radford et al. 2019: the last layer of each of L branches divided by √L.
    let act = relu();
    let variance = |text: &str, layer: usize, branch: Option<(usize, usize)>| {
        let place = Place { branches: 16, branch, ..Place::default() };
        let site = Site { place, ..Site::dense(100, 50, layer, 40, &act) };
        let law = Initializer::parse_for_net(text).unwrap().weights(&site).unwrap();
        100.0 * law.moments(100, 50).variance
    };
    for (text, layer, branch, expected) in [
        ("fixup", 1, None, 2.0),
        ("fixup", 40, None, 0.0),
        ("fixup", 7, Some((0, 2)), 2.0 / 16.0),
        ("fixup", 7, Some((0, 3)), 2.0 / 4.0),
        ("fixup", 7, Some((2, 3)), 0.0),
        ("fixup", 7, Some((0, 1)), 0.0),
        ("depth-scaled", 7, Some((0, 2)), 2.0),
        ("depth-scaled", 8, Some((1, 2)), 2.0 / 16.0),
        ("depth-scaled(1)", 8, Some((1, 2)), 1.0 / 16.0),
        ("gpt2", 8, Some((1, 2)), 0.04 / 16.0),
        ("gpt2", 7, Some((0, 2)), 0.04),
        ("gpt2", 40, None, 0.04),
        ("mup", 7, None, 1.0),
        ("mup", 40, None, 0.01),
        ("delta-orthogonal(2)", 7, None, 4.0),
    ] {
        let found = variance(text, layer, branch);
        assert!((found - expected).abs() < 1e-12, "{text} at {layer} {branch:?}: {found}");
    }
}

/// Keras 3, `DepthwiseConv2D(3)` on 64 channels: its kernel is (3, 3, 64, 1), so compute_fans gives 576 and 9.
#[test]
fn keras_counts_the_channels_of_a_depthwise_convolution() {
    let act = relu();
    let place = Place { class: Class::Convolution, groups: 64, width: Some(64), ..Place::default() };
    let depthwise = Site { place, ..Site::dense(9, 64 * 9, 1, 2, &act) };
    let n_var = |text: &str, site: &Site| {
        9.0 * Initializer::parse_for_net(text).unwrap().weights(site).unwrap().moments(9, 576).variance
    };
    for (text, expected) in [
        ("keras-lecun-normal", 9.0 / 576.0),
        ("keras-he-normal", 18.0 / 576.0),
        ("keras-dense", 18.0 / (576.0 + 9.0)),
        ("keras-glorot-normal", 18.0 / (576.0 + 9.0)),
        ("torch-conv", 1.0 / 3.0),
        ("jax-lecun-normal", 1.0),
    ] {
        let found = n_var(text, &depthwise);
        assert!((found / expected - 1.0).abs() < 1e-12, "{text}: {found} is not {expected}");
        let stated = Initializer::parse_for_net(text).unwrap().nominal(&depthwise).unwrap();
        assert!((stated / expected - 1.0).abs() < 1e-12, "{text} states {stated}");
    }
    // A grouped convolution that is not depthwise has the kernel (3, 3, 8, 64) in all three.
    let place = Place { class: Class::Convolution, groups: 8, width: Some(64), ..Place::default() };
    let grouped = Site { place, ..Site::dense(72, 64 * 9, 1, 2, &act) };
    assert!((8.0 * n_var("keras-lecun-normal", &grouped) - 1.0).abs() < 1e-12);
}

#[test]
fn formulas_name_what_surrounds_a_layer() {
    let act = relu();
    let place = Place {
        class: Class::Convolution,
        groups: 2,
        heads: 4,
        width: Some(48),
        branches: 16,
        branch: Some((1, 3)),
        ..Place::default()
    };
    let site = Site { place, ..Site::dense(10, 20, 7, 33, &act) };
    let value = |text: &str, site: &Site| {
        let law = Initializer::parse_for_net(&format!("constant({text})")).unwrap().weights(site).unwrap();
        law.moments(1, 1).mean
    };
    for (name, expected) in [
        ("fan_in", 10.0),
        ("fan_out", 20.0),
        ("depth", 33.0),
        ("layer", 7.0),
        ("layers", 3.0),
        ("branches", 16.0),
        ("groups", 2.0),
        ("heads", 4.0),
        ("width", 48.0),
        ("gain", std::f64::consts::SQRT_2),
        // Fixup's rule (Zhang et al. 2019, § 4) with m = 3 layers a branch.
        ("branches^(-1/(2*layers - 2))", 0.5),
    ] {
        assert!((value(name, &site) - expected).abs() < 1e-15, "{name}");
    }
    let plain = Site::dense(10, 20, 7, 33, &act);
    let all = ["layers", "branches", "groups", "heads", "width"].map(|name| value(name, &plain));
    assert_eq!(all, [33.0, 0.0, 1.0, 1.0, 10.0]);
}

/// What code of a framework says, and the entry with the same law and the same defaults.
#[test]
fn names_pasted_from_a_framework_work() {
    for (text, expected) in [
        ("kaiming_uniform_", "torch-kaiming-uniform"),
        (
            "nn.init.kaiming_normal_(mode='fan_out', nonlinearity='relu')",
            "torch-kaiming-normal(mode='fan_out', nonlinearity='relu')",
        ),
        ("torch.nn.init.xavier_uniform_", "xavier-uniform"),
        ("init.xavier_normal_(gain=2)", "torch-xavier-normal(gain=2)"),
        ("trunc_normal_(std=0.02)", "torch-trunc-normal(std=0.02)"),
        ("normal_(0, 0.02)", "torch-normal(0, 0.02)"),
        ("normal_", "torch-normal"),
        ("uniform_(-0.1, 0.1)", "torch-uniform(-0.1, 0.1)"),
        ("orthogonal_", "orthogonal"),
        ("constant_(0.5)", "constant(0.5)"),
        ("zeros_", "zeros"),
        ("ones_", "ones"),
        ("eye_", "identity"),
        ("sparse_(0.9)", "sparse(0.9)"),
        ("tf.keras.initializers.HeNormal", "keras-he-normal"),
        ("keras.initializers.TruncatedNormal(0, 0.02)", "keras-truncated-normal(0, 0.02)"),
        ("keras.initializers.GlorotUniform", "xavier-uniform"),
        ("keras.initializers.RandomNormal", "keras-random-normal"),
        ("jax.nn.initializers.lecun_normal", "jax-lecun-normal"),
        ("untruncated_normal", "lecun-normal"),
    ] {
        assert_eq!(Initializer::parse_for_net(text).map(|init| init.name).as_deref(), Ok(expected), "{text}");
    }
    // What is misspelt is still told.
    let fault = Initializer::parse("nn.init.kaiming_unifrom_").unwrap_err().to_string();
    assert!(fault.contains("kaiming-uniform"), "{fault}");
    for (text, expected) in [
        ("kaiming_normal_", 2.0),
        ("kaiming_normal_(a=1)", 1.0),
        ("kaiming_uniform_(nonlinearity=tanh)", 25.0 / 9.0),
        ("kaiming_normal_(0, fan_out, selu)", 3.0 * 9.0 / 16.0),
        ("kaiming_normal_(nonlinearity=linear)", 1.0),
        ("normal_", 300.0),
        ("uniform_", 25.0),
        ("variance_scaling(2, distribution=untruncated_normal)", 2.0),
    ] {
        let found = scaled_variance(text, 300, 100);
        assert!((found / expected - 1.0).abs() < 1e-12, "{text}: {found} is not {expected}");
    }
}

/// What PyTorch 2.15, Keras 3.15 and Flax 0.12 state for their own modules: variances by their fans, and biases.
#[test]
fn frameworks_draw_each_class_in_their_own_way() {
    let act = relu();
    let law = |text: &str, place: Place, (fan_in, fan_out): (usize, usize)| {
        let site = Site { place, ..Site::dense(fan_in, fan_out, 2, 5, &act) };
        let init = Initializer::parse_for_net(text).unwrap();
        (init.weights(&site).map(|law| law.moments(fan_in, fan_out)), init.bias(&site).unwrap())
    };
    let of = |class: Class, blocks: usize, packed: usize| Place { class, blocks, packed, ..Place::default() };
    let gate = (24, 32);
    for (text, place, fans, variance) in [
        ("torch-default", of(Class::Linear, 1, 1), (64, 32), 1.0 / 192.0),
        ("torch-default", of(Class::Query, 1, 3), (64, 64), 2.0 / 256.0),
        ("torch-default", of(Class::Query, 1, 1), (64, 64), 2.0 / 128.0),
        ("torch-default", of(Class::AttentionOutput, 1, 1), (64, 64), 1.0 / 192.0),
        ("torch-default", of(Class::GateInput, 1, 4), gate, 1.0 / 96.0),
        ("torch-default", of(Class::GateState, 4, 4), (32, 128), 1.0 / 96.0),
        ("torch-default", of(Class::Projection, 1, 1), (32, 8), 1.0 / 96.0),
        ("torch-default", of(Class::Embedding, 1, 1), (100, 32), 1.0),
        ("keras-default", of(Class::GateInput, 1, 4), gate, 2.0 / (24.0 + 128.0)),
        ("keras-default", of(Class::GateInput, 4, 4), (24, 128), 2.0 / (24.0 + 128.0)),
        ("keras-default", of(Class::GateState, 4, 4), (32, 128), 1.0 / 128.0),
        ("keras-default", of(Class::Query, 1, 3), (64, 64), 2.0 / 128.0),
        ("keras-default", of(Class::Embedding, 1, 1), (100, 32), 0.05 * 0.05 / 3.0),
        ("flax-default", of(Class::GateInput, 1, 4), gate, 1.0 / 24.0),
        ("flax-default", of(Class::GateState, 1, 4), (32, 32), 1.0 / 32.0),
        ("flax-default", of(Class::Embedding, 1, 1), (100, 32), 1.0 / 32.0),
        ("flax-default", of(Class::TransposedConvolution, 1, 1), (48 * 9, 64 * 9), 1.0 / (64.0 * 9.0)),
    ] {
        let found = law(text, place, fans).0.unwrap().variance;
        assert!((found / variance - 1.0).abs() < 1e-12, "{text} {place:?}: {found}, not {variance}");
    }
    let bias =
        |text: &str, class: Class, forget: bool| law(text, Place { forget, ..of(class, 1, 4) }, gate).1;
    let hidden = 1.0 / f64::sqrt(32.0);
    let of_cell = Law::Uniform { low: -hidden, high: hidden };
    assert_eq!(bias("torch-default", Class::GateInput, true), of_cell);
    assert_eq!(bias("torch-default", Class::GateState, false), of_cell);
    assert_eq!(bias("torch-default", Class::AttentionOutput, false), Law::Constant(0.0));
    assert_eq!(bias("keras-default", Class::GateInput, true), Law::Constant(1.0));
    assert_eq!(bias("keras-default", Class::GateState, true), Law::Constant(0.0));
    assert_eq!(bias("flax-default", Class::GateInput, true), Law::Constant(0.0));
    let refused = |text: &str, place: Place| law(text, place, (32, 128)).0.unwrap_err().to_string();
    assert!(refused("keras-default", of(Class::GateState, 1, 4)).contains("packed = true"));
    assert!(refused("flax-default", of(Class::GateState, 4, 4)).contains("leave out packed"));
}

/// The sources' own formulas, for a transformer of 12 layers, 24 residual branches, 64 wide.
#[test]
fn schemes_tell_apart_what_a_layer_does() {
    let act = relu();
    let variance = |text: &str, place: Place, (fan_in, fan_out): (usize, usize), layer: usize| {
        let place = Place { branches: 24, width: Some(fan_in), ..place };
        let site = Site { place, ..Site::dense(fan_in, fan_out, layer, 50, &act) };
        let law = Initializer::parse_for_net(text).unwrap().weights(&site);
        law.map(|law| match law {
            Law::TruncatedNormal { std, .. } => std * std,
            law => law.moments(fan_in, fan_out).variance,
        })
    };
    let query = Place { class: Class::Query, branch: Some((0, 2)), number: 23, ..Place::default() };
    let value = Place { class: Class::Value, ..query };
    let out = Place { class: Class::AttentionOutput, branch: Some((1, 2)), ..query };
    let up = Place { class: Class::Linear, branch: Some((0, 2)), number: 24, ..Place::default() };
    let down = Place { branch: Some((1, 2)), ..up };
    let head = Place::default();
    let table = Place { class: Class::Embedding, ..Place::default() };
    let (square, wide, narrow) = ((64, 64), (64, 256), (256, 64));
    let xavier = |(i, o): (usize, usize)| 2.0 / (i + o) as f64;
    for (text, place, fans, layer, expected) in [
        ("deepnorm", query, square, 3, xavier(square)),
        ("deepnorm", value, square, 3, xavier(square) / f64::sqrt(96.0)),
        ("deepnorm", out, square, 3, xavier(square) / f64::sqrt(96.0)),
        ("deepnorm(18)", down, narrow, 3, xavier(narrow) / 12.0),
        ("deepnorm", head, wide, 50, xavier(wide)),
        ("t-fixup", query, square, 3, xavier(square)),
        ("t-fixup", up, wide, 3, xavier(wide) * 0.67 * 0.67 / f64::sqrt(12.0)),
        ("t-fixup(9, decoder)", up, wide, 3, xavier(wide) / 9.0),
        ("t-fixup(9)", table, (100, 64), 1, 1.0 / 64.0 / 9.0),
        ("mitchell", query, square, 3, 1.0 / 64.0),
        ("mitchell", out, square, 3, 1.0 / (2.0 * 64.0 * 12.0)),
        ("mitchell", down, narrow, 3, 1.0 / (2.0 * 256.0 * 12.0)),
        ("small-init", up, wide, 3, 2.0 / (5.0 * 64.0)),
        ("small-init", out, square, 3, 4.0 / (144.0 * 64.0)),
        ("small-init(6)", down, narrow, 3, 4.0 / (36.0 * 64.0)),
        ("zero-gamma", up, wide, 3, 2.0 / 256.0),
        ("zero-gamma(fan_in)", up, wide, 3, 2.0 / 64.0),
        ("zero-gamma", head, wide, 50, 1e-4),
        ("skipinit", up, wide, 3, 2.0 / 64.0),
        ("rezero", value, square, 3, xavier(square)),
        ("siren", head, square, 1, 1.0 / (3.0 * 64.0 * 64.0)),
        ("siren", head, square, 2, 2.0 / (64.0 * 900.0)),
        ("siren(1)", head, square, 2, 2.0 / 64.0),
    ] {
        let found = variance(text, place, fans, layer).unwrap();
        assert!((found / expected - 1.0).abs() < 1e-12, "{text} {place:?}: {found}, not {expected}");
    }
    for text in ["deepnorm(0)", "t-fixup(-1)", "siren(0)", "mitchell(0)", "small-init(0)"] {
        let fault = variance(text, out, square, 3).unwrap_err().to_string();
        assert!(fault.contains("positive") || fault.contains("layers"), "{fault}");
    }
    assert!(Initializer::parse("deepnorm").unwrap_err().to_string().contains("residual"));
}
