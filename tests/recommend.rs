//! `initdiag recommend` as a user runs it, and its lines as frameworks run them.

mod common;

use common::Tool;
use initdiag::diagnose::recommend::Recommendation;
use std::io::Write as _;
use std::process::Output;

const TOOL: Tool = Tool("recommend");

fn tool(arguments: &[&str]) -> Output {
    TOOL.run(arguments)
}

fn json(arguments: &[&str]) -> Recommendation {
    TOOL.json(arguments)
}

#[test]
fn the_answer_in_json() {
    let r = json(&["--act", "relu", "--depth", "20", "--width", "64"]);
    assert_eq!((r.schema.as_str(), r.depth, r.widths.as_slice()), ("initdiag-recommend/1", 20, &[64][..]));
    assert_eq!(r.recommended.init, "he-normal");
    let output = tool(&["--act", "sigmoid", "--depth", "5", "--width", "32", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["critical"].is_null() && value["critical_why"].as_str().unwrap().contains("103.0076"));
    for framework in ["pytorch", "keras", "jax", "burn", "candle"] {
        assert!(value["code"][framework].as_str().unwrap().contains("32"), "{framework}");
    }
    assert!(value["gain_forward"].is_number() && value["ranking"].as_array().unwrap().len() > 20);
    // The same options, the same bytes.
    assert_eq!(output.stdout, tool(&["--act", "sigmoid", "--depth", "5", "--width", "32", "--json"]).stdout);
}

#[test]
fn unequal_widths_get_a_formula_of_the_fans() {
    let r = json(&["--act", "tanh", "--widths", "100,64,32,16", "--init", "torch-linear"]);
    assert_eq!(r.widths, [100, 64, 32, 16]);
    assert!(r.recommended.law.contains("fan_in") && r.code.pytorch.contains("widths = [100, 64, 32, 16]"));
    assert!(r.ranking.iter().any(|row| row.now && row.names.iter().any(|n| n == "torch-linear")));
}

#[test]
fn files_and_table() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("new");
    let output = tool(&["--act", "gelu", "--depth", "8", "--width", "32", "--out", out.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["take", "you have", "half-stable", "gains", "ranking", "PyTorch", "candle"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains("NaN"));
    assert!(out.join("recommend.json").exists() && out.join("recommend_candle.rs").exists());
    let other = place.path().join("other");
    let few = ["--depth", "2", "--width", "8", "--format", "json", "--out", other.to_str().unwrap()];
    let colored = tool(&[&few[..], &["--color", "always"]].concat());
    assert!(colored.stdout.contains(&0x1b));
    let names: Vec<_> = std::fs::read_dir(&other).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names, ["recommend.json"]);
    let quiet = tool(&[&few[..], &["-q"]].concat());
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty() && quiet.status.success());
}

/// A file of a network, and the directory that holds it.
fn net_of(text: &str) -> (tempfile::TempDir, String) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("net.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_string();
    (place, path)
}

#[test]
fn a_shipped_network_is_ranked_by_what_a_run_measures() {
    let r = json(&["--net", "lenet5", "--seed", "3"]);
    assert_eq!(r.now.init, "torch-linear", "a network's own initializer is what the user has");
    let net = r.net.as_ref().unwrap();
    assert_eq!((net.name.as_str(), net.matrices, net.norms, net.branches), ("lenet5", 3, 0, 0));
    assert!(!net.predicted && net.own.is_empty() && net.notes.iter().any(|n| n.contains("plain stacks")));
    assert!(r.ranking.iter().all(|row| row.forward.predicted.is_none() && row.backward.predicted.is_none()));
    assert!(r.ranking.len() > 20 && r.widths.is_empty());
    // What is stable already is the answer.
    assert!(
        r.recommended.stable && r.recommended.why.contains("nothing needs to change"),
        "{:?}",
        r.recommended
    );
    assert_eq!(r.recommended.init, "torch-linear");
    assert!(r.code.pytorch.contains("keep torch-linear") && r.code.burn.starts_with("//"));
    // Else the one measured to change least, to the scatter of short simulations, is taken, and it adapts to the fans.
    let other = json(&["--net", "lenet5", "--seed", "3", "--init", "normal(0, 1)"]);
    assert!(other.recommended.stable && other.recommended.law.contains("fan_in"), "{:?}", other.recommended);
    let ranked = |name: &str| other.ranking.iter().find(|row| row.names.iter().any(|n| n == name)).unwrap();
    let taken = ranked(&other.recommended.init).score.unwrap();
    for name in ["he-normal", "lecun-normal", "xavier-normal", "xavier-uniform", "glorot-standard"] {
        assert!(ranked(name).score.unwrap() >= taken - 0.1 || !ranked(name).is_sound(), "{name}");
    }
    let row = |name: &str| r.ranking.iter().find(|row| row.names.iter().any(|n| n == name)).unwrap();
    let now = row("torch-linear");
    assert!(now.now && (now.forward, now.backward) == (r.now.forward, r.now.backward));
    assert!(r.now.chi1.is_none() && r.now.why["sigma_w2"].contains("plain stacks"));
    // The same numbers as the main command's.
    let mut run = assert_cmd::Command::cargo_bin("initdiag").unwrap();
    run.args([
        "--net",
        "lenet5",
        "--init",
        "torch-linear,he",
        "--batch",
        "16",
        "--trials",
        "3",
        "--seed",
        "3",
        "--json",
    ]);
    let report: initdiag::result::Report = serde_json::from_slice(&run.output().unwrap().stdout).unwrap();
    for (cell, row) in report.cells.iter().zip([now, row("he-normal")]) {
        assert_eq!(row.forward.measured, cell.forward.decisive);
        assert_eq!(row.backward.measured, cell.backward.decisive);
    }
    let output = tool(&[
        "--net",
        "lenet5",
        "--format",
        "json",
        "--out",
        tempfile::tempdir().unwrap().path().to_str().unwrap(),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["lenet5 · 3 weight matrices", "take", "you have", "–  ", "nothing needs to change"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("NaN"));
}

/// He everywhere doubles the signal at each layer that no activation follows, Xavier halves it at each that one does: in ten pairs a
/// thousandfold either way. Gain 1 on the first of each pair and √2 on the second keeps it.
#[test]
fn layers_get_the_law_of_their_place() {
    let (_place, path) = net_of(
        r#"
        input = { shape = [128] }
        layer = [
            { type = "repeat", times = 10, layers = [
                { type = "linear", name = "one", out = 128 },
                { type = "linear", name = "two", out = 128 },
                { type = "act" },
            ] },
            { type = "linear", name = "head", out = 10 },
        ]"#,
    );
    let r = json(&["--net", &path, "--init", "he"]);
    assert!(r.now.forward.measured.unwrap() > 2.0, "{:?}", r.now);
    assert!(r.recommended.stable, "{:?}", r.recommended);
    assert_eq!(r.recommended.set, ["two*/weight=normal(0, sqrt(2/fan_in))"], "{:?}", r.recommended);
    assert!(r.code.pytorch.contains("\"two*\": 2.0") && r.code.burn.contains("starts_with(\"two\")"));
    // What is recommended is stable in a run of its own.
    let set = &r.recommended.set[0];
    let mut run = assert_cmd::Command::cargo_bin("initdiag").unwrap();
    run.args([
        "--net",
        &path,
        "--init",
        &r.recommended.init,
        "--set",
        set,
        "--batch",
        "16",
        "--trials",
        "3",
        "--json",
    ]);
    let report: initdiag::result::Report = serde_json::from_slice(&run.output().unwrap().stdout).unwrap();
    assert_eq!(report.cells[0].forward.verdict, initdiag::result::Verdict::Stable);
}

#[test]
fn residual_branches_are_given_smaller_ends() {
    let (_place, path) = net_of(
        r#"
        input = { shape = [48] }
        layer = [{ type = "repeat", times = 16, layers = [{ type = "residual", layers = [
            { type = "act" },
            { type = "linear", out = 48 },
            { type = "act" },
            { type = "linear", out = 48 },
        ] }] }]"#,
    );
    let r = json(&["--net", &path, "--init", "he"]);
    assert_eq!(r.net.as_ref().unwrap().branches, 16);
    // He doubles the variance, roughly, at each of sixteen blocks: 10^4.5. Divided by 16 at its end a branch adds 1/16: e in all.
    assert!(r.now.forward.measured.unwrap() > 3.0 && r.now.backward.measured.unwrap() > 3.0, "{:?}", r.now);
    assert!(r.recommended.init.starts_with("depth-scaled") && r.recommended.stable, "{:?}", r.recommended);
    assert!(r.recommended.law.contains("√16") && r.code.pytorch.contains("divide the variance by 16"));
}

#[test]
fn what_a_network_leaves_to_no_initializer_is_said() {
    let (_place, path) = net_of(
        r#"
        input = { shape = [32] }
        layer = [
            { type = "linear", out = 32, init = "orthogonal", name = "first" },
            { type = "act" },
            { type = "repeat", times = 3, layers = [
                { type = "linear", out = 32 },
                { type = "batchnorm" },
                { type = "act" },
            ] },
            { type = "linear", out = 32, init = "xavier", name = "head" },
        ]"#,
    );
    let r = json(&["--net", &path]);
    let net = r.net.unwrap();
    assert_eq!((net.own, net.norms), (vec!["first".to_string(), "head".to_string()], 3));
    let said = |words: &str| net.notes.iter().any(|note| note.contains(words));
    assert!(said("first and head: it is kept") && said("3 norms"), "{:?}", net.notes);
    // Where every law is named there is nothing to recommend.
    let (_place, path) =
        net_of("input = { shape = [8] }\nlayer = [{ type = \"linear\", out = 8, init = \"he\" }]");
    TOOL.refuses(&[(&["--net", &path], "no initializer is left to choose")]);
    let (_place, path) = net_of(
        "input = { shape = [1, 8, 8] }\nlayer = [{ type = \"residual\", layers = [{ type = \"conv2d\", out = 4, kernel = 3 }] }]",
    );
    TOOL.refuses(&[(&["--net", &path], "block1: the branch makes [4, 6, 6]")]);
}

#[test]
fn theory_stands_beside_the_measurement_where_a_network_is_a_stack() {
    let (_place, path) = net_of(
        r#"
        act = "tanh"
        init = "lecun-normal"
        input = { shape = [64] }
        layer = [{ type = "repeat", times = 30, layers = [{ type = "linear", out = 64 }, { type = "act" }] }]"#,
    );
    let r = json(&["--net", &path]);
    assert!(r.net.as_ref().unwrap().predicted && r.act == "tanh" && r.now.init == "lecun-normal");
    assert_eq!((r.depth, r.now.chi1), (30, Some(1.0)));
    // As for the same stack without a file.
    let stack = json(&["--act", "tanh", "--depth", "30", "--width", "64", "--init", "lecun-normal"]);
    assert_eq!(
        (r.now.sigma_w2, r.now.xi_c, r.critical),
        (stack.now.sigma_w2, stack.now.xi_c, stack.critical)
    );
    assert_eq!(r.now.forward.predicted, stack.now.forward.predicted);
    assert!((r.now.forward.measured.unwrap() - r.now.forward.predicted.unwrap()).abs() < 0.3, "{:?}", r.now);
}

#[test]
fn wrong_input_gets_one_clear_line() {
    let rows: &[(&[&str], &str)] = &[
        (&["--act", "tanhh"], "did you mean `tanh`"),
        (&["--act", "relu,tanh"], "--act"),
        (&["--init", "hee"], "did you mean `he`"),
        (&["--init", "fixup"], "residual"),
        (&["--init", "critical", "--act", "softplus"], "critical"),
        (&["--init", "normal(0, 1/(fan_in - 512))"], "finite"),
        (&["--depth", "0"], "whole number"),
        (&["--depth", "20000"], "at most 10000"),
        (&["--depth", "10M"], "at most 10000"),
        (&["--width", "-3"], "whole number"),
        (&["--widths", "3"], "at least one layer"),
        (&["--widths", "3,x"], "`x`"),
        (&["--widths", "3,4", "--depth", "2"], "cannot be used with"),
        (&["--net", "lenet"], "did you mean `lenet5`"),
        (&["--net", "lenet5", "--depth", "3"], "cannot be used with"),
        (&["--net", "lenet5", "--init", "hee"], "did you mean `he`"),
        (&["--net", "lenet5", "--init", "critical", "--act", "softplus"], "critical"),
        (&["--threshold", "0"], "a number above 0"),
        (&["--threshold", "nan"], "a number above 0"),
        (&["--seed", "-1"], "seed"),
        (&["--format", "png"], "png"),
        (&["extra"], "extra"),
    ];
    TOOL.refuses(rows);
    let absent = tool(&["--net", "lenet.toml"]);
    let text = String::from_utf8(absent.stderr).unwrap();
    assert_eq!((absent.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains("--net `lenet.toml`: there is no such file") && absent.stdout.is_empty());
    assert_eq!(tool(&["--depth", "2", "--width", "4", "--out", "/proc/none"]).status.code(), Some(1));
}

/// n·Var(W) or (fan_in + fan_out)/2·Var(W), and Var(b), of every layer that the lines leave behind.
const MEASURE: [(&str, &str); 3] = [
    (
        "torch",
        "pairs = [(l.weight.detach().numpy().T, l.bias.detach().numpy()) for l in (layers if 'layers' in dir() else [layer])]",
    ),
    (
        "keras",
        "pairs = [tuple(numpy.array(v) for v in l.get_weights()) for l in (layers if 'layers' in dir() else [layer])]",
    ),
    (
        "jax",
        "pairs = [(numpy.array(w), numpy.array(b)) for w, b in (layers if 'layers' in dir() else [(weight, bias)])]",
    ),
];

/// Python with a framework, or `None` where it is not installed.
fn python(module: &str, script: &str) -> Option<String> {
    let python = std::env::var("INITDIAG_PYTHON").unwrap_or_else(|_| "python3".into());
    let run = |text: &str| {
        let mut command = std::process::Command::new(&python);
        // Keras takes its backend from the environment; TensorFlow is its default and seldom there.
        let backend = std::env::var("KERAS_BACKEND").unwrap_or_else(|_| "jax".into());
        command.args(["-c", text]).env("KERAS_BACKEND", backend).output()
    };
    let there = run(&format!("import numpy, {module}")).is_ok_and(|o| o.status.success());
    if !there {
        let _ = writeln!(std::io::stderr(), "skipped: {python} has no {module}");
        return None;
    }
    let output = run(script).unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Law: a sample variance of N independent normal entries scatters by √(2/N) of itself, of uniform ones by less. Weights: N =
/// fan_in·fan_out ≥ 25 600, biases ≥ 100; 5.5 standard deviations, false alarm below 10⁻⁷ for each of at most 30.
#[test]
fn python_lines_run_as_printed_and_draw_what_is_recommended() {
    // A Gaussian critical point with biases, a named law, unequal widths and a mean of fans.
    let stacks: [(&[&str], f64); 3] = [
        (&["--act", "tanh", "--depth", "60", "--width", "256"], 0.150_964_6),
        (&["--act", "relu", "--widths", "784,300,100"], 0.0),
        (&["--act", "gelu", "--depth", "40", "--width", "256"], 0.172_922_4),
    ];
    for (arguments, sigma_b2) in stacks {
        let r = json(arguments);
        // What is recommended, as numbers: for these three σ_w²/fan_in.
        let sigma_w2 = match (r.act.as_str(), r.recommended.init.as_str()) {
            ("tanh", "critical") => 2.153_303,
            ("relu", "he-normal") => 2.0,
            ("gelu", name) if name.starts_with("critical(q=") => 1.983_058,
            other => panic!("{other:?}"),
        };
        for ((module, pairs), lines) in MEASURE.iter().zip([&r.code.pytorch, &r.code.keras, &r.code.jax]) {
            let script = format!(
                "{lines}\nimport numpy\n{pairs}\nfor w, b in pairs:\n    print(w.shape[0], w.shape[1], b.shape[0], float(numpy.var(w)), float(numpy.var(b)))\n"
            );
            let Some(printed) = python(module, &script) else { continue };
            assert_eq!(printed.lines().count(), r.widths.len().max(2) - 1);
            for line in printed.lines() {
                let v: Vec<f64> = line.split(' ').map(|x| x.parse().unwrap()).collect();
                let bound = |count: f64| 5.5 * (2.0 / count).sqrt();
                let off = v[0] * v[3] / sigma_w2 - 1.0;
                assert!(off.abs() < bound(v[0] * v[1]), "{module} {arguments:?}: {line}");
                // Xavier's variance in its place would be seen: it is less than half.
                assert!((v[0] * v[3] / 1.0 - 1.0).abs() > bound(v[0] * v[1]));
                if sigma_b2 == 0.0 {
                    assert_eq!(v[4], 0.0);
                } else {
                    assert!((v[4] / sigma_b2 - 1.0).abs() < bound(v[2]), "{module} {arguments:?}: {line}");
                }
            }
        }
    }
}

/// A convolution of 576 and a dense layer of 512 fan-in, set by the lines for a network: `found` is (fan_in, weights, biases).
const NETWORK: [(&str, &str); 3] = [
    (
        "torch",
        "network = torch.nn.Sequential(torch.nn.Conv2d(64, 128, 3), torch.nn.ReLU(), torch.nn.Linear(512, 300))\n\
         initialize(network)\n\
         found = [(l.weight[0].numel(), l.weight.detach().numpy(), l.bias.detach().numpy()) for l in network if hasattr(l, 'weight')]",
    ),
    (
        "keras",
        "conv, dense = keras.layers.Conv2D(128, 3, **initializers()), keras.layers.Dense(300, **initializers())\n\
         conv.build((None, 8, 8, 64)), dense.build((None, 512))\n\
         found = [(n, *(numpy.array(v) for v in l.get_weights())) for n, l in ((576, conv), (512, dense))]",
    ),
    (
        "jax",
        "keys = jax.random.split(jax.random.key(0), 4)\n\
         found = [(576, numpy.array(weights(keys[0], (3, 3, 64, 128))), numpy.array(biases(keys[1], 128))),\n\
                  (512, numpy.array(weights(keys[2], (512, 300))), numpy.array(biases(keys[3], 300)))]",
    ),
];

/// As above: at least 73 728 weights and 128 biases, 5.5 standard deviations.
#[test]
fn python_lines_of_a_network_set_every_layer() {
    let stack = |act: &str| {
        format!(
            "act = \"{act}\"\ninput = {{ shape = [64] }}\nlayer = [{{ type = \"repeat\", times = 60, layers = [{{ type = \"linear\", out = 64 }}, {{ type = \"act\" }}] }}]"
        )
    };
    for (act, name, sigma_w2, sigma_b2) in
        [("relu", "he-normal", 2.0, 0.0), ("tanh", "critical", 2.153_303, 0.150_964_6)]
    {
        let (_place, path) = net_of(&stack(act));
        let r = json(&["--net", &path]);
        assert_eq!(r.recommended.init, name, "{:?}", r.recommended);
        for ((module, layers), lines) in NETWORK.iter().zip([&r.code.pytorch, &r.code.keras, &r.code.jax]) {
            let script = format!(
                "{lines}\nimport numpy\n{layers}\nfor n, w, b in found:\n    print(n, w.size, b.size, float(numpy.var(w)), float(numpy.var(b)))\n"
            );
            let Some(printed) = python(module, &script) else { continue };
            assert_eq!(printed.lines().count(), 2);
            for line in printed.lines() {
                let v: Vec<f64> = line.split(' ').map(|x| x.parse().unwrap()).collect();
                let bound = |count: f64| 5.5 * (2.0 / count).sqrt();
                assert!((v[0] * v[3] / sigma_w2 - 1.0).abs() < bound(v[1]), "{module} {act}: {line}");
                assert!((v[4] - sigma_b2).abs() <= sigma_b2 * bound(v[2]), "{module} {act}: {line}");
            }
        }
    }
}
