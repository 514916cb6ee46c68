//! N(0, 1) in single precision, many at once: Box & Muller 1958 on the lanes of a SIMD register.
//!
//! A ziggurat, as in `rand_distr`, draws one at a time and branches; this is three times as fast with AVX2 and serves the
//! draws that cost the time of a run. Radii come from 31 bits, so |z| ≤ 6.66; that loses 3·10⁻¹¹ of the law's mass.

use crate::numeric::slice::for_each_machine;
use crate::numeric::stream::Stream;
use rand::Rng;
use std::mem::MaybeUninit;

/// Generators side by side.
const LANES: usize = 16;

/// xoshiro128++ (Blackman & Vigna 2021) in each lane.
pub struct Lanes([[u32; LANES]; 4]);

impl Lanes {
    /// States drawn from a stream, so that lanes are unrelated.
    pub fn new(mut seed: Stream) -> Self {
        let mut state = [[0; LANES]; 4];
        for word in state.iter_mut().flatten() {
            *word = seed.next_u32();
        }
        // The state of all zeros, which never leaves itself.
        state[0].iter_mut().for_each(|word| *word |= 1);
        Self(state)
    }

    #[inline(always)]
    fn next(&mut self) -> [u32; LANES] {
        let [a, b, c, d] = &mut self.0;
        let mut out = [0; LANES];
        for i in 0..LANES {
            out[i] = a[i].wrapping_add(d[i]).rotate_left(7).wrapping_add(a[i]);
            let shifted = b[i] << 9;
            c[i] ^= a[i];
            d[i] ^= b[i];
            b[i] ^= c[i];
            a[i] ^= d[i];
            c[i] ^= shifted;
            d[i] = d[i].rotate_left(11);
        }
        out
    }

    /// Fills a slice with independent draws. A slice whose length is no multiple of 32 ends with draws that are thrown away.
    pub fn fill(&mut self, values: &mut [MaybeUninit<f32>]) {
        fill(self, values);
    }
}

for_each_machine! {
    fn fill(lanes: &mut Lanes, values: &mut [MaybeUninit<f32>]) {
        let (chunks, rest) = values.as_chunks_mut::<{ 2 * LANES }>();
        for chunk in chunks {
            *chunk = pairs(lanes).map(MaybeUninit::new);
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&pairs(lanes).map(MaybeUninit::new)[..rest.len()]);
        }
    }
}

#[inline(always)]
fn pairs(lanes: &mut Lanes) -> [f32; 2 * LANES] {
    let (radii, angles) = (lanes.next(), lanes.next());
    let mut out = [0.0; 2 * LANES];
    for i in 0..LANES {
        (out[i], out[LANES + i]) = pair(radii[i], angles[i]);
    }
    out
}

/// A point of the plane: √(−2 ln u) at an angle. The angle is one within ±π/4 of the first axis, from 30 bits, which two
/// more bits mirror and turn to the other three quarters.
#[inline(always)]
fn pair(radius: u32, angle: u32) -> (f32, f32) {
    const TO_UNIT: f32 = 1.0 / (1u32 << 31) as f32;
    const TO_RADIANS: f32 = std::f32::consts::FRAC_PI_4 / (1u32 << 29) as f32;
    let u = ((radius >> 1) as i32 as f32 + 0.5) * TO_UNIT;
    let r = (-2.0 * ln(u)).sqrt();
    let a = ((angle as i32) >> 2) as f32 * TO_RADIANS;
    let q = a * a;
    // Minimax on ±π/4, relative error below 10⁻⁷ (Cephes sinf, cosf).
    let sin = a * (1.0 + q * (-1.666_665_5e-1 + q * (8.332_161e-3 - q * 1.951_53e-4)));
    let cos = 1.0 - 0.5 * q + q * q * (4.166_664_6e-2 + q * (-1.388_731_6e-3 + q * 2.443_315_7e-5));
    let cos = f32::from_bits(cos.to_bits() ^ (angle << 31));
    let (x, y) = if angle & 2 == 0 { (cos, sin) } else { (sin, cos) };
    (r * x, r * y)
}

/// ln u for normal positive u, relative error below 2·10⁻⁷ (Cephes logf).
#[inline(always)]
fn ln(u: f32) -> f32 {
    /// The bits of √½: the mantissa is taken between √½ and √2.
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let power = u.to_bits().wrapping_sub(ROOT_HALF) & 0xff80_0000;
    let f = f32::from_bits(u.to_bits().wrapping_sub(power)) - 1.0;
    let k = (power as i32 >> 23) as f32;
    let q = f * f;
    let tail = 7.037_684e-2 * f - 1.151_461e-1;
    let tail = ((tail * f + 1.167_699_9e-1) * f - 1.242_014_1e-1) * f + 1.424_932_3e-1;
    let tail = ((tail * f - 1.666_805_8e-1) * f + 2.000_071_5e-1) * f - 2.499_999_4e-1;
    let tail = (tail * f + 3.333_333e-1) * f * q;
    // ln 2 in two parts, as in `real::fast::exp`.
    f + (tail - 0.5 * q - k * 2.121_944_4e-4) + k * 0.693_359_4
}

/// Writes N(0, 1) entries, many at once, to every place.
pub fn fill_single(values: &mut [MaybeUninit<f32>], stream: Stream) {
    Lanes::new(stream).fill(values);
}

/// The entries of [`fill_single`] as doubles: a trial has the same weights whatever precision it is computed in.
pub fn fill_double(values: &mut [MaybeUninit<f64>], stream: Stream) {
    /// A multiple of the lanes, so that pieces are drawn as one.
    const PIECE: usize = 4096;
    let mut lanes = Lanes::new(stream);
    let mut drawn = [MaybeUninit::new(0.0f32); PIECE];
    for piece in values.chunks_mut(PIECE) {
        let drawn = &mut drawn[..piece.len()];
        lanes.fill(drawn);
        for (v, d) in piece.iter_mut().zip(drawn) {
            // SAFETY: it has been filled.
            v.write(f64::from(unsafe { d.assume_init() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::stream::{Key, Part, Role};
    use statrs::distribution::{ContinuousCDF, Normal};

    fn draws(count: usize) -> Vec<f32> {
        let mut values = vec![MaybeUninit::new(0.0); count];
        Lanes::new(Key { seed: 3, trial: 1, layer: 4 }.stream(Role::Weights, Part::Block(0)))
            .fill(&mut values);
        // SAFETY: all were zeros at first.
        values.iter().map(|v| unsafe { v.assume_init() }).collect()
    }

    #[test]
    fn logarithms_and_angles_keep_their_accuracy() {
        for k in 1..100_000u32 {
            let u = (k as f32 / 100_000.0).powi(4);
            let exact = f64::from(u).ln();
            assert!((f64::from(ln(u)) - exact).abs() <= 2e-7 * exact.abs(), "{u}");
        }
        for k in 0..100_000u32 {
            let angle = k.wrapping_mul(42_949).rotate_left(7);
            let (x, y) = pair(1 << 31, angle);
            let (x, y) = (f64::from(x), f64::from(y));
            let radius = (2.0 * 2f64.ln()).sqrt();
            assert!(((x * x + y * y).sqrt() / radius - 1.0).abs() < 3e-7, "{angle:#x}: {x} {y} {radius}");
            let near = if angle & 2 == 0 { y.atan2(x.abs()) } else { x.atan2(y.abs()) };
            let exact = f64::from((angle as i32) >> 2) * std::f64::consts::FRAC_PI_4 / 2f64.powi(29);
            assert!((near - exact).abs() < 3e-7, "{near} {exact}");
        }
        assert_eq!(pair(u32::MAX, 0), (0.0, 0.0));
        assert!(pair(0, 0).0 > 6.6 && pair(0, 0).0.is_finite());
    }

    /// Against Φ by KS with 2·10⁶ draws, bound 2.7/√n (false alarm 10⁻⁶): in all, and for each place within the 32 that are
    /// drawn together. A standard deviation off by two per cent is caught, and by the
    /// second moment, within 5.3·√(2/n), one off by a half.
    #[test]
    fn draws_follow_the_normal_law() {
        let values = draws(2_000_000);
        let normal = Normal::standard();
        let distance = |sample: &mut dyn Iterator<Item = f32>, std: f64| {
            let mut sample: Vec<f64> = sample.map(|v| f64::from(v) / std).collect();
            sample.sort_by(f64::total_cmp);
            let n = sample.len() as f64;
            let gap = |(k, z): (usize, &f64)| {
                let f = normal.cdf(*z);
                (f - k as f64 / n).abs().max(((k + 1) as f64 / n - f).abs())
            };
            sample.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt()
        };
        assert!(distance(&mut values.iter().copied(), 1.0) < 2.7);
        assert!(distance(&mut values.iter().copied(), 1.02) > 2.7);
        let n = values.len() as f64;
        let second = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n;
        assert!((second - 1.0).abs() < 5.3 * (2.0 / n).sqrt(), "{second}");
        assert!((second - 1.005f64.powi(2)).abs() > 5.3 * (2.0 / n).sqrt());
        for place in 0..2 * LANES {
            let d = distance(&mut values.iter().skip(place).step_by(2 * LANES).copied(), 1.0);
            assert!(d < 2.7, "place {place}: {d}");
        }
    }

    /// Products of neighbors at every distance that the lanes could betray, of values and of squares, are uncorrelated:
    /// mean 0 or 1, n = 2·10⁶, bound 5.3 standard errors (false alarm 10⁻⁷ each). Both partners of a pair share a radius,
    /// so they would be told apart here.
    #[test]
    fn neighbors_are_independent() {
        let values: Vec<f64> = draws(2_000_000).into_iter().map(f64::from).collect();
        let n = values.len() as f64;
        for distance in [1, 2, 8, 15, 16, 17, 31, 32, 48, 64] {
            let (mut plain, mut squares) = (0.0, 0.0);
            for (a, b) in values.iter().zip(&values[distance..]) {
                plain += a * b;
                squares += a * a * b * b;
            }
            assert!((plain / n).abs() < 5.3 / n.sqrt(), "{distance}");
            // Var(a²b²) = 3·3 − 1.
            assert!((squares / n - 1.0).abs() < 5.3 * (8.0 / n).sqrt(), "{distance}");
        }
        // Tails, whose frequency a wrong radius would betray: P(|z| > 4) = 6.334·10⁻⁵, so 126.7 ± 11.3.
        let far = values.iter().filter(|z| z.abs() > 4.0).count() as f64;
        assert!((far - 126.7).abs() < 5.3 * 11.3, "{far}");
    }
}
