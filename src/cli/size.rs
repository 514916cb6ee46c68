//! Counts as people write them: 4096, 4k, 1M.

/// The largest count that an option takes: products of four of them still fit the 128 bits of the memory estimate.
const LARGEST: f64 = 1e9;

/// A positive whole number, with k, M or G for thousands, millions or billions.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let allowed = "a whole number from 1 to 1G is needed, such as 512, 4k or 1M";
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(allowed.into());
    }
    let value = digits.parse::<f64>().map_err(|_| allowed.to_string())? * unit;
    if !(1.0..=LARGEST).contains(&value) || value.fract() != 0.0 {
        return Err(allowed.into());
    }
    Ok(value as usize)
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
