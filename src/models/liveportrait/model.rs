//! The resident model: an `Animate` job in, frames out through its sink.
//!
//! Owns the networks and the sizes of batches. A job's own tensors live in its call and are gone when it returns, however
//! it returns.

use std::num::NonZeroU32;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use parking_lot::Mutex;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::canvas::{Canvas, portrait};
use super::config::Config;
use super::driving::Driver;
use super::files::LivePortraitFiles;
use super::frames::{Render, check, play};
use super::keypoints::KeyPoints;
use super::networks::Networks;
use super::parts::Probe;
use super::warping::Source;
use super::workspace;
use crate::contract::{Animate, Animation, FrameSink, Model, ModelError, RgbFrame, Run, SinkClosed, Warning};
use crate::models::device::{self, Download};
use crate::models::error::Context;
use crate::models::kernels::Kernels;
use crate::models::kernels::buffers::{self, Store};
use crate::models::kernels::conv3::release_scratch;
use crate::profile::timed;
use crate::types::{
    Bytes, CameraView, FaceControls, FramePlan, FrameSource, HeadPose, PlannedFrame, Resolution, RgbImage,
};

/// How a model is loaded and run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Precision of the networks on a device. The processor's kernels work in f32, whatever the weights are stored in.
    pub dtype: DType,
    /// Frames rendered at a time; a constant of the profile.
    pub batch: NonZeroU32,
}

impl Options {
    /// The operators for this precision on `device`.
    pub(super) fn kernels(&self, device: &Device) -> Kernels {
        if device.is_cpu() { Kernels::Fused } else { Kernels::Stock(self.dtype) }
    }
}

/// LivePortrait on a device.
pub struct LivePortraitModel {
    config: Config,
    pub(super) networks: Networks,
    pub(super) kernels: Kernels,
    batch: u32,
    device: Device,
    /// On a processor, the threads that render: nothing but this model's work is theirs, so that a frame which waits for a
    /// part of itself never takes up another model's job meanwhile.
    pool: Option<ThreadPool>,
    /// What the first canary rendered, which every later one must render again.
    canary: Option<Vec<u8>>,
}

impl LivePortraitModel {
    /// Loads what `files` name; `run` sees every tensor and can cancel.
    pub fn load(
        files: &LivePortraitFiles,
        options: &Options,
        device: &Device,
        run: &Run,
    ) -> Result<Self, ModelError> {
        let config = files.config()?;
        let kernels = options.kernels(device);
        let networks = files.networks(&config, kernels, device, run)?;
        Self::new(config, networks, kernels, options.batch.get(), device)
    }

    /// From networks that were built for `kernels` on `device`.
    pub(super) fn new(
        config: Config,
        networks: Networks,
        kernels: Kernels,
        batch: u32,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let pool = device.is_cpu().then(|| {
            let threads = rayon::current_num_threads();
            let named = |place| format!("liveportrait-{place}");
            ThreadPoolBuilder::new().num_threads(threads).thread_name(named).build()
        });
        let pool = pool.transpose().map_err(|error| {
            ModelError::own("the threads that render could not be started").because(error)
        })?;
        Ok(Self { config, networks, kernels, batch, device: device.clone(), pool, canary: None })
    }

    /// Runs `work` where the model computes.
    fn on_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// How many of so many frames are in the networks at a time.
    fn at_once(&self, frames: usize) -> usize {
        at_once(self.kernels, frames, self.pool.as_ref().map_or(1, ThreadPool::current_num_threads))
    }

    fn animate(&self, job: &mut Animate, run: &Run) -> Result<Animation, ModelError> {
        check(job)?;
        let (picture, cut) = portrait(&job.image, self.config.input_shape, &self.device)
            .context(|| format!("preparing a portrait of {}", job.image.resolution()))?;
        let mut renderer = Renderer::of(self, &picture).context(|| "looking at the portrait".into())?;
        drop(picture);
        let played = play(job, &mut renderer, self.batch, run)?;
        let mut warnings = played.warnings;
        if cut {
            let [height, width] = self.config.input_shape;
            let what =
                format!("the portrait is {}, its middle was cut to {width}:{height}", job.image.resolution());
            warnings.insert(0, Warning::new("portrait_cut", what));
        }
        Ok(Animation {
            frames: job.plan.frames.len() as u32,
            rendered: played.rendered,
            batch: played.batch,
            keyframes: played.keyframes,
            warnings,
        })
    }
}

/// Of a batch of `frames`, how many are in the networks at a time: all of them on a device, on a processor one for each of
/// its `threads`.
pub(super) fn at_once(kernels: Kernels, frames: usize, threads: usize) -> usize {
    if kernels == Kernels::Fused { frames.clamp(1, threads.max(1)) } else { frames.max(1) }
}

/// Renders frames of one source.
struct Renderer<'a> {
    model: &'a LivePortraitModel,
    driver: Driver,
    source: Source,
    download: Download,
    /// The memory of spent results goes from frame to frame, whichever thread renders it, and ends with the job.
    spent: Store,
}

impl<'a> Renderer<'a> {
    /// F and M look at the source, once.
    fn of(model: &'a LivePortraitModel, picture: &Tensor) -> candle_core::Result<Self> {
        let spent = Store::default();
        let (driver, source) = model.on_pool(|| spent.lent(|| sources(model, picture)))?;
        Ok(Self { model, driver, source, download: Download::new(), spent })
    }

    /// W and G, for key points that go through them together.
    fn pictures(&self, driving: &[KeyPoints]) -> candle_core::Result<Tensor> {
        let (networks, off) = (&self.model.networks, &mut Probe::off());
        let warped = networks.warping.forward(&self.source, driving, off)?;
        let pictures = networks.generator.forward(&warped, off)?;
        off.spent(warped, self.model.kernels)?;
        Ok(pictures)
    }

    /// All frames in one pass. What the device is asked for goes on while the host does other things.
    fn on_device(
        &mut self,
        frames: &[&PlannedFrame],
        meanwhile: &mut dyn FnMut(),
    ) -> candle_core::Result<Vec<Canvas>> {
        let driving = self.driver.drive(frames, &self.model.networks.retargeting)?;
        let pictures = self.pictures(&driving)?;
        meanwhile();
        Canvas::of(&pictures, &mut self.download)
    }

    /// As many frames at a time as there are threads.
    fn on_threads(&self, frames: &[&PlannedFrame]) -> candle_core::Result<Vec<Canvas>> {
        let driving = self.driver.drive(frames, &self.model.networks.retargeting)?;
        let mut canvases = Vec::with_capacity(frames.len());
        for some in driving.chunks(self.model.at_once(frames.len())) {
            let made = some.par_iter().map(|driving| self.frame(driving));
            canvases.extend(made.collect::<candle_core::Result<Vec<_>>>()?);
        }
        Ok(canvases)
    }

    /// A frame that one thread carries through, as far as the others have frames of their own.
    fn frame(&self, driving: &KeyPoints) -> candle_core::Result<Canvas> {
        self.spent.lent(|| {
            let picture = self.pictures(std::slice::from_ref(driving))?;
            let canvas = Canvas::on_host(&picture)?;
            Probe::off().spent(picture, self.model.kernels)?;
            Ok(canvas)
        })
    }
}

/// What drives a portrait, and what is driven.
fn sources(model: &LivePortraitModel, picture: &Tensor) -> candle_core::Result<(Driver, Source)> {
    let (networks, off) = (&model.networks, &mut Probe::off());
    let Some(motion) = networks.motion.forward(picture, off)?.pop() else {
        candle_core::bail!("no motion was found in the portrait")
    };
    let driver = Driver::new(motion);
    if !driver.source().iter().flatten().all(|value| value.is_finite()) {
        candle_core::bail!("the motion extractor found key points that are no numbers");
    }
    let feature = networks.appearance.forward(&picture.to_dtype(model.kernels.dtype())?, off)?;
    let source = networks.warping.source(feature, vec![driver.source().clone()], off)?;
    Ok((driver, source))
}

/// What threads keep for their next product belongs to the job, as its memory does.
impl Drop for Renderer<'_> {
    fn drop(&mut self) {
        self.model.on_pool(|| rayon::broadcast(|_| buffers::release()));
    }
}

impl Render for Renderer<'_> {
    fn render(
        &mut self,
        frames: &[&PlannedFrame],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<Canvas>, ModelError> {
        let rendered = match &self.model.pool {
            Some(pool) if self.model.kernels == Kernels::Fused => {
                let mut rendered = Ok(Vec::new());
                pool.in_place_scope(|scope| {
                    scope.spawn(|_| rendered = self.on_threads(frames));
                    meanwhile();
                });
                rendered
            }
            _ => self.on_device(frames, meanwhile),
        };
        rendered.context(|| format!("rendering {} frames", frames.len()))
    }
}

impl Model for LivePortraitModel {
    type Job = Animate;
    type Output = Animation;

    fn resident(&self) -> Bytes {
        self.networks.bytes()
    }

    fn workspace(&self, job: &Animate) -> Bytes {
        let frames = job.plan.rendered().clamp(1, self.batch as usize);
        workspace::of(&self.config, self.kernels, [frames, self.at_once(frames)], job.resolution)
    }

    fn run(&mut self, mut job: Animate, run: &Run) -> Result<Animation, ModelError> {
        timed!("liveportrait");
        let result = self.animate(&mut job, run);
        device::settled(&self.device, result)
    }

    /// Renders a drawn face at rest and one that has turned and speaks: all pixels must be numbers, neither picture flat,
    /// the two different, and both what the first canary saw.
    fn canary(&mut self, run: &Run) -> Result<(), ModelError> {
        let frame =
            |pose, face| PlannedFrame { pose, face, camera: CameraView::WHOLE, source: FrameSource::Render };
        let moved = HeadPose { yaw: 15.0, pitch: -8.0, ..HeadPose::REST };
        let speaking = FaceControls { lips: 60.0, smile: 0.5, ..FaceControls::REST };
        let frames = vec![frame(HeadPose::REST, FaceControls::REST), frame(moved, speaking)];
        let [height, width] = self.config.output_shape();
        let resolution = Resolution::new(width as u32, height as u32)
            .ok_or_else(|| ModelError::own("the networks make pictures of no size"))?;
        let seen = Seen::default();
        let mut job = Animate {
            image: Arc::new(drawn_face()?),
            plan: Arc::new(FramePlan { fps: 1, frames }),
            resolution,
            keyframes: Vec::new(),
            sink: Box::new(seen.clone()),
        };
        self.animate(&mut job, run)?;
        let pictures = seen.take();
        let failed = |what: &str| Err(ModelError::own(format!("the canary failed: {what}")));
        let half = pictures.len() / 2;
        let (rest, speaks) = pictures.split_at(half);
        if [rest, speaks].iter().any(|picture| picture.iter().min() == picture.iter().max()) {
            return failed("a rendered picture is flat");
        }
        if rest == speaks {
            return failed("the picture does not follow the key points");
        }
        match &self.canary {
            Some(first) if *first != pictures => failed("the same job gave other pixels than after loading"),
            Some(_) => Ok(()),
            None => {
                self.canary = Some(pictures);
                Ok(())
            }
        }
    }

    fn trim(&mut self) -> Bytes {
        Bytes::new(self.on_pool(release_scratch) as u64).saturating_add(device::trim(&self.device))
    }
}

/// Collects the pixels of a few frames.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl FrameSink for Seen {
    fn push(&mut self, frame: RgbFrame<'_>) -> Result<(), SinkClosed> {
        self.0.lock().extend_from_slice(frame.data);
        Ok(())
    }
}

/// An oval with eyes and a mouth on a two-coloured ground: something with edges where faces have them.
fn drawn_face() -> Result<RgbImage, ModelError> {
    const SIDE: u32 = 64;
    let inside =
        |x: f32, y: f32, [cx, cy, rx, ry]: [f32; 4]| ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0;
    let pixels = (0..SIDE * SIDE).flat_map(|place| {
        let [x, y] = [place % SIDE, place / SIDE].map(|at| at as f32 / SIDE as f32);
        let eyes = inside(x, y, [0.37, 0.42, 0.06, 0.03]) || inside(x, y, [0.63, 0.42, 0.06, 0.03]);
        if eyes || inside(x, y, [0.5, 0.72, 0.12, 0.03]) {
            [40, 20, 30]
        } else if inside(x, y, [0.5, 0.52, 0.3, 0.4]) {
            [225, 180, 150]
        } else {
            [60, (120.0 + 100.0 * y) as u8, 200]
        }
    });
    Resolution::new(SIDE, SIDE).ok_or_else(|| ModelError::own("a picture without sides")).and_then(|size| {
        RgbImage::new(size, pixels.collect()).map_err(|error| ModelError::own("a face").because(error))
    })
}
