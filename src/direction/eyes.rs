//! Blinks and small movements of the gaze.

use super::random::{Random, Stream};

/// Seconds between two blinks: people in conversation blink about every 2 to 6 (Bentivoglio et al. 1997).
const PAUSE: (f32, f32) = (2.0, 6.0);
/// Seconds of closing, of being closed and of opening again; closing is the quicker (VanderWerf et al. 2003).
const CLOSING: f32 = 0.08;
const CLOSED: f32 = 0.04;
const OPENING: f32 = 0.16;

/// How far the lids are open in each frame, as a factor: 1 between blinks, 0 within one.
///
/// A blink whose closed moment would fall between two frames is moved to the nearest frame, so that every blink is seen.
pub(crate) fn lids(seed: u64, fps: u32, frames: usize) -> Vec<f32> {
    let mut random = Random::new(seed, Stream::Blinks);
    let mut lids = vec![1.0f32; frames];
    let fps = fps as f32;
    let mut middle = random.between(PAUSE.0 / 2.0, PAUSE.1 / 2.0);
    loop {
        let centre = (middle * fps).round();
        if centre >= frames as f32 {
            return lids;
        }
        let reach = ((CLOSED + OPENING) * fps).ceil() as usize + 1;
        let first = (centre as usize).saturating_sub(reach);
        for (frame, lid) in lids.iter_mut().enumerate().skip(first).take(2 * reach + 1) {
            let away = (frame as f32 - centre) / fps;
            let open =
                if away < 0.0 { (-away - CLOSED / 2.0) / CLOSING } else { (away - CLOSED / 2.0) / OPENING };
            *lid = lid.min(open.clamp(0.0, 1.0));
        }
        middle += random.between(PAUSE.0, PAUSE.1);
    }
}

/// Where the eyes look in each frame, as shares (−1 … 1) of a small range: held, then quickly moved on.
pub(crate) fn gaze(seed: u64, fps: u32, frames: usize) -> Vec<(f32, f32)> {
    let mut random = Random::new(seed, Stream::Gaze);
    let mut looks = Vec::with_capacity(frames);
    let (mut from, mut to) = ((0.0, 0.0), (0.0, 0.0));
    while looks.len() < frames {
        let held = (random.between(0.8, 2.5) * fps as f32) as usize + 1;
        // A saccade takes about 50 ms: one or two frames.
        let moved = (fps / 20).max(1) as usize;
        for step in 0..held {
            let t = ((step + 1) as f32 / moved as f32).min(1.0);
            looks.push((from.0 + (to.0 - from.0) * t, from.1 + (to.1 - from.1) * t));
        }
        (from, to) = (to, (random.between(-1.0, 1.0), random.between(-0.5, 0.5)));
    }
    looks.truncate(frames);
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blink_closes_the_eyes_and_opens_them_again() {
        for seed in 0..20 {
            let lids = lids(seed, 24, 1080);
            let closed = lids.iter().filter(|lid| **lid == 0.0).count();
            assert!((7..=30).contains(&closed), "seed {seed}: {closed} closed frames in 45 s");
            assert!(lids.iter().filter(|lid| **lid == 1.0).count() > 900, "seed {seed}");
            assert_eq!(lids[0], 1.0);
        }
    }

    #[test]
    fn blinks_are_seeded() {
        assert_eq!(lids(3, 24, 480), lids(3, 24, 480));
        assert_ne!(lids(3, 24, 480), lids(4, 24, 480));
        assert!(lids(0, 24, 0).is_empty() && gaze(0, 24, 0).is_empty());
    }

    #[test]
    fn the_gaze_stays_in_its_range_and_rests_first() {
        let looks = gaze(5, 24, 500);
        assert_eq!(looks[0], (0.0, 0.0));
        assert!(looks.iter().all(|(x, y)| x.abs() <= 1.0 && y.abs() <= 0.5));
        let moving = looks.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(moving > 3 && moving < 100, "{moving} frames of movement");
    }
}
