use std::f64::consts::TAU;

use super::*;
use crate::types::Emotion;

/// Sines of 1 kHz, one after the other: decibels of full scale on each of two channels, and seconds.
///
/// EBU Tech 3341's signals are stereo; one channel of the same loudness is √2 as large.
fn tones(rate: u32, parts: &[(f64, f64)]) -> Vec<f32> {
    let mut samples = Vec::new();
    for (level, seconds) in parts {
        let amplitude = libm::pow(10.0, level / 20.0) * 2.0f64.sqrt();
        let count = (seconds * f64::from(rate)).round() as usize;
        let from = samples.len();
        let sine = |n: usize| libm::sin(TAU * 1000.0 * (from + n) as f64 / f64::from(rate));
        samples.extend((0..count).map(|n| (amplitude * sine(n)) as f32));
    }
    samples
}

/// The printed coefficients of ITU-R BS.1770-4, tables 1 and 2.
#[test]
fn at_48_khz_the_weighting_is_the_recommendations_own() {
    let [shelf, pass] = Weighting::new(48_000.0).stages;
    let close = |ours: &[f64], printed: &[f64]| {
        for (ours, printed) in ours.iter().zip(printed) {
            assert!((ours - printed).abs() < 1e-12, "{ours} is printed as {printed}");
        }
    };
    close(&shelf.forward, &[1.535_124_859_586_97, -2.691_696_189_406_38, 1.198_392_810_852_85]);
    close(&shelf.back, &[-1.690_659_293_182_41, 0.732_480_774_215_85]);
    close(&pass.forward, &[1.0, -2.0, 1.0]);
    close(&pass.back, &[-1.990_047_454_833_98, 0.990_072_250_366_21]);
}

/// Test signals 1 to 5 of EBU Tech 3341, table 1, at its tolerance; in the rate that they are made for, and in ours.
#[test]
fn the_unions_test_signals_have_their_integrated_loudness() {
    let signals: [(&[(f64, f64)], f64); 5] = [
        (&[(-23.0, 20.0)], -23.0),
        (&[(-33.0, 20.0)], -33.0),
        (&[(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)], -23.0),
        (&[(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)], -23.0),
        (&[(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)], -23.0),
    ];
    for rate in [48_000, SAMPLE_RATE] {
        for (number, (signal, expected)) in signals.iter().enumerate() {
            let measured = integrated(&tones(rate, signal), rate).unwrap();
            assert!((measured - expected).abs() < 0.1, "{} at {rate}: {measured}", number + 1);
        }
    }
}

/// BS.1770-4: a sine of 997 Hz at full scale on one channel is −3.01 LKFS.
#[test]
fn a_full_scale_sine_on_one_channel_is_three_below_zero() {
    // At half the rate the bilinear transform bends the shelf a little at 1 kHz.
    for (rate, tolerance) in [(48_000, 0.01), (24_000, 0.03)] {
        let sine = |n: u32| libm::sin(TAU * 997.0 * f64::from(n) / f64::from(rate)) as f32;
        let measured = integrated(&(0..2 * rate).map(sine).collect::<Vec<_>>(), rate).unwrap();
        assert!((measured + 3.01).abs() < tolerance, "{measured} at {rate}");
    }
}

/// Signals 15 to 19 of EBU Tech 3341: sines whose samples miss the peak; +0.2 and −0.4 dB are allowed.
#[test]
fn peaks_between_the_samples_are_seen() {
    for (divisor, degrees, amplitude, expected) in [
        (4.0, 0.0, 0.5, -6.0),
        (4.0, 45.0, 0.5, -6.0),
        (6.0, 60.0, 0.5, -6.0),
        (8.0, 67.5, 0.5, -6.0),
        (4.0, 45.0, 1.41, 3.0),
    ] {
        let phase = degrees / 360.0;
        let sine = |n: u32| (amplitude * libm::sin(TAU * (f64::from(n) / divisor + phase))) as f32;
        // Faded in: a sine that begins at once has a larger peak there.
        let fade = |n: u32| (n as f32 / 2000.0).min(1.0);
        let measured = decibels(true_peak(&(0..4000).map(|n| sine(n) * fade(n)).collect::<Vec<_>>()));
        assert!((-0.4..=0.2).contains(&(measured - expected)), "a {divisor}th at {degrees}°: {measured}");
    }
}

fn levelled(speech: &[f32], emotion: f32) -> Vec<f32> {
    let mut speech = speech.to_vec();
    level(&mut speech, emotion);
    speech
}

#[test]
fn any_level_comes_to_the_target_and_pauses_do_not_count() {
    for level in [-14.0, -23.0, -31.0, -40.0] {
        let mut speech = tones(SAMPLE_RATE, &[(level, 3.0)]);
        speech.resize(speech.len() + 20 * SAMPLE_RATE as usize, 0.0);
        let measured = integrated(&levelled(&speech, 1.0), SAMPLE_RATE).unwrap();
        assert!((measured - TARGET).abs() < 0.01, "{level}: {measured}");
    }
}

#[test]
fn an_emotion_is_louder_by_its_gain_and_not_by_the_voices_level() {
    for emotion in Emotion::ALL {
        let asked = decibels(f64::from(emotion.prosody().energy));
        for level in [-16.0, -35.0] {
            let speech = levelled(&tones(SAMPLE_RATE, &[(level, 3.0)]), emotion.prosody().energy);
            let heard = integrated(&speech, SAMPLE_RATE).unwrap() - TARGET;
            assert!((heard - asked).abs() < 0.01, "{emotion}: {heard} of {asked} dB");
        }
    }
}

#[test]
fn what_is_silent_or_hardly_there_is_not_blown_up() {
    assert!(levelled(&[], 1.0).is_empty());
    assert_eq!(levelled(&[0.0; 48_000], 1.5), [0.0; 48_000]);
    let hardly = tones(SAMPLE_RATE, &[(-80.0, 3.0)]);
    assert_eq!(levelled(&hardly, 1.0), hardly);
    let quiet = tones(SAMPLE_RATE, &[(-60.0, 3.0)]);
    let measured = integrated(&levelled(&quiet, 1.0), SAMPLE_RATE).unwrap();
    assert!((measured + 60.0 - MOST).abs() < 0.05, "{measured}");
}

#[test]
fn a_word_shorter_than_a_block_is_levelled_too() {
    let gain = levelling(&tones(SAMPLE_RATE, &[(-33.0, 0.15)]));
    assert!((2.0..8.0).contains(&gain), "{gain}");
    assert!(levelling(&[0.01]) > 0.0);
}

#[test]
fn a_click_is_turned_down_to_the_ceiling_and_the_rest_keeps_its_level() {
    let mut speech = tones(SAMPLE_RATE, &[(-33.0, 3.0)]);
    let plain = levelled(&speech, 1.0);
    for place in [0, 30_000, speech.len() - 1] {
        speech[place] = 0.9;
    }
    let limited = levelled(&speech, 1.0);
    let peak = decibels(true_peak(&limited));
    assert!((CEILING - 0.5..=CEILING + 0.05).contains(&peak), "{peak} dBTP");
    let measured = integrated(&limited, SAMPLE_RATE).unwrap();
    // The clicks count for a little loudness themselves.
    assert!((measured - TARGET).abs() < 0.4, "{measured}");
    let far = 40_000..50_000;
    let ratio = f64::from(limited[far.start + 6]) / f64::from(plain[far.start + 6]);
    for (limited, plain) in limited[far.clone()].iter().zip(&plain[far]) {
        assert!((f64::from(*limited) - ratio * f64::from(*plain)).abs() < 1e-5);
    }
}

#[test]
fn the_loudest_that_there_is_stays_below_the_ceiling() {
    let square: Vec<f32> = (0..48_000).map(|n| if n / 50 % 2 == 0 { 1.0 } else { -1.0 }).collect();
    for emotion in Emotion::ALL {
        let peak = decibels(true_peak(&levelled(&square, emotion.prosody().energy)));
        assert!(peak <= CEILING + 0.05, "{emotion}: {peak} dBTP");
    }
}

fn decibels(amplitude: f64) -> f64 {
    20.0 * libm::log10(amplitude)
}
