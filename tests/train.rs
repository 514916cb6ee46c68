//! `initdiag train` as a user runs it.

mod common;

use common::Tool;
use initdiag::study::train::outcome::{Trained, Verdict};
use std::path::Path;
use std::process::Output;

const TOOL: Tool = Tool("train");

fn tool(arguments: &[&str]) -> Output {
    TOOL.run(arguments)
}

fn json(arguments: &[&str]) -> Trained {
    TOOL.json(arguments)
}

fn fault(arguments: &[&str], code: i32) -> String {
    let output = tool(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text
}

#[test]
fn at_once_on_the_embedded_digits() {
    let t = json(&["--epochs", "8", "--seeds", "2", "--init", "normal,lecun,xavier,he"]);
    assert_eq!(
        (t.schema.as_str(), t.cells.len(), t.spec.data.train, t.spec.data.test),
        ("initdiag-train/1", 4, 1438, 359)
    );
    assert_eq!((t.steps_per_epoch, t.interrupted), (12, false));
    for cell in t.cells.iter().skip(1) {
        // After eight epochs of 12 steps of Adam; logistic regression gets some 0.96 of these digits.
        let last = cell.summary.last.unwrap();
        assert!(last.least > 0.8 && cell.summary.verdict == Verdict::Learns, "{}: {last:?}", cell.init);
        let run = &cell.runs[0];
        assert_eq!((run.steps, run.epochs.len(), run.points.len(), run.diverged), (96, 8, 96, None));
        let (first, end) = (run.points[0].loss, run.points[95].loss);
        assert!(end < 0.6 * first, "{first} to {end}");
        assert_eq!(run.snapshots.iter().map(|l| l.step).collect::<Vec<_>>(), [0, 3, 10, 31, 96]);
        assert_ne!(cell.runs[0].points, cell.runs[1].points);
    }
}

#[test]
fn a_network_s_own_initializer_is_compared_with_the_usual_ones() {
    let few = ["--epochs", "1", "--seeds", "1", "--samples", "64"];
    let compared = ["keras-dense", "normal", "lecun-normal", "xavier-normal", "he-normal"];
    assert_eq!(json(&few).spec.init, compared);
    assert_eq!(json(&[&few[..], &["--init", "he"]].concat()).spec.init, ["he-normal"]);
}

#[test]
fn nothing_learns_from_zeros() {
    let t = json(&["--epochs", "3", "--seeds", "1", "--init", "zeros,he"]);
    let [zeros, he] = &t.cells[..] else { panic!() };
    assert_eq!((zeros.summary.verdict, he.summary.verdict), (Verdict::Chance, Verdict::AboveChance));
    // Biases of the last layer alone move, so the most frequent class is all that it can know.
    assert!(zeros.summary.last.unwrap().median <= t.chance);
    assert_eq!(zeros.runs[0].snapshots.last().unwrap().layers[0].weight_gradient, None);
    let arguments = ["--epochs", "1", "--seeds", "1", "--init", "zeros", "--json", "--fail-on"];
    let failed = tool(&[&arguments[..], &["chance"], &["--quiet"]].concat());
    assert_eq!(failed.status.code(), Some(3));
    assert_eq!(String::from_utf8(failed.stderr).unwrap(), "initdiag: --fail-on met: zeros × relu: chance\n");
    assert_eq!(tool(&[&arguments[..], &["diverged"]].concat()).status.code(), Some(0));
}

#[test]
fn the_same_bytes_on_any_number_of_threads() {
    let run = |threads: &str, seeds: &str| {
        let base = [
            "--net",
            "lenet5",
            "--samples",
            "200",
            "--epochs",
            "1",
            "--init",
            "he",
            "--batch",
            "100",
            "--json",
        ];
        let data = write_images(300);
        let data = data.path().to_str().unwrap().to_string();
        let more = ["--threads", threads, "--seeds", seeds, "--data", &data];
        String::from_utf8(tool(&[&base[..], &more].concat()).stdout).unwrap().replace(&data, "")
    };
    // One run has all threads; two have one each.
    assert_eq!(run("1", "1"), run("2", "1"));
    assert_eq!(run("3", "2"), run("2", "2"));
}

/// The four files of a set of 28×28 images that a line separates: bright above or below.
fn write_images(count: usize) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, sizes: &[u32], data: Vec<u8>| {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|s| bytes.extend(s.to_be_bytes()));
        bytes.extend(data);
        std::fs::write(place.path().join(name), bytes).unwrap();
    };
    for (prefix, count) in [("train", count), ("t10k", 50)] {
        let pixel = |k: usize| {
            let (sample, row) = (k / 784, k % 784 / 28);
            let bright = (row < 14) == (sample % 2 == 0);
            (if bright { 150 } else { 20 }) + (k * 7919 % 61) as u8
        };
        write(
            &format!("{prefix}-images-idx3-ubyte"),
            &[count as u32, 28, 28],
            (0..784 * count).map(pixel).collect(),
        );
        write(
            &format!("{prefix}-labels-idx1-ubyte"),
            &[count as u32],
            (0..count).map(|s| (s % 2) as u8).collect(),
        );
    }
    place
}

#[test]
fn images_and_tables() {
    let images = write_images(400);
    let data = images.path().to_str().unwrap();
    let t = json(&["--data", data, "--init", "he", "--epochs", "2", "--seeds", "1", "--batch", "20"]);
    assert_eq!(t.spec.net.name.as_deref(), Some("mlp-mnist"));
    assert_eq!(t.cells[0].summary.last.unwrap().median, 1.0);
    let place = tempfile::tempdir().unwrap();
    let (table, net) = (place.path().join("t.csv"), place.path().join("n.toml"));
    let line = |k: usize| {
        let x = (k * 37 % 101) as f64 / 50.0 - 1.0;
        let y = (k * 61 % 97) as f64 / 48.0 - 1.0;
        format!("{},{x},{y}\n", u8::from(x * y > 0.0))
    };
    std::fs::write(&table, "class,x,y\n".to_string() + &(0..1000).map(line).collect::<String>()).unwrap();
    std::fs::write(
        &net,
        "input = { shape = [2] }\nlayer = [{ type = \"linear\", out = 32 }, { type = \"act\" }, { type = \"linear\", out = 2 }]",
    )
    .unwrap();
    let base =
        ["--net", net.to_str().unwrap(), "--data", table.to_str().unwrap(), "--init", "he", "--seeds", "1"];
    for more in [
        &["--lr", "0.02", "--epochs", "15"][..],
        &[
            "--lr",
            "0.02",
            "--epochs",
            "15",
            "--loss",
            "mse",
            "--scale",
            "standard",
            "--optimizer",
            "adamw",
            "--weight-decay",
            "0.01",
        ],
        &[
            "--lr",
            "0.3",
            "--epochs",
            "25",
            "--optimizer",
            "nesterov",
            "--batch",
            "32",
            "--schedule",
            "cosine",
            "--warmup",
            "20",
        ],
    ] {
        let t = json(&[&base[..], more].concat());
        let last = t.cells[0].summary.last.unwrap().median;
        assert!(last > 0.93, "{more:?}: {last}");
    }
}

#[test]
fn a_rate_too_large_diverges_and_the_rest_is_kept() {
    let t =
        json(&["--optimizer", "sgd", "--lr", "0.1,1e30", "--epochs", "2", "--seeds", "2", "--init", "he"]);
    let [sound, beyond] = &t.cells[..] else { panic!() };
    assert_eq!((sound.summary.diverged, beyond.summary.diverged), (0, 2));
    assert!(beyond.runs.iter().all(|r| r.diverged.is_some_and(|s| s <= 3) && r.epochs.is_empty()));
    assert!(sound.summary.last.unwrap().median > 0.7);
    assert!(!t.interrupted);
    // A batch larger than the data is all of them.
    let t = json(&["--batch", "1G", "--epochs", "2", "--seeds", "1", "--init", "he"]);
    assert_eq!((t.steps_per_epoch, t.cells[0].runs[0].points.len()), (1, 2));
}

#[test]
fn a_checkpoint_goes_on_to_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("c.safetensors");
    let run = |epochs: &str, seeds: &str, checkpoint: bool| {
        let base = [
            "--optimizer",
            "adam,momentum",
            "--init",
            "xavier",
            "--json",
            "--epochs",
            epochs,
            "--seeds",
            seeds,
        ];
        let more = if checkpoint { vec!["--checkpoint", file.to_str().unwrap()] } else { vec![] };
        let output = tool(&[&base[..], &more].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let whole = run("40", "2", false);
    let interrupted = std::process::Command::new(env!("CARGO_BIN_EXE_initdiag"))
        .args([
            "train",
            "--optimizer",
            "adam,momentum",
            "--init",
            "xavier",
            "--json",
            "--epochs",
            "40",
            "--seeds",
            "2",
        ])
        .args(["--threads", "1", "--checkpoint", file.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let child = interrupted.unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    #[cfg(unix)]
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let left = child.wait_with_output().unwrap();
    // A fast machine may have ended before; either way the file goes on.
    assert!([Some(130), Some(0)].contains(&left.status.code()), "{left:?}");
    assert_eq!(run("40", "2", true), whole);
    // Once more, from the end.
    assert_eq!(run("40", "2", true), whole);
    let other = fault(&["--epochs", "3", "--checkpoint", file.to_str().unwrap()], 1);
    assert!(other.contains("of another training: its"), "{other}");
    std::fs::write(&file, "x").unwrap();
    assert!(fault(&["--epochs", "3", "--checkpoint", file.to_str().unwrap()], 1).contains("no checkpoint"));
}

#[test]
fn the_start_can_be_saved() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("start.safetensors");
    let path = file.to_str().unwrap();
    let run =
        ["--net", "lenet5", "--init", "he", "--epochs", "1", "--seeds", "1", "--samples", "64", "--json"];
    assert!(tool(&[&run[..], &["--save-init", path]].concat()).status.success());
    let (tensors, about) =
        initdiag::tensorfile::safetensors::decode(&std::fs::read(&file).unwrap(), "initdiag").unwrap();
    let names: Vec<(&str, usize)> =
        tensors.iter().map(|(name, values)| (name.as_str(), values.len())).collect();
    assert_eq!(
        names,
        [
            ("conv1.bias", 6),
            ("conv1.weight", 54),
            ("head.bias", 10),
            ("head.weight", 1280),
            ("linear1.bias", 128),
            ("linear1.weight", 128 * 1014)
        ]
    );
    assert!(about.contains("he-normal"));
    let variance = |name: &str| tensors[name].iter().map(|w| w * w).sum::<f32>() / tensors[name].len() as f32;
    // He: 2/fan_in; a share of 10⁻⁶ of such variances lies farther off than five deviations of χ²/n.
    assert!((variance("linear1.weight") * 1014.0 / 2.0 - 1.0).abs() < 5.0 * (2.0f32 / 129_792.0).sqrt());
}

#[test]
fn files_and_table() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let output =
        tool(&["--epochs", "2", "--seeds", "2", "--init", "he,zeros", "--out", out.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "initdiag train",
        "mlp-digits",
        "epoch 1",
        "steps to 90 %",
        "he-normal",
        "no better than chance",
        "verdict",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(!text.contains("NaN") && !text.contains('\u{1b}'));
    let holds = |name: &str| std::fs::read(out.join(name)).unwrap();
    assert!(
        holds("train-curves.png").starts_with(b"\x89PNG")
            && holds("train-layers.png").starts_with(b"\x89PNG")
    );
    assert!(String::from_utf8(holds("train-curves.svg")).unwrap().contains("he-normal"));
    let rows = |name: &str| String::from_utf8(holds(name)).unwrap().lines().count();
    // 24 points of loss and accuracy and two epochs of both, in four runs.
    assert_eq!(rows("train-curves.csv"), 1 + 4 * (2 * 24 + 2 * 2));
    assert_eq!(rows("train-layers.csv"), 1 + 4 * 5 * 2);
    let read: Trained = serde_json::from_slice(&holds("train.json")).unwrap();
    assert_eq!(read.cells.len(), 2);
    // A run into the same directory leaves all of them, and so does a second training the run's.
    let mut command = assert_cmd::Command::cargo_bin("initdiag").unwrap();
    command
        .args(["--depth", "2", "--width", "8", "--batch", "4", "--out", out.to_str().unwrap(), "-q"])
        .unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "layers.csv",
            "result.json",
            "signal.png",
            "signal.svg",
            "train-curves.csv",
            "train-curves.png",
            "train-curves.svg",
            "train-layers.csv",
            "train-layers.png",
            "train-layers.svg",
            "train.json",
        ]
    );
    assert_eq!(rows("train-layers.csv"), 1 + 4 * 5 * 2);
}

#[test]
fn what_does_not_fit_is_said_in_one_line() {
    let images = write_images(20);
    let data = images.path().to_str().unwrap().to_string();
    let missing = Path::new(&data).join("nothing");
    let labels = images.path().join("t10k-labels-idx1-ubyte");
    TOOL.refuses(&[
        (&["--net", "resnet18"], "a sample has 64 features, but the network takes"),
        (&["--net", "gpt2-small"], "tokens"),
        (&["--net", "mlp-digits", "--data", &data], "784 features"),
        (&["--optimizer", "adm"], "did you mean `adam`"),
        (&["--optimizer", "sgd(0.9)"], "takes no parameters"),
        (&["--schedule", "cosin"], "did you mean `cosine`"),
        (&["--lr", "0"], "a number above 0"),
        (&["--weight-decay", "-1"], "from 0 on"),
        (&["--samples", "2k"], "there are 1438"),
        (&["--target", "90"], "at most 1"),
        (&["--fail-on", "diverge"], "did you mean `diverged`"),
        (&["--init", "hee"], "did you mean"),
        (&["--set", "linear9=zeros"], "--set: linear9=zeros: no weights have such a name"),
        (&["--set", "linear1"], "PATTERN=LAW is needed"),
        (&["--label", "first"], "--data"),
        (&["--label", "first", "--data", &data], "IDX files have no columns"),
        (&["--epochs", "0"], "whole number from 1 to 1M"),
        (&["--seeds", "1G"], "whole number from 1 to 10000"),
        (&["--lr", "1e400"], "a number above 0"),
        (&["--init", "he,xavier", "--save-init", "x"], "one --init"),
    ]);
    for (arguments, words) in [
        (["--data", missing.to_str().unwrap()], "No such file"),
        (["--data", labels.to_str().unwrap()], "name the directory"),
        (["--out", "/dev/null/x"], "cannot write"),
    ] {
        let text = fault(&arguments, 1);
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
    // A class that the network has no output for.
    let mut bytes = std::fs::read(&labels).unwrap();
    *bytes.last_mut().unwrap() = 11;
    std::fs::write(&labels, &bytes).unwrap();
    assert!(
        fault(&["--data", &data], 2)
            .contains("test sample 50 is of class 11, but the network has 10 outputs")
    );
    bytes.pop();
    std::fs::write(&labels, &bytes).unwrap();
    assert!(fault(&["--data", &data], 1).contains("after 49 of 50 bytes"));
    std::fs::copy(images.path().join("t10k-images-idx3-ubyte"), &labels).unwrap();
    assert!(fault(&["--data", &data], 1).contains("labels are needed"));
}
