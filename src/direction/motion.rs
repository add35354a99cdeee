//! Head movement presets as pose curves over time, with emphasis where the voice is loud.

use std::f32::consts::TAU;

use crate::types::{HeadPose, names};

use super::random::{Random, Stream};

names! {
    /// A motion preset.
    Motion, "a motion preset" {
        /// The head does not move at all.
        Still => "still",
        /// A slow sway from side to side.
        SlowSway => "slow_sway",
        /// Small nods, now and then.
        GentleNod => "gentle_nod",
        /// Quick, deep nods with a bounce.
        ExcitedNodding => "excited_nodding",
        /// Thrusts with the voice and is quiet between.
        Emphatic => "emphatic",
        /// Tilted, looking aside.
        Thoughtful => "thoughtful",
    }
}

/// One swing: `amplitude · sin(2π·rate·t + phase)`, and how much of the amplitude needs a loud voice.
struct Swing {
    amplitude: f32,
    /// Swings a second.
    rate: f32,
    /// 0: always full; 1: none in silence.
    voiced: f32,
}

/// A preset's swings: pitch, yaw, roll in degrees, sideways and up-and-down shift in key-point units.
struct Curve {
    pitch: &'static [Swing],
    yaw: &'static [Swing],
    roll: &'static [Swing],
    shift_x: &'static [Swing],
    shift_y: &'static [Swing],
}

const fn swing(amplitude: f32, rate: f32, voiced: f32) -> Swing {
    Swing { amplitude, rate, voiced }
}

// Amplitudes at full head motion, well inside LivePortrait's ±15°, ±25°, ±15°; two rates without a common period, so
// that the movement does not repeat.
const STILL: Curve = Curve { pitch: &[], yaw: &[], roll: &[], shift_x: &[], shift_y: &[] };
const SLOW_SWAY: Curve = Curve {
    pitch: &[swing(1.5, 0.11, 0.2)],
    yaw: &[swing(9.0, 0.13, 0.0), swing(2.5, 0.31, 0.3)],
    roll: &[swing(5.0, 0.17, 0.0)],
    shift_x: &[swing(0.03, 0.13, 0.0)],
    shift_y: &[],
};
const GENTLE_NOD: Curve = Curve {
    pitch: &[swing(4.0, 0.45, 0.6), swing(1.5, 0.19, 0.0)],
    yaw: &[swing(2.5, 0.11, 0.0)],
    roll: &[swing(1.5, 0.23, 0.0)],
    shift_x: &[],
    shift_y: &[swing(0.008, 0.45, 0.6)],
};
const EXCITED_NODDING: Curve = Curve {
    pitch: &[swing(9.0, 1.7, 0.5), swing(3.0, 0.61, 0.2)],
    yaw: &[swing(6.0, 0.43, 0.2), swing(2.0, 1.13, 0.6)],
    roll: &[swing(4.0, 0.71, 0.3)],
    shift_x: &[swing(0.015, 0.43, 0.2)],
    shift_y: &[swing(0.025, 1.7, 0.5)],
};
const EMPHATIC: Curve = Curve {
    pitch: &[swing(10.0, 0.9, 0.9)],
    yaw: &[swing(7.0, 0.37, 0.7)],
    roll: &[swing(4.0, 0.53, 0.7)],
    shift_x: &[],
    shift_y: &[swing(0.02, 0.9, 0.9)],
};
const THOUGHTFUL: Curve = Curve {
    pitch: &[swing(3.0, 0.09, 0.0)],
    yaw: &[swing(6.0, 0.07, 0.0), swing(1.5, 0.29, 0.2)],
    roll: &[swing(7.0, 0.05, 0.0)],
    shift_x: &[swing(0.012, 0.07, 0.0)],
    shift_y: &[],
};

const fn curve(motion: Motion) -> Curve {
    match motion {
        Motion::Still => STILL,
        Motion::SlowSway => SLOW_SWAY,
        Motion::GentleNod => GENTLE_NOD,
        Motion::ExcitedNodding => EXCITED_NODDING,
        Motion::Emphatic => EMPHATIC,
        Motion::Thoughtful => THOUGHTFUL,
    }
}

/// A head's way through a video, evaluated frame by frame.
pub struct HeadMotion {
    curve: Curve,
    phases: [f32; 16],
}

impl HeadMotion {
    /// `motion`, its phases drawn from `seed`.
    pub fn new(motion: Motion, seed: u64) -> Self {
        let mut random = Random::new(seed, Stream::Motion);
        Self { curve: curve(motion), phases: std::array::from_fn(|_| random.between(0.0, TAU)) }
    }

    /// The pose `time` seconds into the video.
    ///
    /// `scale` (0 … 1) is the mood's head motion; `emphasis` (0 … 1) is how loud the voice is. The first second eases
    /// in from the source's own pose.
    pub fn pose(&self, time: f32, scale: f32, emphasis: f32) -> HeadPose {
        let ease = super::expression::smoothstep(time);
        let mut phases = self.phases.iter().cycle();
        let mut sum = |swings: &[Swing]| -> f32 {
            let total: f32 = swings
                .iter()
                .zip(phases.by_ref())
                .map(|(swing, phase)| {
                    let loudness = 1.0 - swing.voiced + swing.voiced * emphasis;
                    swing.amplitude * loudness * (TAU * swing.rate * time + phase).sin()
                })
                .sum();
            total * ease * scale
        };
        HeadPose {
            pitch: sum(self.curve.pitch),
            yaw: sum(self.curve.yaw),
            roll: sum(self.curve.roll),
            shift_x: sum(self.curve.shift_x),
            shift_y: sum(self.curve.shift_y),
            scale: 1.0,
        }
    }
}

/// How loud the voice is in each of `frames` frames: root mean square, 1 at its 95th percentile, softened so that the
/// head follows phrases rather than syllables.
pub fn emphasis(samples: &[f32], sample_rate: u32, fps: u32, frames: usize) -> Vec<f32> {
    let samples_per_frame = f64::from(sample_rate) / f64::from(fps);
    let loudness = |frame: usize| {
        let first = ((frame as f64 * samples_per_frame) as usize).min(samples.len());
        let last = (((frame + 1) as f64 * samples_per_frame) as usize).min(samples.len());
        let window = &samples[first..last];
        let square: f64 = window.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        (square / window.len().max(1) as f64).sqrt() as f32
    };
    let raw: Vec<f32> = (0..frames).map(loudness).collect();
    let mut sorted = raw.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let loud = sorted.get(frames * 95 / 100).copied().unwrap_or(0.0);
    // A fifth of a second to each side.
    let reach = (fps as usize / 5).max(1);
    (0..frames)
        .map(|frame| {
            let around = &raw[frame.saturating_sub(reach)..(frame + reach + 1).min(frames)];
            let mean = around.iter().sum::<f32>() / around.len() as f32;
            if loud > 0.0 { (mean / loud).clamp(0.0, 1.0) } else { 0.0 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(motion: Motion, scale: f32, emphasis: f32) -> f32 {
        let head = HeadMotion::new(motion, 1);
        (0..480)
            .map(|frame| head.pose(frame as f32 / 24.0, scale, emphasis))
            .map(|pose| pose.pitch.abs().max(pose.yaw.abs()).max(pose.roll.abs()))
            .fold(0.0, f32::max)
    }

    #[test]
    fn still_is_still_and_the_others_stay_within_the_models_range() {
        assert_eq!(HeadMotion::new(Motion::Still, 1).pose(7.0, 1.0, 1.0), HeadPose::REST);
        for motion in Motion::ALL.into_iter().filter(|motion| *motion != Motion::Still) {
            for seed in 0..50 {
                let head = HeadMotion::new(motion, seed);
                assert_eq!(
                    head.pose(0.0, 1.0, 1.0),
                    HeadPose::REST,
                    "{motion} does not begin at the source's pose"
                );
                for frame in 0..1080 {
                    let pose = head.pose(frame as f32 / 24.0, 1.0, 1.0);
                    assert!(
                        pose.pitch.abs() <= 15.0 && pose.yaw.abs() <= 25.0 && pose.roll.abs() <= 15.0,
                        "{motion}"
                    );
                    assert!(pose.shift_x.abs() <= 0.19 && pose.shift_y.abs() <= 0.19, "{motion}");
                }
            }
            assert!(reach(motion, 1.0, 1.0) > 3.0, "{motion} hardly moves");
        }
    }

    #[test]
    fn a_loud_voice_moves_an_emphatic_head_and_silence_does_not() {
        assert!(reach(Motion::Emphatic, 1.0, 1.0) > 3.0 * reach(Motion::Emphatic, 1.0, 0.0));
        assert!((reach(Motion::SlowSway, 0.5, 1.0) - 0.5 * reach(Motion::SlowSway, 1.0, 1.0)).abs() < 1e-3);
    }

    #[test]
    fn emphasis_follows_the_voice() {
        let mut samples = vec![0.0f32; 24_000];
        samples.extend((0..24_000).map(|n| (n as f32 * 0.1).sin() * 0.5));
        let loud = emphasis(&samples, 24_000, 24, 60);
        assert!(loud[5] == 0.0 && loud[36] > 0.9 && loud[59] == 0.0, "{loud:?}");
        assert_eq!(emphasis(&[], 24_000, 24, 3), [0.0; 3]);
    }

    #[test]
    fn unknown_presets_name_the_known_ones() {
        let error = "excited_noding".parse::<Motion>().unwrap_err().to_string();
        assert!(error.contains("did you mean \"excited_nodding\"") && error.contains("slow_sway"), "{error}");
    }
}
