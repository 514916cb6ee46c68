//! What acts entry by entry, channel by channel or on groups of them, and norms.

use super::Cases;

pub const CASES: Cases = &[(
    "layernorm",
    r#"
    input = { shape = [4, 6] }
    layer = [{ type = "layernorm" }, { type = "linear", out = 3 }]"#,
)];
