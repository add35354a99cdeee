//! From planned frames to driving key points: pose, editing controls, eye and lip retargeting, stitching.
//!
//! Follows the published pipeline: x = scale · s · (x_c · R + δ) + t, what the retargeting networks add, and last the
//! stitching network. The published pipeline measures the source's eyes and lips on landmarks that need a detector; there
//! is none here, so the two ratios are assumed, and what a frame asks is told relative to them.

use candle_core::Result;

use super::controls;
use super::keypoints::{KeyPoints, Motion, place, rotation};
use super::retargeting::Retargeting;
use crate::types::{FaceControls, PlannedFrame};

/// Assumed openness of the source's eyes (height by width): common for eyes at rest, and half of [`WIDEST_EYES`].
const SOURCE_EYES: f32 = 0.4;
/// Openness of eyes as wide as they go; the end of the published slider.
const WIDEST_EYES: f32 = 0.8;
/// Assumed openness of the source's lips: closed or nearly so.
const SOURCE_LIPS: f32 = 0.1;
/// How far the lip control goes down until lips touch; the rest of its range is for sources with an open mouth.
const LIPS_TOUCH: f32 = 45.0;

/// A source's motion and where that puts its key points.
pub(super) struct Driver {
    motion: Motion,
    source: KeyPoints,
}

impl Driver {
    pub(super) fn new(motion: Motion) -> Self {
        let source = motion.key_points();
        Self { motion, source }
    }

    /// The source's own key points.
    pub(super) fn source(&self) -> &KeyPoints {
        &self.source
    }

    /// The driving key points of `frames`.
    pub(super) fn drive(&self, frames: &[&PlannedFrame], networks: &Retargeting) -> Result<Vec<KeyPoints>> {
        let mut driving: Vec<KeyPoints> = frames.iter().map(|frame| self.posed(frame)).collect();
        // As published: who asks for the source's own eyes or lips gets them untouched.
        let eyes = |face: &FaceControls| {
            let wanted = face.eye_openness.clamp(0.0, 1.0) * WIDEST_EYES;
            (wanted != SOURCE_EYES).then_some([SOURCE_EYES, SOURCE_EYES, wanted])
        };
        let lips = |face: &FaceControls| {
            (face.lips < 0.0).then(|| [SOURCE_LIPS, SOURCE_LIPS * (1.0 + face.lips / LIPS_TOUCH).max(0.0)])
        };
        self.add(&mut driving, frames, eyes, |source, ratios| networks.eyes(source, ratios))?;
        self.add(&mut driving, frames, lips, |source, ratios| networks.lips(source, ratios))?;
        networks.stitch(&vec![self.source.clone(); frames.len()], &driving)
    }

    /// Pose and editing controls alone.
    fn posed(&self, frame: &PlannedFrame) -> KeyPoints {
        let (pose, motion) = (&frame.pose, &self.motion);
        let [pitch, yaw, roll] = motion.angles;
        let turned = rotation([pitch + pose.pitch, yaw + pose.yaw, roll + pose.roll]);
        let mut expression = motion.expression.clone();
        controls::apply(&frame.face, pose, &mut expression);
        let scale = motion.scale * pose.scale;
        let points = motion.canonical.iter().zip(expression);
        points.map(|(point, delta)| place(*point, &turned, delta, scale, motion.shift)).collect()
    }

    /// Adds what a retargeting network says to the frames that ask for it, all at once.
    fn add<const N: usize>(
        &self,
        driving: &mut [KeyPoints],
        frames: &[&PlannedFrame],
        ratios: impl Fn(&FaceControls) -> Option<[f32; N]>,
        network: impl FnOnce(&[KeyPoints], &[[f32; N]]) -> Result<Vec<KeyPoints>>,
    ) -> Result<()> {
        let asked: Vec<(usize, [f32; N])> = frames
            .iter()
            .enumerate()
            .filter_map(|(place, frame)| ratios(&frame.face).map(|ratios| (place, ratios)))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let ratios: Vec<[f32; N]> = asked.iter().map(|(_, ratios)| *ratios).collect();
        let deltas = network(&vec![self.source.clone(); asked.len()], &ratios)?;
        for ((place, _), delta) in asked.iter().zip(deltas) {
            for (point, delta) in driving[*place].iter_mut().zip(delta) {
                point.iter_mut().zip(delta).for_each(|(value, delta)| *value += delta);
            }
        }
        Ok(())
    }
}
