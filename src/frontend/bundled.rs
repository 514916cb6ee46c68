//! Architectures that come with the program.

/// Makes the list of names and the files of them from one table.
macro_rules! bundled {
    ($($name:literal),* $(,)?) => {
        /// Names of all, in the order in which they are listed.
        pub const NAMES: &[&str] = &[$($name),*];

        /// The file of a name.
        pub fn source(name: &str) -> Option<&'static str> {
            Some(match name {
                $($name => include_str!(concat!("nets/", $name, ".toml")),)*
                _ => return None,
            })
        }
    };
}

bundled![
    "mlp-digits",
    "mlp-mnist",
    "lenet5",
    "lenet5-1998",
    "vgg16",
    "vgg16-bn",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "densenet121",
    "mobilenet-v2",
    "efficientnet-b0",
    "nfnet-f0",
    "convnext-tiny",
    "unet",
    "dcgan",
    "siren",
    "mlp-mixer",
    "vit-b16",
    "deit-s",
    "bert-base",
    "gpt2-small",
    "gpt2-medium",
    "gpt2-large",
    "gpt2-xl",
    "pythia-160m",
    "llama-3-8b",
    "mixtral-8x7b",
    "t5-small",
    "whisper-tiny",
    "lstm-lm",
    "rnn-100",
    "cnn-10000",
];
