//! From RGB to the Y′CbCr planes that H.264 takes: BT.709, limited range, 4:2:0.
//!
//! Whole numbers only, so that every instruction set gives the same bytes. Owns the planes; knows nothing of encoders.

use openh264::formats::YUVSource;
use pulp::{Simd, WithSimd};

use crate::simd::vectorised;
use crate::types::Resolution;

/// Bits after the point of the weights below; the largest sum of a row stays under 2^31.
const BITS: u32 = 16;

/// The luma weights of ITU-R BT.709, item 3.2.
const RED: f64 = 0.2126;
const GREEN: f64 = 0.7152;
const BLUE: f64 = 0.0722;

/// Limited range: luma spans 16 … 235, chroma 16 … 240 around 128.
const LUMA: f64 = 219.0 / 255.0;
const CHROMA: f64 = 224.0 / 255.0;

const Y: [i32; 3] = [fixed(RED * LUMA), fixed(GREEN * LUMA), fixed(BLUE * LUMA)];
const CB: [i32; 3] = chroma(BLUE, [-RED, -GREEN, 1.0 - BLUE]);
const CR: [i32; 3] = chroma(RED, [1.0 - RED, -GREEN, -BLUE]);

const fn fixed(weight: f64) -> i32 {
    let scaled = weight * (1 << BITS) as f64;
    (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

/// The middle weight is what makes them add up to nothing: grey has no colour at all.
const fn chroma(own: f64, weights: [f64; 3]) -> [i32; 3] {
    let scale = CHROMA / (2.0 * (1.0 - own));
    let (first, last) = (fixed(weights[0] * scale), fixed(weights[2] * scale));
    [first, -first - last, last]
}

/// One picture as luma and, at half the width and height, its two colour differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yuv {
    width: usize,
    height: usize,
    y: Vec<u8>,
    cb: Vec<u8>,
    cr: Vec<u8>,
}

impl Yuv {
    /// Black, of this size; an odd last column or row is left out.
    pub fn new(resolution: Resolution) -> Self {
        let (width, height) = (even(resolution.width.get()), even(resolution.height.get()));
        let quarter = width / 2 * (height / 2);
        Self { width, height, y: vec![16; width * height], cb: vec![128; quarter], cr: vec![128; quarter] }
    }

    /// Takes over u8 RGB of `3 · width · height` bytes; what is missing stays as it was.
    pub fn convert(&mut self, rgb: &[u8]) {
        vectorised(Convert { rgb, into: self });
    }
}

impl YUVSource for Yuv {
    fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.width, self.width / 2, self.width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.y
    }

    fn u(&self) -> &[u8] {
        &self.cb
    }

    fn v(&self) -> &[u8] {
        &self.cr
    }
}

fn even(side: u32) -> usize {
    (side & !1) as usize
}

struct Convert<'a> {
    rgb: &'a [u8],
    into: &'a mut Yuv,
}

impl WithSimd for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Yuv { width, y, cb, cr, .. } = self.into;
        let width = *width;
        let halves = cb.chunks_exact_mut(width / 2).zip(cr.chunks_exact_mut(width / 2));
        let pairs = self.rgb.chunks_exact(6 * width).zip(y.chunks_exact_mut(2 * width));
        for ((rgb, y), (cb, cr)) in pairs.zip(halves) {
            luma(rgb, y);
            let (upper, lower) = rgb.split_at(3 * width);
            colour(upper, lower, cb, cr);
        }
    }
}

#[inline(always)]
fn luma(rgb: &[u8], y: &mut [u8]) {
    const ROUNDED: i32 = (16 << BITS) + (1 << (BITS - 1));
    for ([r, g, b], y) in rgb.as_chunks::<3>().0.iter().zip(y) {
        *y = ((Y[0] * i32::from(*r) + Y[1] * i32::from(*g) + Y[2] * i32::from(*b) + ROUNDED) >> BITS) as u8;
    }
}

/// Of the mean of each square of four pixels.
#[inline(always)]
fn colour(upper: &[u8], lower: &[u8], cb: &mut [u8], cr: &mut [u8]) {
    const FOUR: u32 = BITS + 2;
    const ROUNDED: i32 = (128 << FOUR) + (1 << (FOUR - 1));
    let squares = upper.as_chunks::<6>().0.iter().zip(lower.as_chunks::<6>().0);
    for (([r0, g0, b0, r1, g1, b1], [r2, g2, b2, r3, g3, b3]), (cb, cr)) in squares.zip(cb.iter_mut().zip(cr))
    {
        let r = i32::from(*r0) + i32::from(*r1) + i32::from(*r2) + i32::from(*r3);
        let g = i32::from(*g0) + i32::from(*g1) + i32::from(*g2) + i32::from(*g3);
        let b = i32::from(*b0) + i32::from(*b1) + i32::from(*b2) + i32::from(*b3);
        *cb = ((CB[0] * r + CB[1] * g + CB[2] * b + ROUNDED) >> FOUR) as u8;
        *cr = ((CR[0] * r + CR[1] * g + CR[2] * b + ROUNDED) >> FOUR) as u8;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::simd::tests::runs_wide;

    fn converted(width: u32, height: u32, rgb: &[u8]) -> Yuv {
        let mut yuv = Yuv::new(Resolution::new(width, height).unwrap());
        yuv.convert(rgb);
        yuv
    }

    /// The 75 % colour bars as SMPTE RP 219 writes them for BT.709, and the ends of the range.
    #[test]
    fn the_colour_bars_have_their_published_levels() {
        for (rgb, [y, cb, cr]) in [
            ([191, 191, 191], [180, 128, 128]),
            ([191, 191, 0], [168, 44, 136]),
            ([0, 191, 191], [145, 147, 44]),
            ([0, 191, 0], [134, 63, 52]),
            ([191, 0, 191], [63, 193, 204]),
            ([191, 0, 0], [51, 109, 212]),
            ([0, 0, 191], [28, 212, 120]),
            ([0, 0, 0], [16, 128, 128]),
            ([255, 255, 255], [235, 128, 128]),
        ] {
            let yuv = converted(2, 2, &rgb.repeat(4));
            let found = [yuv.y[0], yuv.cb[0], yuv.cr[0]];
            let far = found.iter().zip([y, cb, cr]).any(|(found, bar)| found.abs_diff(bar) > 1);
            assert!(!far, "{rgb:?} became {found:?}, not {:?}", [y, cb, cr]);
        }
    }

    proptest! {
        /// Against the definition in floating point, at sizes that fill no vector.
        #[test]
        fn every_pixel_follows_the_definition(half_width in 1u32..40, half_height in 1u32..4, seed in any::<u64>()) {
            let (width, height) = (2 * half_width, 2 * half_height);
            let scatter = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed).wrapping_mul(seed | 1);
            let rgb: Vec<u8> = (0..u64::from(3 * width * height)).map(|at| (scatter(at) >> 33) as u8).collect();
            let yuv = converted(width, height, &rgb);
            let at = |x: u32, y: u32| {
                let start = 3 * (y * width + x) as usize;
                [0, 1, 2].map(|channel| f64::from(rgb[start + channel]))
            };
            let grey = |[r, g, b]: [f64; 3]| RED * r + GREEN * g + BLUE * b;
            for y in 0..height {
                for x in 0..width {
                    let exact = 16.0 + LUMA * grey(at(x, y));
                    let found = f64::from(yuv.y[(y * width + x) as usize]);
                    prop_assert!((found - exact).abs() < 0.51, "luma at {x}, {y}: {found}, not {exact}");
                }
            }
            for y in 0..height / 2 {
                for x in 0..width / 2 {
                    let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, down)| at(2 * x + right, 2 * y + down));
                    let mean = [0, 1, 2].map(|channel| four.iter().map(|pixel| pixel[channel]).sum::<f64>() / 4.0);
                    let place = (y * (width / 2) + x) as usize;
                    for (found, own, value) in [(yuv.cb[place], BLUE, mean[2]), (yuv.cr[place], RED, mean[0])] {
                        let exact = 128.0 + CHROMA * (value - grey(mean)) / (2.0 * (1.0 - own));
                        prop_assert!((f64::from(found) - exact).abs() < 0.51, "{found}, not {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn pictures_run_on_the_widest_vectors() {
        runs_wide(&["Convert"], || assert_eq!(converted(2, 2, &[0; 12]).y[0], 16));
    }
}
