//! The numbers of all options: read by two functions, each with one message; and bytes as people read them.

use crate::law::short;
use std::ops::RangeInclusive;

/// The largest count that an option takes: products of four of them still fit the 128 bits of the memory estimate.
pub const LARGEST: u64 = 1_000_000_000;
/// Counts of anything.
pub const COUNT: RangeInclusive<u64> = 1..=LARGEST;
/// Layers: deeper stacks than this have no meaning, and their list of widths no room.
pub const DEPTH: RangeInclusive<u64> = 1..=10_000_000;
/// Worker threads: more would only take memory.
pub const THREADS: RangeInclusive<u64> = 1..=4096;
/// Seeds.
pub const SEED: RangeInclusive<u64> = 0..=u64::MAX;

/// Reads whole numbers of a range as people write them: 4096, 4k, 1.5M, where k, M and G stand for thousands, millions and billions.
/// The reader fails with what is allowed, in words.
pub fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = of_digits(text.trim()).filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            format!("a whole number from {} to {} is needed", counted(*range.start()), counted(*range.end()))
        })
    }
}

/// Numbers of the real line that an option takes.
#[derive(Clone, Copy)]
pub enum Real {
    /// Above zero.
    Positive,
    /// From zero on.
    NotNegative,
    /// Above zero, at most this.
    PositiveTo(f64),
    /// From zero to this.
    ZeroTo(f64),
}

/// Reads finite numbers of a range, `0.1` or `1e-3`. The reader fails with what is allowed, in words.
pub fn real(range: Real) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| {
        let legal = |x: &f64| match range {
            Real::Positive => x.is_finite() && *x > 0.0,
            Real::NotNegative => x.is_finite() && *x >= 0.0,
            Real::PositiveTo(top) => *x > 0.0 && *x <= top,
            Real::ZeroTo(top) => (0.0..=top).contains(x),
        };
        let needed = || match range {
            Real::Positive => "a number above 0 is needed".into(),
            Real::NotNegative => "a number from 0 on is needed".into(),
            Real::PositiveTo(top) => format!("a number above 0, at most {}, is needed", short(top)),
            Real::ZeroTo(top) => format!("a number from 0 to {} is needed", short(top)),
        };
        // Minus zero is zero.
        text.trim().parse::<f64>().ok().filter(legal).map(|x| x + 0.0).ok_or_else(needed)
    }
}

fn of_digits(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => return text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?,
    };
    if !digits.bytes().all(|c| c.is_ascii_digit() || c == b'.') {
        return None;
    }
    let value = digits.parse::<f64>().ok()? * unit;
    ((0.0..=2f64.powi(53)).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}

/// `1G`, `10M`, `4096`.
fn counted(number: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M")];
    let unit = units.into_iter().find(|(unit, _)| number >= *unit && number.is_multiple_of(*unit));
    unit.map_or_else(|| number.to_string(), |(unit, name)| format!("{}{name}", number / unit))
}

/// Counts with commas between them.
///
/// # Errors
/// The first that is none, and what is allowed, in words.
pub fn list(text: &str) -> Result<Vec<usize>, String> {
    let count = whole(COUNT);
    text.split(',').map(|part| count(part).map_err(|reason| format!("`{}`: {reason}", part.trim()))).collect()
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
        let parse = whole::<usize>(COUNT);
        for (text, value) in
            [("1", 1), ("512", 512), ("4k", 4000), ("1M", 1_000_000), ("1.5k", 1500), ("1G", 1_000_000_000)]
        {
            assert_eq!(parse(text), Ok(value));
        }
        for text in [
            "",
            "0",
            "-1",
            "+1",
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
            assert_eq!(parse(text), Err("a whole number from 1 to 1G is needed".into()), "{text}");
        }
        assert_eq!(whole(0..=u64::MAX)(&u64::MAX.to_string()), Ok(u64::MAX));
        assert_eq!(whole::<u8>(0..=300)("256"), Err("a whole number from 0 to 300 is needed".into()));
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(48 << 30), "48 GiB");
    }

    #[test]
    fn numbers_of_the_real_line() {
        for (range, good, bad, words) in [
            (Real::Positive, "1e-3", "0", "a number above 0 is needed"),
            (Real::NotNegative, "0", "-0.1", "a number from 0 on is needed"),
            (Real::PositiveTo(1.0), "1", "1.01", "a number above 0, at most 1, is needed"),
            (Real::ZeroTo(1e6), "1e6", "1e7", "a number from 0 to 1e6 is needed"),
        ] {
            assert!(real(range)(good).is_ok(), "{good}");
            for text in [bad, "nan", "inf", "-inf", "", "one", "1e999"] {
                assert_eq!(real(range)(text), Err(words.into()), "{text}");
            }
        }
    }
}
