//! Lines for a terminal of a known width.

use unicode_width::UnicodeWidthStr;

/// Narrower than this, lines are left to the terminal: hardly a word would fit.
const NARROWEST: usize = 20;

/// Cells that a text takes on a terminal; ANSI sequences take none.
pub fn shown(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().width()
}

/// Breaks a line between words so that it fits, and indents what follows; `None` leaves it whole, and so does a word
/// longer than the terminal is wide.
pub fn wrap(line: &str, columns: Option<usize>, indent: usize) -> String {
    let Some(columns) = columns.filter(|c| *c >= NARROWEST && shown(line) > *c) else { return line.into() };
    let indent = indent.min(columns - NARROWEST);
    let start = line.len() - line.trim_start_matches(' ').len();
    let mut text = line[..start].to_string();
    let (mut at, mut gap) = (start, "");
    for word in line[start..].split(' ') {
        let width = shown(word);
        let here = at + gap.len() + width;
        if here > columns && !gap.is_empty() {
            text = format!("{}\n{}", text.trim_end_matches(' '), " ".repeat(indent));
            at = indent;
        } else {
            text.push_str(gap);
            at += gap.len();
        }
        text.push_str(word);
        at += width;
        gap = " ";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_keep_their_indent() {
        let line = "  forward vanishing: \u{1b}[1mn·Var(W)\u{1b}[0m = 1 and relu halves it";
        assert_eq!(wrap(line, None, 4), line);
        assert_eq!(wrap(line, Some(80), 4), line);
        let wrapped = wrap(line, Some(24), 4);
        assert_eq!(
            wrapped,
            "  forward vanishing:\n    \u{1b}[1mn·Var(W)\u{1b}[0m = 1 and\n    relu halves it"
        );
        assert!(wrapped.lines().all(|l| shown(l) <= 24));
        // A word that fits nowhere is not cut.
        assert_eq!(wrap(&format!("a {}", "x".repeat(40)), Some(24), 2), format!("a\n  {}", "x".repeat(40)));
        // However narrow, words have room beside the indent.
        assert_eq!(
            wrap("one two three four five six seven", Some(24), 60),
            "one two three four five\n    six seven"
        );
        assert_eq!(shown("\u{1b}[2m▇▆\u{1b}[0m"), 2);
    }
}
