//! Random networks, valid and not, and random command lines. Whatever they ask for: no panic, no abort, no word that is no number,
//! one clear line where something is wrong, no more memory than the tool says it needs, no more than twice the time that it
//! announces, and no long work without an announcement.
//!
//! A minute of it runs with the other tests. An hour: `cargo test --release --test random_runs -- --ignored`, with
//! `INITDIAG_RANDOM_SEED` for other draws. A failure names the seed of its case.
#![cfg(target_os = "linux")]

#[path = "common/bounded.rs"]
mod bounds;

use bounds::{Bounds, Ended, run};
use initdiag::op::layer::LAYERS;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// What a case draws from.
struct Draws(ChaCha8Rng);

impl Draws {
    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of.choose(&mut self.0).expect("there is something to choose from")
    }

    fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    fn chance(&mut self, share: f64) -> bool {
        self.0.random_bool(share)
    }

    /// A size: mostly small, of which many divide one another.
    fn size(&mut self) -> usize {
        const SIZES: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 100];
        SIZES[self.below(SIZES.len())]
    }

    /// A whole number as no sane file has it.
    fn odd(&mut self) -> String {
        let odd = [
            "0",
            "-1",
            "1",
            "7",
            "1000003",
            "4294967296",
            "1000000000000",
            "9223372036854775807",
            "18446744073709551615",
            "0.5",
            "nan",
            "-inf",
            "1e400",
            "true",
            "\"x\"",
            "[]",
            "[1, 2, 3]",
            "{}",
        ];
        self.one(&odd).into()
    }

    /// The value of a field, mostly of its kind.
    fn value(&mut self, field: &str) -> String {
        if self.chance(0.01) {
            return self.odd();
        }
        let laws = [
            "\"he\"",
            "\"xavier\"",
            "\"orthogonal\"",
            "\"identity\"",
            "\"zeros\"",
            "\"normal(0, 0.1)\"",
            "\"lsuv\"",
            "\"uniform(-1, 2)\"",
            "\"x\"",
        ];
        match field {
            "kernel" | "stride" | "dilation" | "factor" => match self.below(3) {
                0 => format!("[{}, {}]", 1 + self.below(4), 1 + self.below(4)),
                _ => (1 + self.below(3)).to_string(),
            },
            "padding" => self.one(&["0", "1", "2", "\"same\"", "[1, 0]"]).into(),
            "output_padding" => self.one(&["0", "1", "[1, 0]"]).into(),
            "standardize" => self
                .one(&[
                    "true",
                    "false",
                    "{ eps = 0.0, scale = \"fan-in\" }",
                    "{ eps = -1.0 }",
                    "{ gain = 1 }",
                    "1",
                ])
                .into(),
            "mode" => self.one(&["\"nearest\"", "\"bilinear\"", "\"x\""]).into(),
            "groups" | "heads" | "parts" => self.one(&["1", "2", "4", "3"]).into(),
            "layers" | "rank" | "state" | "projection" => (1 + self.below(3)).to_string(),
            "steps" => self.one(&["1", "-1", "2"]).into(),
            "at" => self.one(&["\"first\"", "\"last\"", "0", "1", "-1"]).into(),
            "edges" => self
                .one(&["[[0, 1]]", "[[0, 1], [1, 2], [2, 0]]", "[]", "[[0, 0]]", "[[0]]", "\"d.csv\""])
                .into(),
            "normalize" => self.one(&["\"symmetric\"", "\"row\"", "\"none\"", "true", "false"]).into(),
            "sizes" => format!("[{}, {}]", self.size(), self.size()),
            "fn" => self
                .one(&[
                    "\"relu\"",
                    "\"tanh\"",
                    "\"gelu\"",
                    "\"x^3\"",
                    "\"exp(x)\"",
                    "\"selu\"",
                    "\"abs(x)\"",
                    "\"y\"",
                ])
                .into(),
            "init" | "recurrent" => self.one(&laws).into(),
            "bias" => {
                self.one(&["true", "false", "\"none\"", "\"normal(0, 0.1)\"", "\"constant(1)\""]).into()
            }
            "p" => self.one(&["0.0", "0.1", "0.5", "0.99", "1.0", "2.0"]).into(),
            "eps" => self.one(&["1e-5", "0.0", "1.0", "-1.0"]).into(),
            "rotary" => self
                .one(&[
                    "true",
                    "false",
                    "{ base = 100 }",
                    "{ width = 2, style = \"pairs\" }",
                    "{ base = 0.5 }",
                ])
                .into(),
            "query_norm" | "key_norm" => {
                self.one(&["\"none\"", "\"rmsnorm\"", "\"layernorm\"", "\"x\""]).into()
            }
            "relative" => self.one(&["{}", "{ buckets = 8, distance = 20 }", "{ buckets = 1 }"]).into(),
            "soft_cap" => self.one(&["1.0", "50.0", "1e-3", "0.0"]).into(),
            "kv_heads" | "experts" | "top" => self.one(&["1", "2", "4", "3"]).into(),
            "by" | "scale" | "forget" => self.one(&["1.0", "0.5", "0.0", "-2.0", "1e10"]).into(),
            "positions" | "causal" | "transposed" | "last" | "tied" | "bidirectional" | "packed"
            | "loops" | "alibi" | "gated" => self.one(&["true", "false"]).into(),
            _ => self.size().to_string(),
        }
    }

    /// A layer or a group as an inline table; `names` are those that `from` may say.
    fn layer(&mut self, depth: usize, names: &mut Vec<String>) -> String {
        let mut fields: Vec<String> = Vec::new();
        let group = depth < 3 && self.chance(0.2);
        if group {
            match self.below(3) {
                0 => {
                    let shortcut = self.chance(0.2);
                    fields.push("type = \"residual\"".into());
                    fields.push(format!("layers = {}", self.list(depth + 1)));
                    if shortcut {
                        fields.push(format!("shortcut = {}", self.list(depth + 1)));
                    }
                }
                1 => {
                    let times = if self.chance(0.05) { self.odd() } else { (1 + self.below(4)).to_string() };
                    fields.push("type = \"repeat\"".into());
                    fields.push(format!("times = {times}, layers = {}", self.list(depth + 1)));
                }
                _ => {
                    let join = self.one(&["add", "mul", "concat"]);
                    let (a, b) = (self.list(depth + 1), self.list(depth + 1));
                    fields.push(format!("type = \"parallel\", join = \"{join}\", branches = [{a}, {b}]"));
                }
            }
        } else {
            // The layers that most networks consist of, or any.
            let common = ["linear", "act", "conv2d", "layernorm"];
            let kind = if self.chance(0.5) {
                self.one(&common).to_string()
            } else {
                LAYERS[self.below(LAYERS.len())].name.into()
            };
            fields.push(format!("type = \"{kind}\""));
            let known = LAYERS.iter().find(|layer| layer.name == kind).map_or(&[][..], |layer| layer.fields);
            for field in known {
                let needed = matches!(
                    *field,
                    "out"
                        | "kernel"
                        | "groups"
                        | "heads"
                        | "p"
                        | "by"
                        | "factor"
                        | "at"
                        | "edges"
                        | "hidden"
                        | "experts"
                );
                if self.chance(if needed { 0.97 } else { 0.15 }) {
                    let value = self.value(field);
                    fields.push(format!("{field} = {value}"));
                }
            }
            if self.chance(0.01) {
                fields.push(format!("{} = {}", self.one(&["depth", "kernal", "units"]), self.odd()));
            }
        }
        if self.chance(0.15) {
            let name = self.one(&["a", "b", "a/b", "block", "ü", ""]).to_string();
            fields.push(format!("name = \"{name}\""));
            names.push(name);
        }
        if !names.is_empty() && self.chance(0.1) {
            let from: Vec<String> =
                (0..=self.below(2)).map(|_| names[self.below(names.len())].clone()).collect();
            fields.push(format!("from = {from:?}"));
        }
        format!("{{ {} }}", fields.join(", "))
    }

    fn list(&mut self, depth: usize) -> String {
        let mut names = Vec::new();
        let count = if self.chance(0.05) { 0 } else { 1 + self.below(4) };
        let layers: Vec<String> = (0..count).map(|_| self.layer(depth, &mut names)).collect();
        format!("[{}]", layers.join(", "))
    }

    /// The file of a network.
    fn network(&mut self) -> String {
        let input = match self.below(7) {
            0 => format!("{{ shape = [{}] }}", self.size()),
            1 => format!("{{ shape = [{}, {}] }}", self.size(), self.size()),
            2 | 3 => {
                format!("{{ shape = [{}, {}, {}] }}", self.size(), 1 + self.below(16), 1 + self.below(16))
            }
            4 => format!("{{ tokens = {}, length = {} }}", self.size(), self.size()),
            5 => {
                let [depth, height, width] = [0; 3].map(|_| 1 + self.below(6));
                format!("{{ shape = [{}, {depth}, {height}, {width}] }}", self.size())
            }
            _ => format!(
                "{{ shape = [{}] }}",
                if self.chance(0.3) { self.odd() } else { self.size().to_string() }
            ),
        };
        let layers = self.list(0);
        let mut text = format!("input = {input}\nlayer = {layers}\n");
        if self.chance(0.03) {
            // A byte is lost, or a piece.
            let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
            let from = places[self.below(places.len())];
            let to = if self.chance(0.5) {
                text.len()
            } else {
                from + text[from..].chars().next().map_or(0, char::len_utf8)
            };
            text.replace_range(from..to, "");
        }
        text
    }

    fn activation(&mut self) -> String {
        let plain = [
            "relu",
            "tanh",
            "gelu",
            "selu",
            "sigmoid",
            "leaky-relu(a=0.2)",
            "softplus",
            "x^2",
            "exp(x)",
            "x*sigmoid(1.702*x)",
            "sin(3*x)",
            "max(x, 0.3)",
            "abs(x)^1.5",
            "cosh(x)",
            "x+1e10",
            "1/(1+x*x)",
            "log(1+exp(x))",
        ];
        if self.chance(0.8) { self.one(&plain).into() } else { self.expression(0) }
    }

    /// A formula in x.
    fn expression(&mut self, depth: usize) -> String {
        if depth > 3 || self.chance(0.3) {
            return self.one(&["x", "x", "1", "0.5", "2", "pi", "-3", "1e10", "1e-10"]).into();
        }
        let one = self.expression(depth + 1);
        match self.below(4) {
            0 => format!(
                "{}({one})",
                self.one(&["tanh", "exp", "sin", "abs", "relu", "sqrt", "ln", "erf", "cosh", "atan"])
            ),
            1 => format!("({one})^{}", self.one(&["2", "3", "0.5", "-1", "x", "64"])),
            _ => format!("({one}) {} ({})", self.one(&["+", "-", "*", "/"]), self.expression(depth + 1)),
        }
    }

    fn initializer(&mut self) -> String {
        let plain = [
            "he",
            "xavier",
            "lecun",
            "orthogonal",
            "identity",
            "zeros",
            "critical",
            "lsuv",
            "delta-orthogonal",
            "normal(0, 0.02)",
            "normal(0, sqrt(2/fan_in))",
            "uniform(-1, 1)",
            "truncated-normal",
            "he-uniform",
            "critical(q=1e-3)",
            "constant(0.1)",
            "depth-scaled",
            "torch-linear",
            "normal(1e200, 1)",
            "normal(0, 1e-300)",
            "he(gain=0)",
            "nothing",
        ];
        self.one(&plain).into()
    }

    /// A number as an option of its kind has it, now and then an odd one.
    fn count(&mut self, most: usize) -> String {
        if self.chance(0.04) {
            return self.one(&["0", "-1", "x", "", "1G", "99999999999999999999", "1e3", "1.5k"]).into();
        }
        (1 + self.below(most)).to_string()
    }

    fn real(&mut self) -> String {
        self.one(&["1", "0.1", "2", "0.5", "1e-3", "1e6", "0", "-1", "nan", "1e999"]).into()
    }

    /// The arguments of a command.
    fn command(&mut self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let kind = self.below(10);
        let mut add = |words: &[String]| all.extend_from_slice(words);
        let of = |words: &[&str]| words.iter().map(|w| (*w).to_string()).collect::<Vec<_>>();
        match kind {
            0..5 => {
                if self.chance(0.5) {
                    add(&of(&["--net", "n.toml"]));
                } else if self.chance(0.2) {
                    add(&[
                        String::from("--widths"),
                        (0..2 + self.below(4)).map(|_| self.count(200)).collect::<Vec<_>>().join(","),
                    ]);
                } else {
                    add(&["--depth".into(), self.count(60), "--width".into(), self.count(300)]);
                }
                add(&["--batch".into(), self.count(64), "--trials".into(), self.count(6)]);
                if self.chance(0.3) {
                    add(&["--engine".into(), self.one(&["auto", "dense", "implicit"]).into()]);
                }
                if self.chance(0.2) {
                    add(&["--loss".into(), self.one(&["random", "mse", "cross-entropy"]).into()]);
                }
                if self.chance(0.2) {
                    add(&[
                        "--input".into(),
                        self.one(&[
                            "uniform",
                            "correlated(0.9)",
                            "correlated(2)",
                            "d.csv",
                            "n.toml",
                            "none.csv",
                        ])
                        .into(),
                    ]);
                }
                if self.chance(0.2) {
                    add(&["--bias".into(), self.initializer()]);
                }
                if self.chance(0.1) {
                    let pattern =
                        self.one(&["*", "layer1", "*bias", "layer2.weight", "*query", "lstm*", "x", "?", ""]);
                    let law = self.initializer();
                    add(&["--set".into(), format!("{pattern}={law}")]);
                }
                if self.chance(0.2) {
                    add(&["--precision".into(), self.one(&["single", "double"]).into()]);
                }
                for flag in ["--trace", "--jacobian"] {
                    if self.chance(0.1) {
                        add(&of(&[flag]));
                    }
                }
                if self.chance(0.1) {
                    add(&[
                        "--fail-on".into(),
                        self.one(&["exploding", "vanishing,stable", "drift", "x"]).into(),
                    ]);
                }
                if self.chance(0.1) {
                    add(&["--threshold".into(), self.real()]);
                }
            }
            5 => {
                add(&of(&["train", "--data", "d.csv"]));
                if self.chance(0.5) {
                    add(&of(&["--net", "n.toml"]));
                } else {
                    add(&["--widths".into(), format!("4,{},3", self.size())]);
                }
                add(&[
                    "--epochs".into(),
                    self.count(4),
                    "--seeds".into(),
                    self.count(3),
                    "--batch".into(),
                    self.count(32),
                ]);
                add(&["--lr".into(), self.one(&["0.1", "1e-3", "1e30", "1e-30", "0"]).into()]);
                if self.chance(0.5) {
                    add(&[
                        "--optimizer".into(),
                        self.one(&["sgd", "momentum", "adam", "adamw", "lion"]).into(),
                    ]);
                }
                if self.chance(0.2) {
                    add(&["--checkpoint".into(), self.one(&["c", "d.csv", "n.toml"]).into()]);
                }
            }
            6 => add(&["theory".into(), "--sigma-w2".into(), self.real(), "--sigma-b2".into(), self.real()]),
            7 => add(&of(&["phase", "--resolution", "8"])),
            8 => {
                add(&of(&["recommend"]));
                if self.chance(0.5) {
                    add(&of(&["--net", "n.toml"]));
                } else {
                    add(&["--depth".into(), self.count(30), "--width".into(), self.count(200)]);
                }
            }
            _ => add(&["catalog".into(), self.one(&["inits", "acts", "nets", "x"]).into()]),
        }
        if kind < 9 && self.chance(0.6) {
            let acts: Vec<String> = (0..=self.below(2)).map(|_| self.activation()).collect();
            all.extend(["--act".into(), if kind < 6 { acts.join(",") } else { acts[0].clone() }]);
        }
        if (kind < 6 || kind == 8) && self.chance(0.7) {
            let inits: Vec<String> = (0..=self.below(3)).map(|_| self.initializer()).collect();
            all.extend(["--init".into(), if kind < 6 { inits.join(",") } else { inits[0].clone() }]);
        }
        if kind < 9 && self.chance(0.4) {
            all.push("--json".into());
        } else if kind < 9 && self.chance(0.5) {
            all.extend(["--format".into(), self.one(&["json", "svg", "csv,json", "png"]).into()]);
        }
        all
    }
}

/// No process may take more data than this: the machine's other work goes on.
const MOST: u64 = 3 << 30;
/// Seconds after which a run that has announced no more is no good.
const PATIENCE: f64 = 30.0;

/// Runs the tool in a folder with so many bytes for its data.
fn tool(place: &Path, arguments: &[String], bytes: u64) -> Ended {
    run(place, arguments, &Bounds { limit: 'd', bytes, patience: PATIENCE, grace: 10.0 })
}

/// The sum of the numbers before one of these units, behind some words.
fn number_behind(text: &str, words: &str, units: &[(&str, f64)]) -> Option<f64> {
    let one = |rest: &str| {
        let mut parts = rest.split_whitespace();
        let (number, unit) = (parts.next()?.parse::<f64>().ok()?, parts.next()?);
        Some(number * units.iter().find(|(name, _)| unit.starts_with(name))?.1)
    };
    text.split(words).skip(1).filter_map(one).reduce(|a, b| a + b)
}

/// So many times what is announced a run may take. In the hour the machine has little other work; in the test of every day it may
/// have much, and only what hangs is found.
const QUIET: f64 = 2.0;
const BUSY: f64 = 8.0;

/// What is wrong with how a run ended, in words, where it may take so many times what it announces.
fn fault(place: &Path, arguments: &[String], ended: &Ended, slack: f64) -> Option<String> {
    let Ended { status, said, printed, seconds, peak } = ended;
    if let Some(signal) = status.signal() {
        return Some(format!("ended by signal {signal}"));
    }
    if said.contains("panicked") || said.contains("backtrace") {
        return Some("panicked".into());
    }
    let code = status.code().unwrap_or(-1);
    if ![0, 1, 2, 3, 143].contains(&code) {
        return Some(format!("exit code {code}"));
    }
    let announced = number_behind(
        said,
        "this will take about ",
        &[
            ("second", 1.0),
            ("minute", 60.0),
            ("hour", 3600.0),
            ("day", 86400.0),
            ("week", 604_800.0),
            ("year", 3e7),
        ],
    );
    // Runs that say nothing take less than some five seconds.
    if *seconds > slack * announced.unwrap_or(5.0) + 3.0 {
        return Some(format!("took {seconds:.1} s, announced {announced:?}"));
    }
    if (code == 1 || code == 2) && !said.contains("interrupted") {
        let errors = said
            .lines()
            .filter(|line| !line.contains("left out") && !line.contains("this will take"))
            .count();
        if errors != 1 || said.len() > 4000 {
            return Some(format!("{errors} lines, {} bytes of errors", said.len()));
        }
    }
    if said.contains("memory allocation") || said.contains("the system refuses") {
        return Some("was let in, and found no memory".into());
    }
    let is_none = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|w| w == "NaN" || w == "inf");
    // A message may quote the user's own word.
    let own = arguments.iter().any(|a| a.contains("nan") || a.contains("inf"));
    if is_none(printed) || (!own && code == 0 && is_none(said)) {
        return Some("says NaN or inf".into());
    }
    if code == 0
        && arguments.iter().any(|a| a == "--json")
        && serde_json::from_str::<serde_json::Value>(printed).is_err()
    {
        return Some("printed no JSON".into());
    }
    // What a run needs, it says where it may have little.
    const NOTICED: f64 = 150e6;
    if code == 0 && *peak > NOTICED {
        let limit = 0.6 * peak;
        let little = tool(place, arguments, limit as u64);
        let units = [("KiB", 1024.0), ("MiB", 1048576.0), ("GiB", 1073741824.0)];
        // One that is let in there has said that it needs no more.
        let needs = number_behind(&little.said, "this run needs ", &units).unwrap_or(limit);
        if *peak > 1.3 * needs + 32e6 {
            return Some(format!("took {:.0} MB, and says that it needs {:.0} MB", peak / 1e6, needs / 1e6));
        }
    }
    None
}

fn data() -> String {
    let mut draws = Draws(ChaCha8Rng::seed_from_u64(7));
    let mut text = String::new();
    for _ in 0..120 {
        let label = draws.below(3);
        let features: Vec<String> =
            (0..4).map(|k| (draws.below(100) as f64 / 50.0 + (k * label) as f64).to_string()).collect();
        text.push_str(&format!("{},{label}\n", features.join(",")));
    }
    text
}

#[expect(clippy::print_stderr, reason = "how much was tried, and what was found, at once")]
fn hunt(seconds: u64, most: u64, slack: f64) {
    let first: u64 =
        std::env::var("INITDIAG_RANDOM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let (start, data) = (Instant::now(), data());
    let (mut cases, mut complete, mut faults) = (0u64, 0u64, Vec::new());
    while start.elapsed() < Duration::from_secs(seconds) && cases < most {
        let seed = first + cases;
        let mut draws = Draws(ChaCha8Rng::seed_from_u64(seed));
        let (network, arguments) = (draws.network(), draws.command());
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("n.toml"), &network).unwrap();
        std::fs::write(place.path().join("d.csv"), &data).unwrap();
        let ended = tool(place.path(), &arguments, MOST);
        complete += u64::from(ended.status.code() == Some(0));
        if let Some(fault) = fault(place.path(), &arguments, &ended, slack) {
            let quoted: Vec<String> = arguments.iter().map(|a| format!("'{a}'")).collect();
            let said: String = ended.said.chars().take(600).collect();
            let found = format!("seed {seed}: {fault}\n  initdiag {}\n{network}{said}", quoted.join(" "));
            eprintln!("{found}");
            faults.push(found);
        }
        let kept = std::fs::read_to_string(place.path().join("d.csv")).unwrap_or_default();
        if kept != data || std::fs::read_to_string(place.path().join("n.toml")).unwrap_or_default() != network
        {
            faults.push(format!("seed {seed}: a file of the user was changed: {arguments:?}"));
        }
        cases += 1;
    }
    eprintln!("{cases} cases from seed {first} on, {complete} of them with a result");
    assert!(faults.is_empty(), "{} of {cases} cases:\n{}", faults.len(), faults.join("\n\n"));
    // The generator makes sense: a good part of what it asks for can be done.
    assert!(cases < 20 || 5 * complete > cases, "only {complete} of {cases} cases were done");
}

#[test]
fn what_is_wrong_is_found() {
    let place = Path::new(".");
    let ended = |code: i32, said: &str, seconds: f64| Ended {
        status: ExitStatus::from_raw(code << 8),
        said: said.into(),
        printed: "{}".into(),
        seconds,
        peak: 0.0,
    };
    let json = ["--json".to_string()];
    let plain: [String; 0] = [];
    assert_eq!(fault(place, &json, &ended(0, "", 1.0), QUIET), None);
    assert_eq!(fault(place, &plain, &ended(2, "initdiag: error: no\n", 1.0), QUIET), None);
    let late = |seconds| ended(0, "this will take about 20 seconds and", seconds);
    assert_eq!(fault(place, &plain, &late(35.0), QUIET), None);
    assert_eq!(fault(place, &plain, &late(50.0), BUSY), None);
    assert!(fault(place, &plain, &late(170.0), BUSY).is_some());
    for wrong in [
        Ended { status: ExitStatus::from_raw(6), ..ended(0, "", 1.0) },
        ended(101, "thread 'main' panicked at", 1.0),
        ended(2, "", 1.0),
        ended(2, "one\ntwo\n", 1.0),
        ended(0, "q = NaN", 1.0),
        ended(0, "", 20.0),
        late(50.0),
        ended(1, "initdiag: error: the system refuses 8 bytes of memory\n", 1.0),
        Ended { printed: "inf,1".into(), ..ended(0, "", 1.0) },
        Ended { printed: "no".into(), ..ended(0, "", 1.0) },
        // Needs little memory by its own word, and took much.
        Ended { peak: 1e9, ..ended(0, "", 1.0) },
    ] {
        let said = wrong.said.clone();
        assert!(fault(place, &json, &wrong, QUIET).is_some(), "{said}");
    }
}

#[test]
fn a_minute_of_random_runs() {
    hunt(60, 600, BUSY);
}

#[test]
#[ignore = "takes an hour"]
fn an_hour_of_random_runs() {
    hunt(3600, u64::MAX, QUIET);
}
