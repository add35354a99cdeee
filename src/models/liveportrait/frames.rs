//! A video's frames in order: rendered in batches, reused, blended, seen through the camera and pushed as they are made.
//!
//! Owns the order of the work, the batch's size and the keyframes; never a network. Holds a batch that is rendered, one that
//! leaves meanwhile and the last frame before it, however long the video is.

use super::canvas::Canvas;
use crate::contract::{
    Animate, ErrorClass, FrameSink, Keyframe, ModelError, Progress, RgbFrame, Run, Unit, Warning,
};
use crate::types::{FramePlan, FrameSource, PlannedFrame, Resolution, RgbImage};

/// Frames that may leave without a look at cancellation, where long stretches are reused: a second of video.
const UNWATCHED: u32 = 24;
/// Smallest side of a portrait that still shows a face.
const SMALLEST: u32 = 16;

/// Whoever renders frames.
pub(super) trait Render {
    /// A canvas for each frame, in order. The calling thread carries out `meanwhile` while others compute; where that
    /// cannot be, or where it fails before, perhaps not.
    fn render(
        &mut self,
        frames: &[&PlannedFrame],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<Canvas>, ModelError>;
}

/// What a video came to.
pub(super) struct Played {
    pub(super) rendered: u32,
    pub(super) batch: u32,
    pub(super) keyframes: Vec<Keyframe>,
    pub(super) warnings: Vec<Warning>,
}

/// What must hold before anything is rendered.
pub(super) fn check(job: &Animate) -> Result<(), ModelError> {
    let wrong = |what: String| Err(ModelError::own(what));
    let (frames, size) = (&job.plan.frames, job.image.resolution());
    let Some(last) = u32::try_from(frames.len()).ok().and_then(|count| count.checked_sub(1)) else {
        return wrong(format!("the frame plan has {} frames, at least one is needed", frames.len()));
    };
    if size.width.get().min(size.height.get()) < SMALLEST {
        return wrong(format!("the portrait is {size}, accepted is {SMALLEST}x{SMALLEST} and more"));
    }
    if let Some(place) = job.plan.first_unsourced() {
        let source = frames[place].source;
        return wrong(format!(
            "frame {place} of the plan is {source:?}, but nothing rendered stands before it, or after a blend"
        ));
    }
    for (place, frame) in frames.iter().enumerate() {
        let (pose, face, camera) = (&frame.pose, &frame.face, &frame.camera);
        let values = [
            ("pitch", pose.pitch),
            ("yaw", pose.yaw),
            ("roll", pose.roll),
            ("shift_x", pose.shift_x),
            ("shift_y", pose.shift_y),
            ("scale", pose.scale),
            ("smile", face.smile),
            ("lips", face.lips),
            ("purse", face.purse),
            ("grin", face.grin),
            ("pout", face.pout),
            ("wink", face.wink),
            ("brow", face.brow),
            ("gaze_x", face.gaze_x),
            ("gaze_y", face.gaze_y),
            ("eye_openness", face.eye_openness),
            ("zoom", camera.zoom),
            ("pan_x", camera.pan_x),
            ("pan_y", camera.pan_y),
        ];
        if let Some((name, value)) = values.iter().find(|(_, value)| !value.is_finite()) {
            return wrong(format!(
                "frame {place} of the plan has {name} = {value}, a finite number is needed"
            ));
        }
        for (name, value) in [("scale", pose.scale), ("zoom", camera.zoom)] {
            if value <= 0.0 {
                return wrong(format!("frame {place} of the plan has {name} = {value}, it must be above 0"));
            }
        }
    }
    if let Some(index) = job.keyframes.iter().find(|index| **index > last) {
        return wrong(format!("keyframe {index} is asked for, the last frame is {last}"));
    }
    if !job.keyframes.is_sorted() {
        return wrong(format!("keyframes must ascend, asked for are {:?}", job.keyframes));
    }
    Ok(())
}

/// Plays a checked job. `batch` frames are rendered at a time, half as many after each time that memory ran out.
pub(super) fn play(
    job: &mut Animate,
    renderer: &mut dyn Render,
    batch: u32,
    run: &Run,
) -> Result<Played, ModelError> {
    let plan = std::sync::Arc::clone(&job.plan);
    let to_render: Vec<usize> =
        (0..plan.frames.len()).filter(|place| plan.frames[*place].source == FrameSource::Render).collect();
    let mut leaving = Leaving::new(&plan, job.resolution, &job.keyframes, job.sink.as_mut(), run);
    let (mut batch, mut next, mut warnings) = (batch.max(1), 0, Vec::new());
    // What is rendered but has not left yet.
    let mut waiting = None;
    while next < to_render.len() {
        leaving.step()?;
        let count = (batch as usize).min(to_render.len() - next);
        let places = &to_render[next..next + count];
        let frames: Vec<&PlannedFrame> = places.iter().map(|place| &plan.frames[*place]).collect();
        let mut left = Ok(());
        let rendered = renderer.render(&frames, &mut || {
            if let Some((places, canvases)) = waiting.take() {
                left = leaving.add(places, canvases);
            }
        });
        left?;
        match rendered {
            Ok(canvases) => {
                if let Some((places, canvases)) = waiting.replace((places, canvases)) {
                    leaving.add(places, canvases)?;
                }
                next += count;
                leaving.ahead = count;
            }
            Err(error) if error.class() == ErrorClass::OutOfMemory && count > 1 => {
                let smaller = (count / 2) as u32;
                let what = format!(
                    "memory ran out at {count} frames a batch, going on with {smaller}: {}",
                    error.chain()
                );
                warnings.push(Warning::new("batch_lowered", what));
                batch = smaller;
            }
            Err(error) => return Err(error),
        }
    }
    if let Some((places, canvases)) = waiting {
        leaving.add(places, canvases)?;
    }
    leaving.step()?;
    let keyframes = leaving.keyframes;
    Ok(Played { rendered: to_render.len() as u32, batch, keyframes, warnings })
}

/// Frames on their way out.
struct Leaving<'a> {
    plan: &'a FramePlan,
    size: Resolution,
    wanted: &'a [u32],
    keyframes: Vec<Keyframe>,
    sink: &'a mut dyn FrameSink,
    run: &'a Run,
    /// Rendered frames that are still needed, ascending.
    known: Vec<(usize, Canvas)>,
    /// The next frame to leave.
    cursor: usize,
    /// Rendered frames that are about to leave: progress has been made with them.
    ahead: usize,
    /// The progress that was told last.
    told: usize,
    unwatched: u32,
    pixels: Vec<u8>,
}

impl<'a> Leaving<'a> {
    fn new(
        plan: &'a FramePlan,
        size: Resolution,
        wanted: &'a [u32],
        sink: &'a mut dyn FrameSink,
        run: &'a Run,
    ) -> Self {
        let pixels = vec![0; usize::try_from(size.rgb_bytes().get()).unwrap_or(0)];
        let (keyframes, known) = (Vec::new(), Vec::new());
        Self {
            plan,
            size,
            wanted,
            keyframes,
            sink,
            run,
            known,
            cursor: 0,
            ahead: 0,
            told: 0,
            unwatched: 0,
            pixels,
        }
    }

    fn step(&mut self) -> Result<(), ModelError> {
        self.unwatched = 0;
        let total = self.plan.frames.len();
        self.told = self.told.max(self.cursor + self.ahead).min(total);
        Ok(self.run.step(Progress::new(Unit::Frames, self.told as u32, total as u32))?)
    }

    /// Takes rendered frames in and pushes all frames that have their sources now.
    fn add(&mut self, places: &[usize], canvases: Vec<Canvas>) -> Result<(), ModelError> {
        if let Some(place) = canvases.iter().position(|canvas| !canvas.is_finite()) {
            let place = places[place];
            return Err(ModelError::own(format!(
                "frame {place} was rendered with pixels that are no numbers"
            )));
        }
        self.ahead = 0;
        self.known.extend(places.iter().copied().zip(canvases));
        while let Some(frame) = self.plan.frames.get(self.cursor) {
            let after = self.known.partition_point(|(place, _)| *place <= self.cursor);
            let Some((place, before)) = after.checked_sub(1).and_then(|index| self.known.get(index)) else {
                break;
            };
            let canvas = match frame.source {
                FrameSource::Render if *place != self.cursor => break,
                FrameSource::Render | FrameSource::Reuse => None,
                FrameSource::Blend { weight } => match self.known.get(after) {
                    Some((_, next)) => Some(before.blend(next, weight)),
                    None => break,
                },
            };
            canvas.as_ref().unwrap_or(before).view(&frame.camera, self.size, &mut self.pixels);
            self.push()?;
        }
        // The last one may be reused or blended from in the next batch.
        let last = self.known.len().saturating_sub(1);
        self.known.drain(..last);
        Ok(())
    }

    fn push(&mut self) -> Result<(), ModelError> {
        let index = self.cursor as u32;
        self.sink.push(RgbFrame { index, resolution: self.size, data: &self.pixels })?;
        while self.wanted.get(self.keyframes.len()) == Some(&index) {
            let image = RgbImage::new(self.size, self.pixels.clone())
                .map_err(|error| ModelError::own(format!("keyframe {index}")).because(error))?;
            self.keyframes.push(Keyframe { index, image });
        }
        self.cursor += 1;
        self.unwatched += 1;
        if self.unwatched >= UNWATCHED { self.step() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
