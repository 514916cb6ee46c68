//! The result as JSON, schema `initdiag/1`.

use crate::result::Report;

/// Pretty-printed, ending in a newline.
pub fn render(report: &Report) -> String {
    let mut text =
        serde_json::to_string_pretty(report).expect("a report holds strings and finite numbers only");
    text.push('\n');
    text
}
