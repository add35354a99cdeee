//! Kokoro against hexgrad's own implementation, in stages that each start from what was recorded of the stage before:
//! end to end a phase of thousands of radians leaves f32 nothing of its fraction.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result as CandleResult, Tensor};

use super::judge::Rule;
use super::{Form, Sheet};
use crate::contract::{ModelError, Run};
use crate::models::catalog;
use crate::models::error::Context;
use crate::models::kernels::Kernels;
use crate::models::kokoro::config::KokoroConfig;
use crate::models::kokoro::net::{Net, Style, Timing};
use crate::models::kokoro::source::NoiseOf;
use crate::models::weights::{self, Options, Weights};
use crate::types::Emotion;

/// Of sines of such phases.
const SOURCE: f64 = 1e-2;
/// Of angles, in radians, where a bin is louder than a thousandth of the loudest: an angle is as uncertain as f32's
/// error over its magnitude.
const ANGLE: f64 = 1e-3;
const LOUD: f32 = 1e-3;
/// Of the angles of DC and Nyquist, which are exactly 0 or π.
const REAL: f64 = 1e-6;
/// From ids to sound: the reference correlates with itself in f64 at 0.996.
const END_TO_END: f64 = 1e-2;

/// On the processor both forms of the operators; a card has one.
pub(super) fn forms(is_card: bool) -> Vec<Form<Kernels>> {
    let form = |precision, here| Form { precision, here, on_processor: Kernels::Fused };
    let portable = form("f32 portable", Kernels::Stock(DType::F32));
    if is_card {
        vec![Form { precision: "f32", ..portable }]
    } else {
        vec![form("f32", Kernels::Fused), portable]
    }
}

/// A set's network and its inputs.
pub struct Case {
    /// The network.
    pub net: Net,
    /// Its sizes.
    pub config: KokoroConfig,
    /// The text.
    pub ids: Tensor,
    /// The voice.
    pub style: Style,
    /// The recorded durations and encoder output, so that a later stage starts from the reference's own.
    pub timing: Timing,
}

/// The weights among a folder's files.
fn weights_of(folder: &Path) -> Result<PathBuf, ModelError> {
    let lost = || ModelError::own(format!("{} holds no kokoro*.safetensors", folder.display()));
    let files = std::fs::read_dir(folder).map_err(|error| lost().because(error))?;
    let mut files = files.flatten().map(|entry| entry.path());
    let is_weights = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("kokoro") && name.ends_with(".safetensors")
    };
    files.find(is_weights).ok_or_else(lost)
}

impl Case {
    /// Loads the network of `folder`, whose recording `sheet` has.
    pub fn open(folder: &Path, kernels: Kernels, device: &Device, sheet: &Sheet) -> Result<Self, ModelError> {
        let file = folder.join("config.json");
        let mut config = KokoroConfig::parse(&super::recorded::text(&file)?, &file.display().to_string())?;
        let stored = Weights::open([weights_of(folder)?])?;
        // As a load does it: widths that the published configuration leaves out are the weights' own.
        config.take_widths(|name| stored.shape_as(name));
        let weights = catalog::kokoro(&config)?.sound_weights(stored)?;
        let options = Options::new(DType::F32, device);
        let (net, _) =
            weights::load(&weights, &options, &Run::unobserved(), |vb| Net::new(&config, &vb, kernels))?;
        let io = &sheet.recorded;
        let frames = io.ids("out.pred_dur")?.into_iter().map(|frames| frames as usize).collect();
        let (ids, style) = (io.ids("in.input_ids")?, io.floats("in.ref_s")?);
        let encoded = io.output("duration_encoder")?;
        let inputs =
            || -> CandleResult<_> { Ok((net.ids(&ids)?, net.style(&style)?, encoded.to_device(device)?)) };
        let (ids, style, encoded) = inputs().context(|| format!("carrying over {}", folder.display()))?;
        Ok(Self { net, config, ids, style, timing: Timing { frames, encoded } })
    }
}

/// Loads the network of `folder` and shows what each of its stages makes of what was recorded before it.
pub fn run(folder: &Path, kernels: Kernels, device: &Device, sheet: &mut Sheet) -> Result<(), ModelError> {
    let case = Case::open(folder, kernels, device, sheet)?;
    let io = &sheet.recorded;
    let at = |name: &str| -> Result<Tensor, ModelError> {
        io.tensor(name)?.to_device(device).context(|| format!("carrying over {name}"))
    };
    let last = io.output_names().into_iter().filter_map(|name| name.strip_prefix("dec.decode")?.parse().ok());
    let last: usize = last.max().ok_or_else(|| ModelError::own("no dec.decode is recorded"))?;
    let recorded = Stages {
        logits: at("out.duration_logits")?,
        text: at("out.text_encoder")?,
        f0: at("out.F0")?,
        energy: at("out.N")?,
        features: at(&format!("out.dec.decode{last}"))?,
        har: [at("out.har_spec")?, at("out.har_phase")?],
        spec: [at("out.spec")?, at("out.phase")?],
        speed: io.floats("in.speed")?.first().copied().unwrap_or(1.0),
        f0_values: io.floats("out.F0")?,
        noise: io.floats("in.noise")?,
        excitation: io.floats("out.gen.har_source")?,
        last,
    };
    prosody(&case, &recorded, sheet)
        .and_then(|()| decoder(&case, &recorded, sheet))
        .and_then(|()| source(&case, &recorded, device, sheet))
        .and_then(|()| vocoder(&case, &recorded, sheet))
        .and_then(|()| end_to_end(&case, &recorded, sheet))
        .context(|| format!("running {}", folder.display()))
}

/// What later stages start from.
struct Stages {
    logits: Tensor,
    text: Tensor,
    f0: Tensor,
    energy: Tensor,
    features: Tensor,
    har: [Tensor; 2],
    spec: [Tensor; 2],
    speed: f32,
    f0_values: Vec<f32>,
    noise: Vec<f32>,
    excitation: Vec<f32>,
    last: usize,
}

/// Ids to durations, and durations to F0 and energy.
fn prosody(case: &Case, recorded: &Stages, sheet: &mut Sheet) -> CandleResult<()> {
    let Case { net, ids, style, timing, .. } = case;
    let predictor = net.predictor();
    let contextual = net.contextual(ids)?;
    sheet.put("bert", &contextual)?;
    let projected = net.projected(&contextual)?;
    sheet.put("bert_encoder", &projected)?;
    let first = predictor.recur(0, &predictor.with_style(&projected, &style.prosody)?)?;
    sheet.put("duration_encoder.0", &first.squeeze(0)?)?;
    sheet.put("duration_encoder.1", &predictor.normalise(0, &first, &style.prosody)?)?;
    let encoded = predictor.encode(&projected, &style.prosody)?;
    sheet.put("duration_encoder", &encoded)?;
    let lstm = predictor.lstm(&encoded)?;
    sheet.put("predictor_lstm", &lstm)?;
    sheet.put("duration_logits", &predictor.duration_logits(&lstm)?)?;
    let durations = (predictor.durations(&recorded.logits)? / f64::from(recorded.speed))?;
    sheet.put("duration", &durations)?;

    let aligned = net.align(&timing.encoded.transpose(1, 2)?, &timing.frames)?;
    sheet.put("en", &aligned)?;
    let shared = predictor.shared(&aligned)?;
    // Recorded with time before features.
    sheet.put("shared_lstm", &shared.transpose(1, 2)?)?;
    let block0 = predictor.f0_block(0, &shared, &style.prosody)?;
    sheet.put("F0.block0", &block0)?;
    sheet.put("F0.block1", &predictor.f0_block(1, &block0, &style.prosody)?)?;
    let (f0, energy) = net.curves(timing, style)?;
    sheet.put("F0", &f0)?;
    sheet.put("N", &energy)
}

/// The text encoder, and the decoder in front of the vocoder.
fn decoder(case: &Case, recorded: &Stages, sheet: &mut Sheet) -> CandleResult<()> {
    let Case { net, ids, style, timing, .. } = case;
    let encoder = net.text_encoder();
    sheet.put("text_encoder.cnn0", &encoder.convolve(0, &encoder.embed(ids)?)?)?;
    sheet.put("text_encoder", &encoder.forward(ids)?)?;

    let text = net.align(&recorded.text, &timing.frames)?;
    let conditions = net.decoder().conditions(&text, &recorded.f0, &recorded.energy)?;
    sheet.put("dec.F0_conv", &conditions.f0)?;
    sheet.put("dec.N_conv", &conditions.energy)?;
    let mut x = net.decoder().encode(&text, &conditions, &style.timbre)?;
    sheet.put("dec.encode", &x)?;
    for block in 0..=recorded.last {
        x = net.decoder().decode(block, &x, &conditions, &style.timbre)?;
        sheet.put(&format!("dec.decode{block}"), &x)?;
    }
    Ok(())
}

/// F0 to the harmonic source, and that to its spectrum.
fn source(case: &Case, recorded: &Stages, device: &Device, sheet: &mut Sheet) -> CandleResult<()> {
    let generator = case.net.decoder().generator();
    let source = generator.source();
    let noise = || NoiseOf::Given(&recorded.noise);
    for (name, made) in [
        ("gen.sine_waves", source.sines(&recorded.f0_values, 0..recorded.f0_values.len(), noise())),
        ("gen.har_source", source.excite(&recorded.f0_values, 0..recorded.f0_values.len(), noise())),
    ] {
        let Ok(reference) = sheet.recorded.output(name) else { continue };
        // A recording may hold the beginning only.
        let Some(kept) = made.get(..reference.elem_count()) else {
            candle_core::bail!("{name} has {} values, recorded are {:?}", made.len(), reference.dims())
        };
        let kept = Tensor::from_slice(kept, reference.shape(), &Device::Cpu)?;
        sheet.put_by(name, &kept, Rule::Within(SOURCE))?;
    }

    let bins = generator.stft().bins();
    let har = generator.spectrum(&recorded.excitation, device)?.to_device(&Device::Cpu)?;
    sheet.put("har_spec", &har.narrow(1, 0, bins)?)?;
    let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let ours = flat(&har.narrow(1, bins, bins)?)?;
    let [spectrum, phases] = [flat(&recorded.har[0])?, flat(&recorded.har[1])?];
    if ours.len() != phases.len() || spectrum.len() != phases.len() {
        candle_core::bail!("har_phase has {} values, recorded are {}", ours.len(), phases.len())
    }
    let loudest = spectrum.iter().copied().fold(0.0, f32::max);
    let frames = phases.len() / bins.max(1);
    let is_edge = |place: usize| place / frames.max(1) == 0 || place / frames.max(1) + 1 == bins;
    let (mut turned, mut edges) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for (place, ((ours, reference), magnitude)) in ours.iter().zip(&phases).zip(&spectrum).enumerate() {
        if *magnitude <= LOUD * loudest {
            continue;
        }
        // Angles are the same modulo a turn.
        let turns = f64::from(ours - reference) / TAU;
        turned[0].push(f64::from(*reference) + (turns - turns.round()) * TAU);
        turned[1].push(f64::from(*reference));
        if is_edge(place) {
            edges[0].push(*ours);
            edges[1].push(*reference);
        }
    }
    if 2 * turned[0].len() <= phases.len() {
        candle_core::bail!("only {} of {} bins are loud enough to compare", turned[0].len(), phases.len())
    }
    let [ours, reference] = turned.map(|values| Tensor::new(values, &Device::Cpu));
    sheet.put_beside("har_phase", &ours?, reference?, (Rule::Within(ANGLE), None))?;
    if edges[0].is_empty() {
        return Ok(());
    }
    let [ours, reference] = edges.map(|values| Tensor::new(values, &Device::Cpu));
    sheet.put_beside("har_phase of DC, Nyquist", &ours?, reference?, (Rule::Within(REAL), None))
}

/// The spectrum to sound.
fn vocoder(case: &Case, recorded: &Stages, sheet: &mut Sheet) -> CandleResult<()> {
    let generator = case.net.decoder().generator();
    let (style, vocoder) = (&case.style.timbre, &case.config.istftnet);
    let har = Tensor::cat(&recorded.har, 1)?;
    let (stages, kinds) = (vocoder.upsample_rates.len(), vocoder.resblock_kernel_sizes.len());
    let mut x = recorded.features.clone();
    for stage in 0..stages {
        let conv = generator.noise_conv(stage, &har)?;
        sheet.put(&format!("gen.noise_conv{stage}"), &conv)?;
        let source = generator.noise_block(stage, &conv, style)?;
        sheet.put(&format!("gen.noise_res{stage}"), &source)?;
        let mut up = generator.up(stage, &x)?;
        sheet.put(&format!("gen.ups{stage}"), &up)?;
        if stage + 1 == stages {
            up = Tensor::cat(&[&up.narrow(2, 1, 1)?, &up], 2)?;
        }
        x = (up + source)?;
        let mut sum = x.zeros_like()?;
        for block in 0..kinds {
            let output = generator.block(stage, block, &x, style)?;
            sheet.put(&format!("gen.resblock{}", stage * kinds + block), &output)?;
            sum = (sum + output)?;
        }
        x = (sum / kinds as f64)?;
    }
    let post = generator.features(&recorded.features, style, &har)?;
    sheet.put("gen.conv_post", &post)?;
    let (magnitudes, phases) = generator.split(&post)?;
    sheet.put("spec", &magnitudes)?;
    sheet.put("phase", &phases)?;
    sheet.put("audio", &generator.forward(&recorded.features, style, &har)?)?;
    let inverse = generator.stft().inverse(&recorded.spec[0], &recorded.spec[1])?;
    let (reference, noise) = (recorded_sound(sheet)?, sheet.recorded.noise("audio"));
    sheet.put_beside("audio of spec, phase", &inverse, reference, (Rule::Floats, noise))
}

/// From ids to sound, and how long each lasts.
fn end_to_end(case: &Case, recorded: &Stages, sheet: &mut Sheet) -> CandleResult<()> {
    let Case { net, ids, style, .. } = case;
    let timing = net.timing(ids, style, recorded.speed)?;
    let frames: Vec<i64> = timing.frames.iter().map(|frames| *frames as i64).collect();
    sheet.put_by("pred_dur", &Tensor::new(frames, &Device::Cpu)?, Rule::Within(0.0))?;
    let noise = NoiseOf::Given(&recorded.noise);
    let sound = net.speak(ids, style, &timing, Emotion::Neutral.prosody(), noise)?;
    let reference = recorded_sound(sheet)?.flatten_all()?;
    let rule = (Rule::Correlation(END_TO_END), None);
    sheet.put_beside("audio, end to end", &Tensor::new(sound, &Device::Cpu)?, reference, rule)
}

fn recorded_sound(sheet: &Sheet) -> CandleResult<Tensor> {
    sheet.recorded.output("audio").cloned().map_err(candle_core::Error::wrap)
}
