//! Counts as people write them: 4096, 4k, 1M.

/// The largest count that an option takes: products of four of them still fit the 128 bits of the memory estimate.
const LARGEST: f64 = 1e9;

/// A positive whole number, with k, M or G for thousands, millions or billions.
///
/// # Errors
/// What is allowed, in words.
pub fn parse(text: &str) -> Result<usize, String> {
    within(text, LARGEST).ok_or_else(|| "a whole number from 1 to 1G is needed, such as 512, 4k or 1M".into())
}

/// Counts with commas between them.
///
/// # Errors
/// The first that is none, and what is allowed, in words.
pub fn list(text: &str) -> Result<Vec<usize>, String> {
    text.split(',').map(|part| parse(part).map_err(|reason| format!("`{}`: {reason}", part.trim()))).collect()
}

/// Width of an input and of each layer.
///
/// # Errors
/// What is allowed, in words.
pub fn widths(text: &str) -> Result<Vec<usize>, String> {
    let widths = list(text)?;
    if widths.len() < 2 {
        return Err("the input's width and at least one layer's are needed".into());
    }
    Ok(widths)
}

/// A threshold.
///
/// # Errors
/// What is allowed, in words.
pub fn decades(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(decades) if f64::is_finite(decades) && decades > 0.0 => Ok(decades),
        _ => Err("a positive number of decades is needed".into()),
    }
}

/// Layers: deeper stacks than this have no meaning, and their list of widths no room.
///
/// # Errors
/// What is allowed, in words.
pub fn depth(text: &str) -> Result<usize, String> {
    within(text, 1e7).ok_or_else(|| "a whole number from 1 to 10M is needed, such as 50 or 1k".into())
}

fn within(text: &str, largest: f64) -> Option<usize> {
    let text = text.trim();
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value = digits.parse::<f64>().ok()? * unit;
    ((1.0..=largest).contains(&value) && value.fract() == 0.0).then_some(value as usize)
}

/// Bytes as people read them.
pub fn bytes(count: u128) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 9.95 && unit > 0 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_with_units() {
        for (text, value) in
            [("1", 1), ("512", 512), ("4k", 4000), ("1M", 1_000_000), ("1.5k", 1500), ("1G", 1_000_000_000)]
        {
            assert_eq!(parse(text), Ok(value));
        }
        for text in [
            "",
            "0",
            "-1",
            "1.5",
            "k",
            "1e3",
            "nan",
            "inf",
            "2G",
            "99999999999999999999999",
            "1.2.3",
            "0x10",
            "ⅷ",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(48 << 30), "48 GiB");
    }
}
