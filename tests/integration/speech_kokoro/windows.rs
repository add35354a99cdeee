//! Sentences longer than a piece of the vocoder: spoken in windows that share their norms' statistics.

use std::time::Duration;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use vortex_node::contract::{ErrorClass, Model, Speak};
use vortex_node::models::kernels::Kernels;
use vortex_node::models::kokoro::net::Net;
use vortex_node::models::kokoro::norms::Norms;
use vortex_node::models::kokoro::source::NoiseOf;
use vortex_node::models::noise::Noise;
use vortex_node::types::Emotion;

use super::{bundle, bytes, job, load, run_until, say, spoken};
use crate::synthetic_kokoro::small;

/// Longer than any piece of the vocoder's, and not too long to be one sentence.
fn long_sentence() -> String {
    format!("We saw {} and a wall.", "a boat, a bridge, a bird, ".repeat(5))
}

#[test]
fn a_long_sentence_that_was_broken_off_goes_on_behind_its_last_window() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let long = || Speak { duration: Duration::from_secs(40), ..job(&long_sentence()) };
    let (whole, all) = run_until(&mut model, long(), None);
    let whole = bytes(&whole.unwrap());
    assert!(all.len() >= 5, "a sentence in windows makes several steps: {all:?}");
    for at in 2..all.len() {
        let (cancelled, steps) = run_until(&mut model, long(), Some(at));
        assert_eq!(cancelled.unwrap_err().class(), ErrorClass::Cancelled);
        assert!(steps.iter().all(|step| step.done == 0), "in the first sentence");
        let (speech, rest) = run_until(&mut model, long(), None);
        assert_eq!(rest.len(), all.len() - (at - 2), "no window is made again");
        assert!(bytes(&speech.unwrap()) == whole, "broken off at step {at}");
    }
}

#[test]
fn a_sentence_too_long_for_one_is_spoken_in_parts_and_goes_on_like_any_other() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let sentence = format!("We saw {} and a wall.", "a boat, a bridge, a bird, ".repeat(9));
    let long = || Speak { duration: Duration::from_secs(60), ..job(&sentence) };
    let (whole, all) = run_until(&mut model, long(), None);
    assert_eq!(all.last().unwrap().done, 2, "in two parts");
    run_until(&mut model, long(), Some(all.len() - 1)).0.unwrap_err();
    let (speech, rest) = run_until(&mut model, long(), None);
    assert!(rest.len() < 4, "only the last window is made: {rest:?}");
    assert!(bytes(&speech.unwrap()) == bytes(&whole.unwrap()));
}

/// By the statistics of the whole, what a window makes is what the whole has there, up to the reach from its ends.
#[test]
fn a_window_by_the_wholes_statistics_is_the_whole_but_for_its_reach() {
    let (bundle, config) = (bundle(&small()), small());
    let data = std::fs::read(&bundle.files.weights).unwrap();
    let (per_frame, frames) = (config.samples_per_frame(), 180);
    for kernels in [Kernels::Fused, Kernels::Stock(DType::F32)] {
        let vb = VarBuilder::from_buffered_safetensors(data.clone(), DType::F32, &Device::Cpu).unwrap();
        let net = Net::new(&config, &vb, kernels).unwrap();
        let inner = config.vocab.values().copied().cycle().take(58);
        let ids = net.ids(&std::iter::once(0).chain(inner).chain([0]).collect::<Vec<_>>()).unwrap();
        let style = net.style(&Noise::new(5, 0).normals(2 * config.style_dim)).unwrap();
        let mut timing = net.timing(&ids, &style, 1.0).unwrap();
        timing.frames = vec![frames / 60; 60];
        let voiced = net.voiced(&ids, &style, &timing, Emotion::Neutral.prosody()).unwrap();
        let noise = NoiseOf::Seed { seed: 1, utterance: 0 };
        let mut norms = Norms::gathering();
        let mut sound =
            |frames| net.sound(&net.vocoded(&voiced, frames, noise, &mut norms).unwrap()).unwrap();
        let whole = sound(0..frames);
        norms.gathered();
        let mut sound =
            |frames| net.sound(&net.vocoded(&voiced, frames, noise, &mut norms).unwrap()).unwrap();
        let reach = net.decoder().generator().reach();
        let loudest = whole.iter().fold(0.0, |most, sample| f32::max(most, sample.abs()));
        for (from, to) in [(0, 90), (70, 130), (90, 180)] {
            let window = sound(from..to);
            let apart = |frame: usize| {
                let samples = (frame - from) * per_frame..(frame - from + 1) * per_frame;
                let whole = &whole[frame * per_frame..];
                window[samples].iter().zip(whole).fold(0.0, |most, (a, b)| f32::max(most, (a - b).abs()))
            };
            let inside = if from == 0 { 0 } else { from + reach }..if to == frames { to } else { to - reach };
            let worst = inside.map(apart).fold(0.0, f32::max);
            assert!(worst < 1e-3 * loudest, "{kernels:?} {from}..{to}: {worst} of {loudest}");
            let end = if to == frames { from } else { to - 1 };
            assert!(apart(end) > 1e-2 * loudest, "{kernels:?} {from}..{to}: its end is {} off", apart(end));
        }
    }
}

/// Seams in a long sentence are no pauses: the sound between two words' ends has no gap that the timeline does not have.
#[test]
fn a_long_sentence_is_one_sentence_in_the_timeline() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let speech = say(&mut model, Speak { duration: Duration::from_secs(40), ..job(&long_sentence()) });
    let end = spoken(&speech);
    let pauses =
        speech.timeline.phonemes().iter().filter(|phoneme| phoneme.symbol == " " && phoneme.start > 0);
    let longest = pauses.filter(|pause| pause.end < end).map(|pause| pause.end - pause.start).max().unwrap();
    assert!(longest < 24_000 / 2, "a pause of {longest} samples in the middle of a sentence");
}

#[test]
fn a_long_sentence_is_spoken_in_windows_that_fit_into_memory() {
    let bundle = bundle(&small());
    let mut model = load(&bundle.files);
    let sentence = long_sentence();
    let speech = say(&mut model, Speak { duration: Duration::from_secs(40), ..job(&sentence) });
    let said: String = speech.timeline.phonemes().iter().map(|phoneme| phoneme.symbol.as_str()).collect();
    assert_eq!(said.matches("bɹɪʤ").count(), 5, "{said}");
    assert!(spoken(&speech) > 10 * 24_000, "longer than any piece");
    assert!(model.workspace(&job(&sentence)).get() < 100_000_000);
}
