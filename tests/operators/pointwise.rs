//! Norms, and what acts entry by entry, channel by channel or on samples.

use super::Cases;

pub const CASES: Cases = &[
    (
        "batchnorm",
        r#"
        input = { shape = [3, 2, 4] }
        layer = [{ type = "batchnorm" }, { type = "conv2d", out = 2, kernel = 1 }]"#,
    ),
    (
        "layernorm",
        r#"
        input = { shape = [4, 6] }
        layer = [{ type = "layernorm", gain = "normal(1, 0.1)", shift = 0.2 }, { type = "linear", out = 3 }]"#,
    ),
    (
        "layernorm_plain",
        r#"
        input = { shape = [4, 6] }
        layer = [{ type = "layernorm", gain = false, shift = false, eps = 1e-3 }, { type = "linear", out = 3 }]"#,
    ),
    (
        "rmsnorm",
        r#"
        input = { shape = [4, 6] }
        layer = [{ type = "rmsnorm", eps = 1e-6 }, { type = "linear", out = 3 }]"#,
    ),
    (
        "groupnorm",
        r#"
        input = { shape = [6, 2, 3] }
        layer = [{ type = "groupnorm", groups = 3 }, { type = "conv2d", out = 2, kernel = 1 }]"#,
    ),
    (
        "instancenorm",
        r#"
        input = { shape = [3, 2, 3] }
        layer = [{ type = "instancenorm", shift = false }, { type = "conv2d", out = 2, kernel = 1 }]"#,
    ),
    (
        "layerscale",
        r#"
        input = { shape = [3, 4] }
        layer = [{ type = "linear", out = 5 }, { type = "layerscale", gain = 0.1 }, { type = "linear", out = 2 }]"#,
    ),
    (
        "rezero",
        r#"
        input = { shape = [3, 4] }
        layer = [{ type = "residual", layers = [{ type = "linear", out = 4 }, { type = "scale", by = 0.0, trainable = true }] }]"#,
    ),
    (
        "prelu",
        r#"
        input = { shape = [5] }
        layer = [{ type = "linear", out = 4 }, { type = "prelu" }, { type = "linear", out = 3 }]"#,
    ),
    (
        "prelu_each",
        r#"
        input = { shape = [3, 2, 2] }
        layer = [{ type = "conv2d", out = 4, kernel = 1 }, { type = "prelu", each = true, slope = "uniform(0.1, 0.4)" }]"#,
    ),
    (
        "positions_and_token",
        r#"
        input = { shape = [3, 4] }
        layer = [{ type = "class-token" }, { type = "positions" }, { type = "linear", out = 2 }]"#,
    ),
    (
        "patches",
        r#"
        input = { shape = [2, 4, 6] }
        layer = [{ type = "conv2d", out = 3, kernel = 2, stride = 2 }, { type = "sequence" }, { type = "linear", out = 2 }]"#,
    ),
    (
        "squeeze_excite",
        r#"
        input = { shape = [4, 3, 2] }
        layer = [{ type = "squeeze-excite", hidden = 2, fn = "silu" }, { type = "conv2d", out = 2, kernel = 1 }]"#,
    ),
    (
        "gate_of_positions",
        r#"
        input = { shape = [3, 4] }
        layer = [
            { type = "linear", out = 4, name = "a" },
            { type = "flatten", name = "all" },
            { type = "linear", out = 4, name = "b" },
            { type = "mul", from = ["a", "b"] },
        ]"#,
    ),
];
