//! Flux' layers at full width beside PyTorch: both in turns, so that whatever else the machine does meets both alike.
//!
//!     PYTHON=python3 cargo bench --bench flux        # a Python with torch, diffusers, transformers; without, ours alone
//!     cargo bench --bench flux -- --pairs 9 --layers double,vae
//!     cargo bench --bench flux -- --plan nf4         # the whole transformer: planned and measured memory, no timing
//!
//! Prints the median of every turn's ratio to PyTorch's f32, GFLOP/s, and the share of the matrix product's speed that
//! the faster of both sides reached in the same turn. Weights are random; speed does not depend on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use candle_core::{DType, Device, Module, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use vortex_node::clock::now;
use vortex_node::models::flux::config::{T5Config, TransformerConfig, VaeConfig};
use vortex_node::models::flux::files::Configs;
use vortex_node::models::flux::plan::{Options, Stored, plan};
use vortex_node::models::flux::precision::Precision;
use vortex_node::models::flux::source::Source;
use vortex_node::models::flux::t5::T5Encoder;
use vortex_node::models::flux::transformer::{
    DoubleBlock, DoubleModulation, Layout, SingleBlock, Transformer, image_ids, rotation,
};
use vortex_node::models::flux::vae::Decoder;
use vortex_node::models::kernels::{Linear, Weight};
use vortex_node::types::Bytes;

const TEXT: usize = 256;
/// Tokens of a picture of 256×256.
const IMAGE: usize = 256;
const SIDE: usize = 256;
/// Long enough to reach the speed that large products have, short enough to repeat in every turn.
const PRODUCT: usize = 1536;
/// Between turns: threads of the other side that wait by spinning have gone to sleep by then.
const REST: Duration = Duration::from_millis(30);

/// Numbers that look random, as fast as memory takes them.
struct Random(AtomicU64);

impl SimpleBackend for Random {
    fn get(
        &self,
        shape: Shape,
        _: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut state = self.0.fetch_add(0x9e37_79b9, Ordering::Relaxed) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32 * 0.06 - 0.03
        };
        let values: Vec<f32> = std::iter::repeat_with(next).take(shape.elem_count()).collect();
        Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

fn source(precision: Precision) -> Source<'static> {
    let builder = VarBuilder::from_backend(Box::new(Random(AtomicU64::new(1))), DType::F32, Device::Cpu);
    Source::dense(builder, None).kept(precision, DType::F32)
}

struct Twin {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Twin {
    fn start() -> Option<Self> {
        let python = std::env::var_os("PYTHON")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/benches/flux.py");
        let mut child = Command::new(python)
            .arg(script)
            .env("OMP_NUM_THREADS", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("PYTHON names a Python with torch, diffusers and transformers");
        let (requests, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, requests, answers })
    }

    fn ask(&mut self, request: &str) -> String {
        writeln!(self.requests, "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        std::thread::sleep(REST);
        answer.trim().to_owned()
    }

    fn seconds(&mut self, request: &str) -> f64 {
        self.ask(request).parse().expect("the Python side died")
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn seconds(work: &dyn Fn()) -> f64 {
    let start = now();
    work();
    let taken = now().duration_since(start).as_secs_f64();
    std::thread::sleep(REST);
    taken
}

fn random(dims: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap()
}

/// One forward pass, and the floating-point operations in it.
type Work = (Box<dyn Fn()>, f64);

/// Two operations for each weight and token, and for each pair of tokens and feature twice.
fn operations(tokens: usize, weights: usize, width: usize) -> f64 {
    2.0 * tokens as f64 * (weights + 2 * tokens * width) as f64
}

fn double(precision: Precision) -> Work {
    let config = TransformerConfig::schnell();
    let (width, mlp) = (config.width, config.mlp);
    let block = DoubleBlock::new(&config, &source(precision), "double_blocks.0").unwrap();
    let turned = rotation(&config, TEXT, &image_ids(16, IMAGE / 16), &Device::Cpu).unwrap();
    let (image, text) = (random(&[IMAGE, width]), random(&[TEXT, width]));
    let modulation = DoubleModulation { image: random(&[6 * width]), text: random(&[6 * width]) };
    let run = move || drop(block.forward(&image, &text, &modulation, &turned).unwrap());
    (Box::new(run), operations(TEXT + IMAGE, 4 * width * width + 2 * width * mlp, width))
}

fn single(precision: Precision) -> Work {
    let config = TransformerConfig::schnell();
    let (width, mlp) = (config.width, config.mlp);
    let block = SingleBlock::new(&config, &source(precision), "single_blocks.0").unwrap();
    let turned = rotation(&config, TEXT, &image_ids(16, IMAGE / 16), &Device::Cpu).unwrap();
    let (x, modulation) = (random(&[TEXT + IMAGE, width]), random(&[3 * width]));
    let run = move || drop(block.forward(&x, &modulation, &turned).unwrap());
    (Box::new(run), operations(TEXT + IMAGE, 4 * width * width + 2 * width * mlp, width))
}

fn vae(precision: Precision) -> Work {
    let config = VaeConfig::flux();
    let decoder = Decoder::new(&config, &source(precision), Layout::BlackForestLabs).unwrap();
    let latent = random(&[1, config.latent, SIDE / config.factor(), SIDE / config.factor()]);
    let convolution =
        |inputs: usize, outputs: usize, side: usize| 18.0 * (inputs * outputs * side * side) as f64;
    let mut side = SIDE / config.factor();
    let mut channels = *config.channels.last().unwrap();
    let places = side * side;
    let mut work = convolution(config.latent, channels, side) + 4.0 * convolution(channels, channels, side);
    work += operations(places, 4 * channels * channels, channels);
    for (level, next) in config.channels.iter().copied().enumerate().rev() {
        if next != channels {
            work += convolution(channels, next, side) / 9.0;
        }
        for _ in 0..=config.blocks {
            work += convolution(channels, next, side) + convolution(next, next, side);
            channels = next;
        }
        if level > 0 {
            side *= 2;
            work += convolution(channels, channels, side);
        }
    }
    work += convolution(channels, config.outputs, side);
    (Box::new(move || drop(decoder.decode(&latent, &mut |_, _| Ok(())).unwrap())), work)
}

fn t5(precision: Precision) -> Work {
    let config = serde_json::json!({ "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_heads": 64, "num_layers": 1,
        "vocab_size": 128, "feed_forward_proj": "gated-gelu" });
    let config = T5Config::from_json(&config).unwrap();
    let encoder = T5Encoder::resident(&config, &source(precision)).unwrap();
    let ids: Vec<u32> = (0..TEXT as u32).map(|i| i % 100).collect();
    let (width, mlp) = (config.d_model, config.d_ff);
    let run = move || drop(encoder.encode(&ids, &mut |_, _| Ok(())).unwrap());
    (Box::new(run), operations(TEXT, 4 * width * width + 3 * width * mlp, width))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name)?;
    arguments.next()
}

/// Seconds of PyTorch and of each precision of ours, and the faster side's product in operations a second.
type Turn = (f64, Vec<f64>, f64);

/// A name that both sides know, ours to build it, and the precisions to build it in.
type Case = (&'static str, fn(Precision) -> Work, &'static [&'static str]);

/// This process's own memory, `RssAnon`.
fn own_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a system with /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
}

/// Loads the published transformer with random weights, one matrix at a time, and sets what it holds beside its plan.
fn compare_with_plan(precision: Precision) {
    let configs = Configs::schnell();
    let options = Options { precision, ..Options::default() };
    let parts = plan(&configs, &options, &Stored::published(), DType::F32).unwrap();
    let before = own_memory();
    let made =
        Transformer::new(&configs.transformer, &source(precision), Layout::BlackForestLabs, &Device::Cpu)
            .unwrap();
    let held = Bytes::new(own_memory().saturating_sub(before));
    let sizes = [made.size(), made.modulators().size()].map(Bytes::of::<u8>);
    for (part, measured) in parts.iter().zip(sizes) {
        println!("{:20} planned {}, tensors made {measured}", part.name, part.bytes);
    }
    let planned: Bytes = parts[..2].iter().map(|part| part.bytes).sum();
    let off = held.as_f64() / planned.as_f64() - 1.0;
    println!("together             planned {planned}, process grew by {held} ({:+.2} %)", off * 100.0);
}

fn main() {
    if let Some(precision) = option("--plan") {
        return compare_with_plan(precision.parse().unwrap_or_else(|error| panic!("{error}")));
    }
    const CASES: [Case; 4] = [
        ("double", double, &["f32", "bf16", "nf4", "q8_0"]),
        ("single", single, &["f32", "bf16", "nf4", "q8_0"]),
        ("vae", vae, &["f32"]),
        ("t5", t5, &["f32", "bf16"]),
    ];
    let pairs: usize = option("--pairs").map_or(7, |text| text.parse().expect("--pairs takes a number"));
    let wanted = option("--layers").unwrap_or_else(|| "double,single,vae,t5".to_owned());
    let mut twin = Twin::start();
    if twin.is_none() {
        println!("PYTHON is not set: ours alone, without a comparison");
    }
    let square = Linear::of_parts(vec![Weight::Plain(random(&[PRODUCT, PRODUCT]))], None).unwrap();
    let input = random(&[PRODUCT, PRODUCT]);
    println!(
        "| layer | precision | ours | PyTorch f32 | ours / PyTorch | of bf16 | GFLOP/s | PyTorch GFLOP/s | of peak |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, build, precisions) in
        CASES.iter().filter(|case| wanted.split(',').any(|wanted| wanted == case.0))
    {
        let works: Vec<Work> = precisions.iter().map(|precision| build(precision.parse().unwrap())).collect();
        if let Some(twin) = &mut twin {
            assert_eq!(twin.ask(&format!("load {name}")), "ready");
        }
        // Each turn: PyTorch, every precision of ours, the product on both sides. One turn to warm up.
        let turns: Vec<Turn> = (0..=pairs)
            .map(|_| {
                let theirs = twin.as_mut().map_or(f64::NAN, |twin| twin.seconds("run"));
                let ours = works.iter().map(|(work, _)| seconds(work)).collect();
                let product = format!("product {PRODUCT}");
                let their_product = twin.as_mut().map_or(f64::INFINITY, |twin| twin.seconds(&product));
                let our_product = seconds(&|| drop(square.forward(&input).unwrap()));
                (theirs, ours, 2.0 * (PRODUCT as f64).powi(3) / our_product.min(their_product))
            })
            .skip(1)
            .collect();
        let bf16 = precisions.iter().position(|precision| *precision == "bf16");
        for (index, precision) in precisions.iter().enumerate() {
            let work = works[index].1;
            let of = |value: &dyn Fn(&Turn) -> f64| median(turns.iter().map(value));
            println!(
                "| {name} | {precision} | {:.0} ms | {:.0} ms | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} % |",
                of(&|t| t.1[index]) * 1e3,
                of(&|t| t.0) * 1e3,
                of(&|t| t.1[index] / t.0),
                bf16.map_or(f64::NAN, |bf16| of(&|t| t.1[index] / t.1[bf16])),
                work / of(&|t| t.1[index]) / 1e9,
                work / of(&|t| t.0) / 1e9,
                of(&|t| work / t.1[index] / t.2) * 100.0,
            );
        }
    }
}
