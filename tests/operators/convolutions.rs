//! Convolutions, transposed convolutions, pools and what else moves positions.

use super::Cases;

pub const CASES: Cases = &[
    (
        "conv1d",
        r#"
        input = { shape = [7, 3] }
        layer = [
            { type = "conv1d", out = 4, kernel = 3, stride = 2, padding = 1 },
            { type = "act" },
            { type = "conv1d", out = 2, kernel = 2, dilation = 2, groups = 2, bias = false },
        ]"#,
    ),
    (
        "conv1d_causal",
        r#"
        input = { shape = [6, 2] }
        layer = [
            { type = "conv1d", out = 3, kernel = 3, dilation = 2, causal = true },
            { type = "act" },
            { type = "conv1d", out = 2, kernel = 2, stride = 2, causal = true },
        ]"#,
    ),
    (
        "conv1d_of_one_feature",
        r#"
        input = { shape = [6, 1] }
        layer = [
            { type = "conv1d", out = 2, kernel = [5], padding = "same" },
            { type = "act" },
            { type = "avgpool", kernel = 2, stride = 1 },
        ]"#,
    ),
    (
        "conv2d",
        r#"
        input = { shape = [4, 5, 4] }
        layer = [{ type = "conv2d", out = 2, kernel = [3, 2], stride = [1, 2], padding = [1, 0], dilation = [2, 1], groups = 2 }]"#,
    ),
    (
        "conv3d",
        r#"
        input = { shape = [2, 3, 4, 2] }
        layer = [
            { type = "conv3d", out = 4, kernel = [2, 3, 2], stride = [1, 2, 1], padding = [1, 1, 0] },
            { type = "act" },
            { type = "conv3d", out = 2, kernel = [3, 1, 1], padding = "same", groups = 2, bias = false },
            { type = "flatten" },
            { type = "linear", out = 2 },
        ]"#,
    ),
    (
        "norms_and_pools_of_volumes",
        r#"
        input = { shape = [2, 3, 2, 2] }
        layer = [
            { type = "maxpool", kernel = [2, 1, 2], stride = 1, padding = [1, 0, 0] },
            { type = "layernorm" },
            { type = "conv3d", out = 4, kernel = 1 },
            { type = "groupnorm", groups = 2 },
            { type = "act" },
            { type = "batchnorm" },
            { type = "upsample", factor = [1, 2, 1] },
            { type = "avgpool", kernel = [2, 3, 1] },
        ]"#,
    ),
    (
        "conv_transpose1d",
        r#"
        input = { shape = [4, 3] }
        layer = [
            { type = "conv-transpose1d", out = 2, kernel = 3, stride = 2, padding = 1, output_padding = 1 },
            { type = "act" },
            { type = "conv-transpose1d", out = 2, kernel = 2, dilation = 3, output_padding = 2, groups = 2, bias = false },
        ]"#,
    ),
    (
        "conv_transpose2d",
        r#"
        input = { shape = [4, 2, 3] }
        layer = [
            { type = "conv-transpose2d", out = 6, kernel = [3, 2], stride = 2, padding = [1, 0], output_padding = [1, 0], groups = 2 },
            { type = "act" },
            { type = "conv-transpose2d", out = 2, kernel = 1 },
        ]"#,
    ),
    (
        "conv_transpose3d",
        r#"
        input = { shape = [2, 2, 1, 2] }
        layer = [{ type = "conv-transpose3d", out = 2, kernel = 2, stride = [2, 1, 1], padding = [0, 0, 1] }]"#,
    ),
    (
        "conv2d_standardized",
        r#"
        input = { shape = [2, 3, 3] }
        layer = [
            { type = "conv2d", out = 4, kernel = 2, standardize = true },
            { type = "act" },
            { type = "conv2d", out = 2, kernel = 2, groups = 2, standardize = { eps = 0.1, scale = "fan-in" }, bias = false },
        ]"#,
    ),
    (
        "conv2d_standardized_with_gain",
        r#"
        input = { shape = [2, 3, 3] }
        layer = [
            { type = "conv2d", out = 4, kernel = 2, standardize = { gain = "normal(1, 0.1)" } },
            { type = "act" },
            { type = "conv2d", out = 2, kernel = 2, groups = 2, standardize = { eps = 0.1, scale = "fan-in", gain = 1 } },
        ]"#,
    ),
    (
        "conv_same",
        r#"
        input = { shape = [2, 6, 5] }
        layer = [
            { type = "conv2d", out = 3, kernel = 3, stride = 2, padding = "same" },
            { type = "act" },
            { type = "conv2d", out = 2, kernel = [2, 4], padding = "same", bias = false },
            { type = "act" },
            { type = "conv2d", out = 2, kernel = 2, stride = [1, 2], dilation = [3, 1], padding = "same", bias = false },
            { type = "act" },
            { type = "conv2d", out = 2, kernel = 1, stride = 2, padding = "same", bias = false },
        ]"#,
    ),
    (
        "upsample_nearest",
        r#"
        input = { shape = [3, 2] }
        layer = [
            { type = "linear", out = 2 },
            { type = "upsample", factor = 2 },
            { type = "act" },
            { type = "conv1d", out = 1, kernel = 2 },
        ]"#,
    ),
    (
        "upsample_bilinear",
        r#"
        input = { shape = [1, 3, 2] }
        layer = [
            { type = "upsample", factor = [2, 3], mode = "bilinear" },
            { type = "conv2d", out = 1, kernel = 2, stride = 2 },
        ]"#,
    ),
    (
        "pixel_shuffles",
        r#"
        input = { shape = [1, 4, 6] }
        layer = [
            { type = "pixel-unshuffle", factor = 2 },
            { type = "conv2d", out = 18, kernel = 1 },
            { type = "act" },
            { type = "pixel-shuffle", factor = 3 },
            { type = "conv2d", out = 1, kernel = 2, stride = 2 },
        ]"#,
    ),
    (
        "pools_of_sequences",
        r#"
        input = { shape = [6, 2] }
        layer = [
            { type = "maxpool", kernel = 3, stride = 2, padding = 1 },
            { type = "linear", out = 3 },
            { type = "act" },
            { type = "avgpool" },
            { type = "flatten" },
            { type = "linear", out = 2 },
        ]"#,
    ),
];
