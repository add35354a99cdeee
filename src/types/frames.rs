//! What is to be seen in every frame of a video: the frame plan that `direction` writes and the animator carries out.

use serde::{Deserialize, Serialize};

/// A head's pose relative to the source picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadPose {
    /// Nodding, degrees.
    pub pitch: f32,
    /// Turning, degrees.
    pub yaw: f32,
    /// Tilting, degrees.
    pub roll: f32,
    /// Sideways shift, in LivePortrait's normalised key-point units.
    pub shift_x: f32,
    /// Vertical shift, in the same units.
    pub shift_y: f32,
    /// Size relative to the source.
    pub scale: f32,
}

impl HeadPose {
    /// As in the source picture.
    pub const REST: Self = Self { pitch: 0.0, yaw: 0.0, roll: 0.0, shift_x: 0.0, shift_y: 0.0, scale: 1.0 };
}

/// A face's expression as LivePortrait's editing controls; their units and ranges are those of its gradio pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceControls {
    /// −0.3 … 1.3.
    pub smile: f32,
    /// Lips from closed (−90) to wide open (120); 0 is as in the source.
    pub lips: f32,
    /// −20 … 15.
    pub purse: f32,
    /// 0 … 15.
    pub grin: f32,
    /// −0.09 … 0.09.
    pub pout: f32,
    /// 0 … 39.
    pub wink: f32,
    /// −30 … 30.
    pub brow: f32,
    /// −30 … 30.
    pub gaze_x: f32,
    /// −63 … 63.
    pub gaze_y: f32,
    /// Eyes from closed (0) to wide open (1), relative to nothing: the eye retargeting network's target.
    pub eye_openness: f32,
}

impl FaceControls {
    /// As in the source picture, eyes half open as the `neutral` expression has them.
    pub const REST: Self = Self {
        smile: 0.0,
        lips: 0.0,
        purse: 0.0,
        grin: 0.0,
        pout: 0.0,
        wink: 0.0,
        brow: 0.0,
        gaze_x: 0.0,
        gaze_y: 0.0,
        eye_openness: 0.5,
    };
}

/// What the camera sees of the finished frame: an affine view, sampled sub-pixel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraView {
    /// Magnification; 1 shows all, larger shows less.
    pub zoom: f32,
    /// Shift of the view's centre, as a share of the frame's width.
    pub pan_x: f32,
    /// Shift of the view's centre, as a share of the frame's height.
    pub pan_y: f32,
}

impl CameraView {
    /// The whole frame.
    pub const WHOLE: Self = Self { zoom: 1.0, pan_x: 0.0, pan_y: 0.0 };
}

/// Where a frame's pixels come from; the camera's view is applied to all of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameSource {
    /// The networks render it.
    Render,
    /// The last rendered frame again: nothing visible has moved.
    Reuse,
    /// Between the last and the next rendered frame: `1 − weight` of the one, `weight` of the other.
    Blend {
        /// Share of the next rendered frame, above 0 and below 1.
        weight: f32,
    },
}

/// One frame of the finished video.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFrame {
    /// The head.
    pub pose: HeadPose,
    /// The face.
    pub face: FaceControls,
    /// The view.
    pub camera: CameraView,
    /// Where its pixels come from.
    pub source: FrameSource,
}

/// A whole video, frame by frame, fixed before the first is rendered and recorded in the result.
///
/// The first frame is rendered, and a rendered frame follows every blended one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FramePlan {
    /// Frames a second.
    pub fps: u32,
    /// Every frame, in order.
    pub frames: Vec<PlannedFrame>,
}

impl FramePlan {
    /// How many frames the networks render.
    pub fn rendered(&self) -> usize {
        self.frames.iter().filter(|frame| frame.source == FrameSource::Render).count()
    }

    /// The first frame whose source cannot be had: nothing rendered before it, or none after a blend.
    pub fn first_unsourced(&self) -> Option<usize> {
        let is_rendered = |frame: &PlannedFrame| frame.source == FrameSource::Render;
        let first = self.frames.iter().position(is_rendered);
        let last = self.frames.iter().rposition(is_rendered);
        self.frames.iter().enumerate().position(|(place, frame)| match frame.source {
            FrameSource::Render => false,
            FrameSource::Reuse => first.is_none_or(|first| first > place),
            FrameSource::Blend { weight } => {
                first.is_none_or(|first| first > place)
                    || last.is_none_or(|last| last < place)
                    || !(weight > 0.0 && weight < 1.0)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sources: &[FrameSource]) -> FramePlan {
        let frame = |source: &FrameSource| PlannedFrame {
            pose: HeadPose::REST,
            face: FaceControls::REST,
            camera: CameraView::WHOLE,
            source: *source,
        };
        FramePlan { fps: 24, frames: sources.iter().map(frame).collect() }
    }

    #[test]
    fn a_frame_without_a_source_is_found() {
        use FrameSource::{Blend, Render, Reuse};
        let half = Blend { weight: 0.5 };
        assert_eq!(plan(&[Render, half, Render, Reuse]).first_unsourced(), None);
        assert_eq!(plan(&[Render, half]).first_unsourced(), Some(1));
        assert_eq!(plan(&[Reuse, Render]).first_unsourced(), Some(0));
        assert_eq!(plan(&[Render, Blend { weight: 1.0 }, Render]).first_unsourced(), Some(1));
        assert_eq!(plan(&[Render, Blend { weight: f32::NAN }, Render]).first_unsourced(), Some(1));
        assert_eq!(plan(&[Render, half, Render, Reuse]).rendered(), 2);
    }
}
