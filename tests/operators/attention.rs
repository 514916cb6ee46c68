//! Attention in its variants, and the perceptrons that stand behind it.

use super::Cases;

pub const CASES: Cases = &[
    (
        "plain_attention",
        r#"
        input = { shape = [3, 4] }
        layer = [{ type = "attention", heads = 2 }]"#,
    ),
    (
        "grouped_queries",
        r#"
        input = { shape = [3, 2] }
        layer = [{ type = "attention", heads = 4, kv_heads = 2, head_width = 2, out = 3, causal = true }]"#,
    ),
    (
        "multi_query",
        r#"
        input = { shape = [3, 4] }
        layer = [{ type = "attention", heads = 2, kv_heads = 1, bias = false }]"#,
    ),
    (
        "cross_attention",
        r#"
        input = { shape = [3, 2] }
        layer = [
            { type = "linear", out = 3, name = "memory" },
            { type = "linear", out = 4, from = ["input"], name = "x" },
            { type = "attention", heads = 2, kv_heads = 1, from = ["x", "memory"] },
        ]"#,
    ),
    (
        "rotary_half",
        r#"
        input = { shape = [4, 3] }
        layer = [{ type = "attention", heads = 2, head_width = 4, rotary = true, causal = true }]"#,
    ),
    (
        "rotary_pairs",
        r#"
        input = { shape = [4, 3] }
        layer = [{ type = "attention", heads = 2, kv_heads = 1, head_width = 4, rotary = { base = 100, style = "pairs" } }]"#,
    ),
    (
        "rotary_partial",
        r#"
        input = { shape = [3, 2] }
        layer = [{ type = "attention", heads = 1, head_width = 6, rotary = { width = 4, base = 10 } }]"#,
    ),
    (
        "alibi",
        r#"
        input = { shape = [3, 2] }
        layer = [{ type = "attention", heads = 3, head_width = 1, alibi = true, causal = true }]"#,
    ),
    (
        "alibi_both_ways",
        r#"
        input = { shape = [3, 4] }
        layer = [{ type = "attention", heads = 2, alibi = true, window = 1 }]"#,
    ),
    (
        "causal_window",
        r#"
        input = { shape = [5, 2] }
        layer = [{ type = "attention", heads = 1, causal = true, window = 2 }]"#,
    ),
    (
        "soft_cap",
        r#"
        input = { shape = [3, 2] }
        layer = [{ type = "attention", heads = 2, soft_cap = 0.5, scale = "2/width", alibi = true }]"#,
    ),
    (
        "query_and_key_norms",
        r#"
        input = { shape = [3, 4] }
        layer = [{ type = "attention", heads = 2, query_norm = "rmsnorm", key_norm = "layernorm", eps = 0.01, scale = 1, rotary = true }]"#,
    ),
    (
        "glu",
        r#"
        input = { shape = [2, 6] }
        layer = [{ type = "glu" }, { type = "linear", out = 2 }]"#,
    ),
    (
        "geglu_packed",
        r#"
        input = { shape = [2, 3] }
        layer = [{ type = "linear", out = 4 }, { type = "glu", fn = "gelu" }, { type = "linear", out = 2 }]"#,
    ),
    (
        "swiglu",
        r#"
        input = { shape = [2, 3] }
        layer = [{ type = "gated-mlp", hidden = 4 }]"#,
    ),
    (
        "gated_mlp_with_biases",
        r#"
        input = { shape = [3] }
        layer = [{ type = "gated-mlp", hidden = 2, fn = "tanh", out = 5, bias = { up = true, down = true } }]"#,
    ),
    (
        "relative_positions",
        r#"
        input = { shape = [6, 2] }
        layer = [{ type = "attention", heads = 2, scale = 1, bias = false, relative = { buckets = 6, distance = 4 } }]"#,
    ),
    (
        "causal_relative_positions",
        r#"
        input = { shape = [6, 2] }
        layer = [{ type = "attention", heads = 2, kv_heads = 1, causal = true, relative = { buckets = 4, distance = 5 } }]"#,
    ),
    (
        "soft_mixture",
        r#"
        input = { shape = [2, 3] }
        layer = [{ type = "moe", experts = 2, hidden = 2 }]"#,
    ),
    (
        "mixtral",
        r#"
        input = { shape = [2, 2] }
        layer = [{ type = "moe", experts = 4, top = 2, hidden = 2 }]"#,
    ),
    (
        "plain_experts",
        r#"
        input = { shape = [3] }
        layer = [{ type = "moe", experts = 3, top = 1, normalize = false, hidden = 2, gated = false, fn = "gelu" }]"#,
    ),
];
