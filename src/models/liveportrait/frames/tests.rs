//! Order, sources, batches, memory and cancellation, with a renderer of flat colours.

use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor};

use super::*;
use crate::contract::{CancelFlag, Observe, SinkClosed};
use crate::models::device::Download;
use crate::types::{CameraView, FaceControls, HeadPose};

/// Renders a frame as its yaw in grey, and counts the canvases that are alive.
#[derive(Default)]
struct Grey {
    batches: Vec<usize>,
    /// Runs out of memory above this many frames.
    most: Option<usize>,
    broken: bool,
    /// Does nothing meanwhile.
    alone: bool,
}

impl Render for Grey {
    fn render(
        &mut self,
        frames: &[&PlannedFrame],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<Canvas>, ModelError> {
        if self.most.is_some_and(|most| frames.len() > most) {
            return Err(ModelError::out_of_memory("no room"));
        }
        self.batches.push(frames.len());
        if !self.alone {
            meanwhile();
        }
        let grey = |frame: &&PlannedFrame| if self.broken { f32::NAN } else { frame.pose.yaw / 255.0 };
        let values: Vec<f32> = frames.iter().flat_map(|frame| [grey(frame); 12]).collect();
        let tensor = Tensor::from_vec(values, (frames.len(), 3, 2, 2), &Device::Cpu).unwrap();
        Ok(Canvas::of(&tensor, &mut Download::new()).unwrap())
    }
}

/// Index and first byte of every frame.
#[derive(Clone, Default)]
struct Film(Arc<Mutex<Vec<(u32, u8)>>>);

impl FrameSink for Film {
    fn push(&mut self, frame: RgbFrame<'_>) -> Result<(), SinkClosed> {
        assert_eq!(frame.data.len() as u64, frame.resolution.rgb_bytes().get());
        self.0.lock().unwrap().push((frame.index, frame.data[0]));
        Ok(())
    }
}

fn frame(yaw: f32, source: FrameSource) -> PlannedFrame {
    let pose = HeadPose { yaw, ..HeadPose::REST };
    PlannedFrame { pose, face: FaceControls::REST, camera: CameraView::WHOLE, source }
}

fn job(frames: Vec<PlannedFrame>, keyframes: Vec<u32>, film: &Film) -> Animate {
    let size = Resolution::new(16, 16).unwrap();
    Animate {
        image: Arc::new(RgbImage::new(size, vec![0; 768]).unwrap()),
        plan: Arc::new(FramePlan { fps: 24, frames }),
        resolution: Resolution::new(2, 2).unwrap(),
        keyframes,
        sink: Box::new(film.clone()),
    }
}

use FrameSource::{Blend, Render as Rendered, Reuse};

#[test]
fn every_frame_leaves_once_in_order_whatever_the_batch() {
    let half = Blend { weight: 0.5 };
    let plan = || {
        let sources =
            [Rendered, Rendered, half, Reuse, Rendered, Reuse, half, Blend { weight: 0.25 }, Rendered, Reuse];
        sources.iter().enumerate().map(|(i, source)| frame(i as f32 * 20.0, *source)).collect::<Vec<_>>()
    };
    // Rendered: 0, 20, 80, 160 at places 0, 1, 4, 8.
    let expected = [0, 20, 50, 20, 80, 80, 120, 100, 160, 160];
    for (batch, alone) in (1..6).flat_map(|batch| [(batch, false), (batch, true)]) {
        let (film, mut grey) = (Film::default(), Grey { alone, ..Grey::default() });
        let mut job = job(plan(), vec![0, 2, 2, 9], &film);
        let played = play(&mut job, &mut grey, batch, &Run::unobserved()).unwrap();
        let film: Vec<(u32, u8)> = film.0.lock().unwrap().clone();
        assert_eq!(film, (0..10).zip(expected).collect::<Vec<_>>(), "batch {batch}");
        assert_eq!((played.rendered, played.batch), (4, batch));
        let keys: Vec<(u32, u8)> =
            played.keyframes.iter().map(|key| (key.index, key.image.data()[0])).collect();
        assert_eq!(keys, [(0, 0), (2, 50), (2, 50), (9, 160)]);
        assert!(grey.batches.iter().all(|count| *count <= batch as usize));
    }
}

#[test]
fn memory_that_runs_out_halves_the_batch_and_says_so() {
    let (film, mut grey) = (Film::default(), Grey { most: Some(3), ..Grey::default() });
    let frames = (0..20).map(|i| frame(i as f32, Rendered)).collect();
    let played = play(&mut job(frames, vec![], &film), &mut grey, 16, &Run::unobserved()).unwrap();
    assert_eq!(played.batch, 2);
    assert!(grey.batches.iter().all(|count| *count == 2));
    let codes: Vec<&str> = played.warnings.iter().map(|warning| warning.code.as_ref()).collect();
    assert_eq!(codes, ["batch_lowered"; 3]);
    assert_eq!(film.0.lock().unwrap().len(), 20);

    let (film, mut none) = (Film::default(), Grey { most: Some(0), ..Grey::default() });
    let error = play(&mut job(vec![frame(0.0, Rendered)], vec![], &film), &mut none, 4, &Run::unobserved());
    assert_eq!(error.err().map(|error| error.class()), Some(ErrorClass::OutOfMemory));
}

#[test]
fn what_is_kept_does_not_grow_with_the_video() {
    let sources = [Rendered, Reuse, Blend { weight: 0.5 }];
    let frames: Vec<PlannedFrame> =
        (0..1081).map(|i| frame(0.0, if i == 1080 { Rendered } else { sources[i % 3] })).collect();
    let plan = FramePlan { fps: 24, frames };
    let (mut film, run) = (Film::default(), Run::unobserved());
    let mut leaving = Leaving::new(&plan, Resolution::new(2, 2).unwrap(), &[], &mut film, &run);
    let places: Vec<usize> = (0..1081).filter(|i| plan.frames[*i].source == Rendered).collect();
    for places in places.chunks(4) {
        let grey: Vec<&PlannedFrame> = places.iter().map(|place| &plan.frames[*place]).collect();
        leaving.add(places, Grey::default().render(&grey, &mut || {}).unwrap()).unwrap();
        assert_eq!(leaving.known.len(), 1, "only the last frame of a batch outlives it");
    }
    assert_eq!(leaving.cursor, 1081);
}

#[test]
fn a_cancelled_job_stops_between_batches_and_within_long_stretches_of_reuse() {
    struct StopAt(u32, CancelFlag);
    impl Observe for StopAt {
        fn step(&self, progress: Progress) {
            assert_eq!(progress.unit, Unit::Frames);
            if progress.done >= self.0 {
                self.1.cancel();
            }
        }
    }
    // Two are rendered and have not left when the job is cancelled.
    for (source, left) in [(Rendered, 4..=4), (Reuse, 5..=5 + UNWATCHED as usize)] {
        let film = Film::default();
        let frames = (0..200).map(|i| frame(0.0, if i == 0 { Rendered } else { source })).collect();
        let cancel = CancelFlag::new();
        let run = Run::new(cancel.clone(), Arc::new(StopAt(5, cancel.clone())));
        let error = play(&mut job(frames, vec![], &film), &mut Grey::default(), 2, &run);
        assert_eq!(error.err().map(|error| error.class()), Some(ErrorClass::Cancelled));
        let count = film.0.lock().unwrap().len();
        assert!(left.contains(&count), "{source:?}: {count}");
    }
}

#[test]
fn frames_leave_while_the_next_are_rendered_and_progress_never_goes_back() {
    /// How many had left by the end of each batch, and all progress.
    #[derive(Default)]
    struct Watched(Film, Vec<usize>);
    impl Render for Watched {
        fn render(
            &mut self,
            frames: &[&PlannedFrame],
            meanwhile: &mut dyn FnMut(),
        ) -> Result<Vec<Canvas>, ModelError> {
            let canvases = Grey::default().render(frames, meanwhile);
            self.1.push(self.0.0.lock().unwrap().len());
            canvases
        }
    }
    #[derive(Default)]
    struct Told(Mutex<Vec<u32>>);
    impl Observe for Told {
        fn step(&self, progress: Progress) {
            self.0.lock().unwrap().push(progress.done);
        }
    }
    let film = Film::default();
    let frames = (0..100).map(|i| frame(i as f32, Rendered)).collect();
    let told = Arc::new(Told::default());
    let mut watched = Watched(film.clone(), Vec::new());
    let run = Run::new(CancelFlag::new(), told.clone());
    play(&mut job(frames, vec![], &film), &mut watched, 40, &run).unwrap();
    assert_eq!(watched.1, [0, 40, 80]);
    assert_eq!(*told.0.lock().unwrap(), [0, 40, 40, 80, 80, 88, 100]);
}

#[test]
fn a_frame_without_numbers_never_leaves() {
    let (film, mut broken) = (Film::default(), Grey { broken: true, ..Grey::default() });
    let frames = vec![frame(0.0, Rendered)];
    let error = play(&mut job(frames, vec![], &film), &mut broken, 1, &Run::unobserved()).err().unwrap();
    assert!(error.chain().contains("frame 0") && film.0.lock().unwrap().is_empty());
}

#[test]
fn a_sink_that_has_gone_ends_the_job() {
    struct Gone;
    impl FrameSink for Gone {
        fn push(&mut self, _: RgbFrame<'_>) -> Result<(), SinkClosed> {
            Err(SinkClosed { reason: "encoder died".into() })
        }
    }
    let film = Film::default();
    let job = Animate { sink: Box::new(Gone), ..job(vec![frame(0.0, Rendered)], vec![], &film) };
    let error = play(&mut { job }, &mut Grey::default(), 1, &Run::unobserved()).err().unwrap();
    assert!(error.chain().contains("encoder died"));
}

#[test]
fn jobs_that_cannot_be_done_say_why() {
    let film = Film::default();
    let good = || job(vec![frame(0.0, Rendered), frame(1.0, Reuse)], vec![0, 1], &film);
    assert!(check(&good()).is_ok());
    let refused = |change: &dyn Fn(&mut Animate), named: &str| {
        let mut job = good();
        change(&mut job);
        let error = check(&job).unwrap_err().chain();
        assert!(error.contains(named), "{error}");
    };
    let with =
        |job: &mut Animate, frames: Vec<PlannedFrame>| job.plan = Arc::new(FramePlan { fps: 24, frames });
    refused(&|job| with(job, vec![]), "0 frames");
    refused(&|job| with(job, vec![frame(0.0, Reuse)]), "frame 0");
    refused(&|job| with(job, vec![frame(0.0, Rendered), frame(0.0, Blend { weight: 0.5 })]), "frame 1");
    refused(&|job| with(job, vec![frame(f32::NAN, Rendered), frame(0.0, Rendered)]), "yaw = NaN");
    refused(
        &|job| {
            let mut zoomed = frame(0.0, Rendered);
            zoomed.camera.zoom = 0.0;
            with(job, vec![frame(0.0, Rendered), zoomed]);
        },
        "zoom = 0",
    );
    refused(&|job| job.keyframes = vec![0, 2], "keyframe 2");
    refused(&|job| job.keyframes = vec![1, 0], "ascend");
    refused(
        &|job| job.image = Arc::new(RgbImage::new(Resolution::new(15, 99).unwrap(), vec![0; 4455]).unwrap()),
        "15x99",
    );
}
