//! Architectures that come with the program.

/// Names of all, in the order in which they are listed.
pub const NAMES: &[&str] = &[
    "mlp-digits",
    "mlp-mnist",
    "lenet5",
    "lenet5-1998",
    "vgg16",
    "resnet18",
    "resnet50",
    "gpt2-small",
    "rnn-100",
    "cnn-10000",
];

/// The file of a name.
pub fn source(name: &str) -> Option<&'static str> {
    Some(match name {
        "mlp-digits" => include_str!("nets/mlp-digits.toml"),
        "mlp-mnist" => include_str!("nets/mlp-mnist.toml"),
        "lenet5" => include_str!("nets/lenet5.toml"),
        "lenet5-1998" => include_str!("nets/lenet5-1998.toml"),
        "vgg16" => include_str!("nets/vgg16.toml"),
        "resnet18" => include_str!("nets/resnet18.toml"),
        "resnet50" => include_str!("nets/resnet50.toml"),
        "gpt2-small" => include_str!("nets/gpt2-small.toml"),
        "rnn-100" => include_str!("nets/rnn-100.toml"),
        "cnn-10000" => include_str!("nets/cnn-10000.toml"),
        _ => return None,
    })
}
