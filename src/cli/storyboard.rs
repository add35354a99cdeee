//! `vortex-node storyboard`: contact sheets and film strips of the directions that presets give, drawn without a model.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{ConfigFlags, Context, Failed};
use crate::direction::camera::Camera;
use crate::direction::expression::Expression;
use crate::direction::motion::Motion;
use crate::direction::storyboard::{draw, sheet};
use crate::direction::{Direction, direct};
use crate::exit::Exit;
use crate::files::{Existing, Readers, write_whole};
use crate::media::png;
use crate::types::{Pcm, Phoneme, PlannedFrame, Resolution, RgbImage, SAMPLE_RATE, Timeline, with_path};

/// Pixels between two pictures of a sheet.
const GAP: u32 = 4;
/// Pictures in a row of the contact sheet.
const COLUMNS: usize = 12;

/// Arguments of `storyboard`.
#[derive(Debug, Args)]
pub struct StoryboardCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One row for every motion, expression and camera preset, over the video's time
    Presets(Out),
    /// Every n-th frame of one direction, in reading order
    Strip {
        #[command(flatten)]
        out: Out,
        /// How the head moves
        #[arg(long, default_value_t = Motion::GentleNod)]
        motion: Motion,
        /// Expressions, separated by commas; they share the time evenly
        #[arg(long, value_delimiter = ',', default_value = "neutral")]
        expressions: Vec<Expression>,
        /// How the camera moves
        #[arg(long, default_value_t = Camera::None)]
        camera: Camera,
        /// Show every n-th frame
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
        every: u16,
    },
}

/// What both kinds of sheet take.
#[derive(Debug, Args)]
struct Out {
    /// The PNG file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Phonemes to speak, one symbol a sound, a space for a pause
    #[arg(long, default_value = "bɑ mɑ pɑ həlˈO wˈɜɹld ")]
    phonemes: String,
    /// Length of the video in seconds
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Frames a second
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
    /// Of blinks, gaze and phases
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Width and height of each picture in pixels
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(16..=1024))]
    side: u32,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl StoryboardCommand {
    /// A storyboard needs no settings.
    pub fn config_flags(&self) -> Option<&ConfigFlags> {
        None
    }

    /// Does what was asked.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        match self.what {
            What::Presets(out) => presets(&out, context),
            What::Strip { out, motion, expressions, camera, every } => {
                let frames = out.frames(motion, &expressions, camera)?;
                let chosen: Vec<&PlannedFrame> = frames.iter().step_by(usize::from(every)).collect();
                let rows = chosen.chunks(COLUMNS).map(|row| out.drawn(row)).collect::<Result<Vec<_>, _>>()?;
                out.finish(&rows, &[], context)
            }
        }
    }
}

fn presets(out: &Out, context: &mut Context<'_>) -> Result<Exit, Failed> {
    let motions = Motion::ALL.map(|motion| (motion.name(), motion, Expression::Excited, Camera::None));
    let moods = Expression::ALL.map(|mood| (mood.name(), Motion::GentleNod, mood, Camera::None));
    let cameras = Camera::ALL.map(|camera| (camera.name(), Motion::Still, Expression::Neutral, camera));
    let mut rows = Vec::new();
    let mut names = Vec::new();
    for (name, motion, mood, camera) in motions.into_iter().chain(moods).chain(cameras) {
        let frames = out.frames(motion, &[mood], camera)?;
        let place = |column: usize| column * (frames.len() - 1) / (COLUMNS - 1);
        let chosen: Vec<&PlannedFrame> = (0..COLUMNS).map(|column| &frames[place(column)]).collect();
        rows.push(out.drawn(&chosen)?);
        names.push(name);
    }
    out.finish(&rows, &names, context)
}

impl Out {
    /// Every frame of a direction that speaks the phonemes evenly over the video's time.
    fn frames(
        &self,
        motion: Motion,
        expressions: &[Expression],
        camera: Camera,
    ) -> Result<Vec<PlannedFrame>, Failed> {
        let duration = Duration::try_from_secs_f64(self.seconds)
            .ok()
            .filter(|duration| *duration <= crate::recipe::LONGEST)
            .ok_or_else(|| Failed::bad_input(format!("--seconds {} is not from 0 to 45", self.seconds)))?;
        let symbols: Vec<String> = self.phonemes.chars().map(String::from).collect();
        let total = (duration.as_secs_f64() * f64::from(SAMPLE_RATE)) as u64;
        let each = total / symbols.len().max(1) as u64;
        let phoneme = |(start, symbol): (u64, String)| Phoneme { symbol, start, end: start + each };
        let phonemes: Vec<Phoneme> = (0..).step_by(each.max(1) as usize).zip(symbols).map(phoneme).collect();
        // A voice that is as loud as its phonemes: a tone wherever something is said.
        let mut samples = vec![0.0f32; total as usize];
        for sound in phonemes.iter().filter(|sound| !sound.symbol.trim().is_empty()) {
            let range = sound.start.min(total) as usize..sound.end.min(total) as usize;
            samples[range]
                .iter_mut()
                .enumerate()
                .for_each(|(n, sample)| *sample = 0.3 * (0.05 * n as f32).sin());
        }
        let timeline = Timeline::new(SAMPLE_RATE, total, phonemes)
            .map_err(|error| Failed::bad_input(error.to_string()))?;
        let directed = direct(&Direction {
            timeline: &timeline,
            voice: &Pcm { sample_rate: SAMPLE_RATE, samples },
            duration,
            fps: self.fps,
            motion,
            expressions,
            camera,
            seed: self.seed,
        })
        .map_err(|error| Failed::bad_input(error.to_string()))?;
        Ok(directed.frames)
    }

    fn drawn(&self, frames: &[&PlannedFrame]) -> Result<Vec<RgbImage>, Failed> {
        let side = Resolution::new(self.side, self.side)
            .ok_or_else(|| Failed::bad_input(format!("--side {} is not above zero", self.side)))?;
        Ok(frames.iter().map(|frame| draw(frame, side)).collect())
    }

    fn finish(
        &self,
        rows: &[Vec<RgbImage>],
        names: &[&str],
        context: &mut Context<'_>,
    ) -> Result<Exit, Failed> {
        let whole = sheet(rows, GAP).ok_or_else(|| Failed::bad_input("there is no frame to draw"))?;
        write_png(&self.output, &whole)?;
        let (width, height) = (whole.width(), whole.height());
        if self.json {
            let answer = json!({ "width": width, "height": height, "rows": names });
            context.console.json(&with_path(answer, "file", &self.output))?;
            return Ok(Exit::Success);
        }
        writeln!(context.console.out(), "{}: {width}x{height}", self.output.display())?;
        for (row, name) in names.iter().enumerate() {
            writeln!(context.console.out(), "row {:2}  {name}", row + 1)?;
        }
        Ok(Exit::Success)
    }
}

fn write_png(path: &Path, image: &RgbImage) -> Result<(), Failed> {
    let failed =
        |error: std::io::Error| Failed::failure(format!("{} cannot be written: {error}", path.display()));
    let file = png::encode(image).map_err(failed)?;
    write_whole(path, Existing::Replace, Readers::Umask, |out| out.write_all(&file)).map_err(failed)
}
