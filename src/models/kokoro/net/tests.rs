use super::*;
use crate::types::Emotion;

#[test]
fn durations_round_half_to_even_and_never_vanish() {
    let frames = |duration| frame_count(duration, 1.0);
    assert_eq!([0.0, 0.4, 1.5, 2.5, 3.5, 3.6].map(frames), [1, 1, 2, 2, 4, 4]);
    assert_eq!((frame_count(4.0, 0.8), frame_count(6.0, 1.2)), (5, 5));
    assert_eq!(frame_count(f32::NAN, 1.0), 1);
}

#[test]
fn pitch_moves_voiced_frames_only_and_keeps_them_voiced() {
    let f0 = vec![-20.0, 0.0, 10.0, 10.5, 35.0, 200.0];
    let up = shifted(f0.clone(), Emotion::Excited.prosody());
    assert_eq!(up, [-20.0, 0.0, 10.0, 60.5, 85.0, 250.0]);
    let down = shifted(f0.clone(), Emotion::Sad.prosody());
    assert_eq!(down[..3], f0[..3]);
    assert!(down[3] > VOICED && down[4] > VOICED);
    assert_eq!(down[5], 170.0);
    assert_eq!(shifted(f0.clone(), Emotion::Neutral.prosody()), f0);
}

#[test]
fn the_release_asks_for_its_published_tensors() {
    let specs = tensors(&KokoroConfig::published()).unwrap();
    let parameters: usize = specs.iter().map(|spec| spec.shape.elem_count()).sum();
    // 81.8 million in the release, which counts the unused pooler of its ALBERT (768² + 768).
    assert_eq!((parameters + 768 * 768 + 768) / 100_000, 817, "{parameters}");
    let shape =
        |name: &str| specs.iter().find(|spec| spec.name == name).map(|spec| spec.shape.dims().to_vec());
    assert_eq!(shape("decoder.module.generator.ups.0.weight_g"), Some(vec![512, 1, 1]));
    assert_eq!(shape("bert.module.embeddings.word_embeddings.weight"), Some(vec![178, 128]));
    assert_eq!(shape("predictor.module.lstm.weight_ih_l0_reverse"), Some(vec![1024, 640]));
}
