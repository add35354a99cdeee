//! The instructions of x86-64. Running integers and sums have names, and nothing but a loop over blocks and steps stands
//! around them: they stay in registers however little the compiler optimises.

use core::arch::x86_64::*;

use super::{LEFT, Row, TALLEST, Weights};

/// Columns of a vector of 256 bits.
const NARROW: usize = 8;
/// Columns of a vector of 512 bits.
const WIDE: usize = 16;

/// Calls `$rows!` with a name for each of `$count` rows' integers and sums.
macro_rules! by_rows {
    ($count:ident, $rows:ident) => {
        match $count {
            1 => $rows!(1: 0 a0 b0 p0 q0),
            2 => $rows!(2: 0 a0 b0 p0 q0 1 a1 b1 p1 q1),
            3 => $rows!(3: 0 a0 b0 p0 q0 1 a1 b1 p1 q1 2 a2 b2 p2 q2),
            4 => $rows!(4: 0 a0 b0 p0 q0 1 a1 b1 p1 q1 2 a2 b2 p2 q2 3 a3 b3 p3 q3),
            5 => $rows!(5: 0 a0 b0 p0 q0 1 a1 b1 p1 q1 2 a2 b2 p2 q2 3 a3 b3 p3 q3 4 a4 b4 p4 q4),
            6 => $rows!(6: 0 a0 b0 p0 q0 1 a1 b1 p1 q1 2 a2 b2 p2 q2 3 a3 b3 p3 q3 4 a4 b4 p4 q4 5 a5 b5 p5 q5),
            _ => {}
        }
    };
}

/// The part of an array that begins at `$at`, as a vector.
macro_rules! part {
    ($array:expr, $at:expr, $size:expr) => {
        match $array[$at..].first_chunk::<{ $size }>() {
            Some(values) => pulp::cast(*values),
            None => return,
        }
    };
}

/// Writes a vector to the part of a row that begins at `$at`.
macro_rules! put {
    ($row:expr, $at:expr, $size:expr, $value:expr) => {
        if let Some(values) = $row.0[$at..].first_chunk_mut::<{ $size }>() {
            *values = pulp::cast($value);
        }
    };
}

/// 512 bits: all columns of a panel in two vectors.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn vnni512(left: &[i32], count: usize, panel: &[Weights], sums: &mut [Row; TALLEST]) {
    macro_rules! rows {
        ($rows:literal: $($row:literal $a:ident $b:ident $p:ident $q:ident)*) => {{
            $(let (mut $p, mut $q) = (_mm512_setzero_ps(), _mm512_setzero_ps());)*
            for (left, weights) in left.as_chunks::<{ LEFT * $rows }>().0.iter().zip(panel) {
                $(let mut $a = _mm512_set1_epi32(left[$row]);
                let mut $b = $a;)*
                for (values, weights) in left[2 * $rows..].as_chunks::<$rows>().0.iter().zip(&weights.steps) {
                    let near: __m512i = part!(weights, 0, 4 * WIDE);
                    let far: __m512i = part!(weights, 4 * WIDE, 4 * WIDE);
                    $(let value = _mm512_set1_epi32(values[$row]);
                    $a = _mm512_dpbusd_epi32($a, near, value);
                    $b = _mm512_dpbusd_epi32($b, far, value);)*
                }
                let near: __m512 = _mm512_cvtph_ps(part!(weights.scales, 0, WIDE));
                let far: __m512 = _mm512_cvtph_ps(part!(weights.scales, WIDE, WIDE));
                $(let scale = _mm512_castsi512_ps(_mm512_set1_epi32(left[$rows + $row]));
                $p = _mm512_add_ps($p, _mm512_mul_ps(_mm512_cvtepi32_ps($a), _mm512_mul_ps(near, scale)));
                $q = _mm512_add_ps($q, _mm512_mul_ps(_mm512_cvtepi32_ps($b), _mm512_mul_ps(far, scale)));)*
            }
            $(put!(sums[$row], 0, WIDE, $p);
            put!(sums[$row], WIDE, WIDE, $q);)*
        }};
    }
    by_rows!(count, rows);
}

/// 256 bits: half of a panel's columns at a time.
#[target_feature(enable = "avx2,f16c,avxvnni")]
pub(super) fn vnni(left: &[i32], count: usize, panel: &[Weights], sums: &mut [Row; TALLEST]) {
    macro_rules! rows {
        ($rows:literal: $($row:literal $a:ident $b:ident $p:ident $q:ident)*) => {
            for first in [0, 2 * NARROW] {
                $(let (mut $p, mut $q) = (_mm256_setzero_ps(), _mm256_setzero_ps());)*
                for (left, weights) in left.as_chunks::<{ LEFT * $rows }>().0.iter().zip(panel) {
                    $(let mut $a = _mm256_set1_epi32(left[$row]);
                    let mut $b = $a;)*
                    for (values, weights) in left[2 * $rows..].as_chunks::<$rows>().0.iter().zip(&weights.steps) {
                        let near: __m256i = part!(weights, 4 * first, 4 * NARROW);
                        let far: __m256i = part!(weights, 4 * (first + NARROW), 4 * NARROW);
                        $(let value = _mm256_set1_epi32(values[$row]);
                        $a = _mm256_dpbusd_avx_epi32($a, near, value);
                        $b = _mm256_dpbusd_avx_epi32($b, far, value);)*
                    }
                    let near: __m256 = _mm256_cvtph_ps(part!(weights.scales, first, NARROW));
                    let far: __m256 = _mm256_cvtph_ps(part!(weights.scales, first + NARROW, NARROW));
                    $(let scale = _mm256_castsi256_ps(_mm256_set1_epi32(left[$rows + $row]));
                    $p = _mm256_add_ps($p, _mm256_mul_ps(_mm256_cvtepi32_ps($a), _mm256_mul_ps(near, scale)));
                    $q = _mm256_add_ps($q, _mm256_mul_ps(_mm256_cvtepi32_ps($b), _mm256_mul_ps(far, scale)));)*
                }
                $(put!(sums[$row], first, NARROW, $p);
                put!(sums[$row], first + NARROW, NARROW, $q);)*
            }
        };
    }
    by_rows!(count, rows);
}

/// 256 bits without VNNI: a quarter of a panel's columns at a time. Products of two neighbours are added in sixteen bits,
/// which hold them where weights have no sign of their own: it goes over to the values.
#[target_feature(enable = "avx2,f16c")]
pub(super) fn avx2(left: &[i32], count: usize, panel: &[Weights], sums: &mut [Row; TALLEST]) {
    macro_rules! rows {
        ($rows:literal: $($row:literal $a:ident $b:ident $p:ident $q:ident)*) => {
            for first in [0, NARROW, 2 * NARROW, 3 * NARROW] {
                $(let mut $p = _mm256_setzero_ps();)*
                for (left, weights) in left.as_chunks::<{ LEFT * $rows }>().0.iter().zip(panel) {
                    $(let mut $a = _mm256_setzero_si256();)*
                    for (values, weights) in left[2 * $rows..].as_chunks::<$rows>().0.iter().zip(&weights.steps) {
                        let weights: __m256i = part!(weights, 4 * first, 4 * NARROW);
                        let weights = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
                        let sizes = _mm256_abs_epi8(weights);
                        $(let $b = _mm256_sign_epi8(_mm256_set1_epi32(values[$row]), weights);
                        let $b = _mm256_madd_epi16(_mm256_maddubs_epi16(sizes, $b), _mm256_set1_epi16(1));
                        $a = _mm256_add_epi32($a, $b);)*
                    }
                    let scales: __m256 = _mm256_cvtph_ps(part!(weights.scales, first, NARROW));
                    $(let scale = _mm256_castsi256_ps(_mm256_set1_epi32(left[$rows + $row]));
                    $p = _mm256_add_ps($p, _mm256_mul_ps(_mm256_cvtepi32_ps($a), _mm256_mul_ps(scales, scale)));)*
                }
                $(put!(sums[$row], first, NARROW, $p);)*
            }
        };
    }
    by_rows!(count, rows);
}
