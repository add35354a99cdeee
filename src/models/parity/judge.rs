//! How far apart two results may be: every tolerance of the parity fixtures, in one place. Pure.

use candle_core::{D, DType, Result, Tensor};
use serde::Serialize;

/// Times the noise that the reference shows against itself in f64: another order of summation is worth a few times it.
const NOISE: f64 = 30.0;
/// Of the largest value, where the recorded noise happens to be smaller: f32's own last bits, 40 of them.
const LAST_BITS: f64 = 5e-6;
/// On a card f32 may be off ten times as far: its sums are split over threads and blocks, some of them added in no fixed
/// order, its exp, sin and division are approximations of a few last bits, and a fused multiply-add rounds once where the
/// reference rounds twice. Products stay f32: candle leaves TensorFloat-32 switched off. It is still hundreds of times
/// less than a mistake: the wrong GELU moves results by 2e-4, anything structural by most of their spread. Reasoned, not
/// measured: tighten it after the first run on a card.
const CARD: f64 = 10.0;
/// On a card an unpacked value may be off by two last bits of the largest: scale · value − minimum in one rounding.
const CARD_UNPACKED: f64 = 2.4e-7;

/// How a result is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Every value lies within a multiple of the reference's own noise.
    Floats,
    /// Every value lies within this.
    Within(f64),
    /// Every value is the same; on a card to the last bits.
    Unpacked,
    /// The difference's norm is at most this share of the reference's.
    Relative(f64),
    /// The root mean square of the difference is at most this share of the reference's standard deviation.
    Spread(f64),
    /// No row's cosine with the reference's falls short of one by more.
    Cosine(f64),
    /// The correlation with the reference falls short of one by no more.
    Correlation(f64),
}

impl Rule {
    /// What is held against the tolerance.
    pub fn measures(self) -> &'static str {
        match self {
            Self::Floats | Self::Within(_) | Self::Unpacked => "max abs",
            Self::Relative(_) => "relative",
            Self::Spread(_) => "of spread",
            Self::Cosine(_) => "1 - cosine",
            Self::Correlation(_) => "1 - corr.",
        }
    }
}

/// How far apart two results are, and whether that is allowed.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The largest difference of two values.
    pub max_abs_error: Option<f64>,
    /// The difference's norm as a share of the reference's.
    pub relative_error: Option<f64>,
    /// What is held against the tolerance.
    pub measure: &'static str,
    /// How much of it there is.
    pub measured: Option<f64>,
    /// How much there may be.
    pub tolerance: Option<f64>,
    /// Whether it is no more.
    pub ok: bool,
    /// Why nothing could be measured.
    pub why: Option<String>,
}

impl Judged {
    /// Nothing could be measured.
    pub fn failed(why: String) -> Self {
        Self {
            max_abs_error: None,
            relative_error: None,
            measure: "-",
            measured: None,
            tolerance: None,
            ok: false,
            why: Some(why),
        }
    }
}

/// Judges `ours` by `reference`; `noise` is the largest error that the recording of this output has itself.
pub fn judge(ours: &Tensor, reference: &Tensor, rule: Rule, noise: Option<f64>, is_card: bool) -> Judged {
    if ours.dims() != reference.dims() {
        return Judged::failed(format!("has the shape {:?}, expected {:?}", ours.dims(), reference.dims()));
    }
    let measured = values(ours).and_then(|ours| Ok((ours, values(reference)?)));
    let (ours, theirs) = match measured {
        Ok(both) => both,
        Err(error) => return Judged::failed(error.to_string()),
    };
    if theirs.is_empty() {
        return Judged::failed("holds no value".to_owned());
    }
    let most = theirs.iter().copied().map(f64::abs).fold(0.0, nan_max);
    let apart: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a - b).collect();
    let max_abs = apart.iter().copied().map(f64::abs).fold(0.0, nan_max);
    let (off, size) = (norm(&apart), norm(&theirs));
    let relative = if off == 0.0 { 0.0 } else { off / size };
    let factor = if is_card { CARD } else { 1.0 };
    let (measured, tolerance) = match rule {
        Rule::Floats => match noise {
            Some(noise) => (max_abs, factor * (NOISE * noise).max(LAST_BITS * most)),
            None => return Judged::failed("meta.json has no max_abs_diff_vs_float64 of it".to_owned()),
        },
        Rule::Within(bound) => (max_abs, bound),
        Rule::Unpacked => (max_abs, if is_card { CARD_UNPACKED * most } else { 0.0 }),
        Rule::Relative(bound) => (relative, bound),
        Rule::Spread(bound) => (off / (theirs.len() as f64).sqrt() / deviation(&theirs), bound),
        Rule::Cosine(bound) => {
            let width = reference.dim(D::Minus1).unwrap_or(1).max(1);
            let rows = ours.chunks(width).zip(theirs.chunks(width));
            (1.0 - rows.map(|(a, b)| cosine(a, b)).fold(1.0, nan_min), bound)
        }
        Rule::Correlation(bound) => (1.0 - correlation(&ours, &theirs), bound),
    };
    Judged {
        max_abs_error: Some(max_abs),
        relative_error: Some(relative),
        measure: rule.measures(),
        measured: Some(measured),
        tolerance: Some(tolerance),
        // Not a number is not within anything.
        ok: measured <= tolerance,
        why: None,
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn nan_min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn centred(values: &[f64]) -> Vec<f64> {
    let mean = mean(values);
    values.iter().map(|value| value - mean).collect()
}

fn deviation(values: &[f64]) -> f64 {
    norm(&centred(values)) / (values.len().max(1) as f64).sqrt()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (norm(a) * norm(b))
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    cosine(&centred(a), &centred(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn row(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn judged(ours: &[f32], reference: &[f32], rule: Rule) -> Judged {
        judge(&row(ours), &row(reference), rule, Some(1e-6), false)
    }

    #[test]
    fn floats_may_be_off_by_thirty_times_the_recorded_noise_and_ten_times_that_on_a_card() {
        let reference = row(&[1.0, -2.0]);
        let off = |by: f32| row(&[1.0, -2.0 + by]);
        assert!(judge(&off(2e-5), &reference, Rule::Floats, Some(1e-6), false).ok);
        assert!(!judge(&off(4e-5), &reference, Rule::Floats, Some(1e-6), false).ok);
        assert!(judge(&off(4e-5), &reference, Rule::Floats, Some(1e-6), true).ok);
        assert!(!judge(&off(4e-4), &reference, Rule::Floats, Some(1e-6), true).ok);
        let unknown = judge(&off(0.0), &reference, Rule::Floats, None, false);
        assert!(!unknown.ok && unknown.why.unwrap().contains("max_abs_diff_vs_float64"));
    }

    #[test]
    fn what_is_not_a_number_or_has_another_shape_never_passes() {
        let every = [
            Rule::Floats,
            Rule::Within(1e9),
            Rule::Unpacked,
            Rule::Relative(1e9),
            Rule::Spread(1e9),
            Rule::Cosine(2.0),
            Rule::Correlation(2.0),
        ];
        for rule in every {
            assert!(judged(&[1.0, 2.0, 4.0], &[1.0, 2.0, 4.0], rule).ok, "{rule:?}");
            assert!(!judged(&[1.0, f32::NAN, 4.0], &[1.0, 2.0, 4.0], rule).ok, "{rule:?}");
            let shorter = judged(&[1.0, 2.0], &[1.0, 2.0, 4.0], rule);
            assert!(!shorter.ok && shorter.why.unwrap().contains("[2], expected [3]"), "{rule:?}");
            assert!(!judged(&[], &[], rule).ok, "{rule:?}");
        }
    }

    #[test]
    fn each_measure_is_what_it_is_called() {
        let measured =
            |rule, ours: &[f32], reference: &[f32]| judged(ours, reference, rule).measured.unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(near(measured(Rule::Relative(1.0), &[3.0, 5.0], &[3.0, 4.0]), 0.2));
        assert!(near(measured(Rule::Cosine(1.0), &[0.0, 2.0], &[1.0, 0.0]), 1.0));
        assert!(near(measured(Rule::Correlation(1.0), &[10.0, 20.0, 30.0], &[1.0, 2.0, 3.0]), 0.0));
        assert!(near(measured(Rule::Spread(1.0), &[2.0, 0.0], &[1.0, -1.0]), 1.0));
        assert!(!judged(&[1.0 + f32::EPSILON], &[1.0], Rule::Unpacked).ok);
    }
}
