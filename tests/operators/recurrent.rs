//! Layers over time, positions that move or mix, and state spaces.

use super::Cases;

pub const CASES: Cases = &[
    (
        "rnn_two_layers",
        r#"
        input = { shape = [4, 2] }
        layer = [{ type = "rnn", out = 3, layers = 2 }]"#,
    ),
    (
        "rnn_both_directions_last",
        r#"
        input = { shape = [3, 2] }
        layer = [{ type = "rnn", out = 3, fn = "relu", bidirectional = true, last = true }]"#,
    ),
    (
        "lstm_two_layers_both_directions",
        r#"
        input = { shape = [3, 2] }
        layer = [{ type = "lstm", out = 2, layers = 2, bidirectional = true }]"#,
    ),
    (
        "lstm_projected",
        r#"
        input = { shape = [4, 2] }
        layer = [{ type = "lstm", out = 3, projection = 2 }]"#,
    ),
    (
        "lstm_projected_two_layers_both_directions_last",
        r#"
        input = { shape = [3, 2] }
        layer = [
            { type = "lstm", out = 2, projection = 1, layers = 2, bidirectional = true, last = true },
            { type = "linear", out = 2 },
        ]"#,
    ),
    (
        "lstm_packed",
        r#"
        input = { shape = [4, 2] }
        layer = [{ type = "lstm", out = 3, projection = 2, packed = true }]"#,
    ),
    (
        "gru_two_layers_last",
        r#"
        input = { shape = [3, 2] }
        layer = [{ type = "gru", out = 2, layers = 2, last = true }]"#,
    ),
    (
        "gru_packed_both_directions",
        r#"
        input = { shape = [4, 2] }
        layer = [{ type = "gru", out = 2, packed = true, bidirectional = true }]"#,
    ),
    (
        "reverse",
        r#"
        input = { shape = [4, 3] }
        layer = [{ type = "linear", out = 2 }, { type = "reverse" }]"#,
    ),
    (
        "select",
        r#"
        input = { shape = [4, 3] }
        layer = [
            { type = "select", at = "first", name = "a" },
            { type = "select", at = "last", from = ["input"], name = "b" },
            { type = "select", at = 2, from = ["input"], name = "c" },
            { type = "concat", from = ["a", "b", "c"] },
            { type = "linear", out = 2 },
        ]"#,
    ),
    (
        "shift",
        r#"
        input = { shape = [4, 3] }
        layer = [
            { type = "shift", name = "later" },
            { type = "shift", steps = -2, from = ["input"], name = "earlier" },
            { type = "concat", from = ["later", "earlier"] },
            { type = "linear", out = 2 },
        ]"#,
    ),
    (
        "mixer",
        r#"
        input = { shape = [4, 3] }
        layer = [
            { type = "residual", layers = [
                { type = "transpose" }, { type = "linear", out = 5 }, { type = "act" }, { type = "linear", out = 4 },
                { type = "transpose" },
            ] },
            { type = "linear", out = 2 },
        ]"#,
    ),
    (
        "graph_convolution",
        r#"
        input = { shape = [5, 3] }
        layer = [
            { type = "graph-conv", out = 4, edges = [[0, 1], [1, 2], [3, 1], [1, 0]] },
            { type = "act", fn = "relu" },
            { type = "graph-conv", out = 2, edges = [[0, 4], [2, 3]], bias = false },
        ]"#,
    ),
    (
        "graph_means",
        r#"
        input = { shape = [4, 3] }
        layer = [{ type = "graph-conv", out = 2, edges = [[0, 1], [1, 2], [0, 2]], normalize = "row", loops = false }]"#,
    ),
    (
        "graph_sums",
        r#"
        input = { shape = [4, 3] }
        layer = [{ type = "graph-conv", out = 2, edges = [[0, 1], [1, 2], [2, 2]], normalize = "none" }]"#,
    ),
    (
        "selective_state_space",
        r#"
        input = { shape = [5, 4] }
        layer = [{ type = "ssm", state = 3, rank = 2 }]"#,
    ),
    (
        "state_space_of_the_usual_rank",
        r#"
        input = { shape = [3, 17] }
        layer = [{ type = "ssm", state = 1 }, { type = "select", at = "last" }]"#,
    ),
    (
        "mamba_block",
        r#"
        input = { shape = [4, 3] }
        layer = [
            { type = "residual", layers = [
                { type = "linear", out = 8 },
                { type = "split", parts = 2, name = "s" },
                { type = "act", fn = "silu", from = ["s[0]"] },
                { type = "ssm", state = 2, rank = 1, name = "y" },
                { type = "act", fn = "silu", from = ["s[1]"], name = "gate" },
                { type = "mul", from = ["y", "gate"] },
                { type = "linear", out = 3, bias = false },
            ] },
        ]"#,
    ),
];
