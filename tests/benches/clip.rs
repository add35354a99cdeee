//! CLIP at full size beside PyTorch: both in turns, so that whatever else the machine does meets both alike.
//!
//!     PYTHON=python3 cargo bench --bench clip            # a Python with torch and transformers; without one, ours alone
//!     cargo bench --bench clip -- --pairs 9 --precision q8_0 --models l14 --cases image-1,text-5
//!     cargo bench --bench clip -- --cpu-time             # one thread, processor time: on a machine that others use
//!
//! Prints the median of every pair's ratio, GFLOP/s, and the share of the matrix product's speed that the faster of both
//! sides reached in the same pair. Weights are random; speed does not depend on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use vortex_node::clock::now;
use vortex_node::models::clip::config::TowerConfig;
use vortex_node::models::clip::{Clip, ClipConfig};
use vortex_node::models::kernels::Precision;
use vortex_node::models::kernels::panels::{Finish, Kept, Panels};

const MODELS: [(&str, &str); 2] = [
    ("b32", r#"{"projection_dim": 512, "text_config": {"eos_token_id": 49407}, "vision_config": {}}"#),
    (
        "l14",
        r#"{"projection_dim": 768, "text_config": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "eos_token_id": 49407}, "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14}}"#,
    ),
];

/// Long enough to reach the speed that large products have, short enough to repeat in every pair.
const PRODUCT: usize = 1024;

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
        true
    }
}

struct Twin {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Twin {
    fn start(cpu_time: bool) -> Option<Self> {
        let python = std::env::var_os("PYTHON")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/benches/clip.py");
        let mut child = Command::new(python)
            .arg(script)
            .args(cpu_time.then_some("--cpu-time"))
            .env("OMP_NUM_THREADS", if cpu_time { "1" } else { "2" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("PYTHON names a Python with torch and transformers");
        let requests = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
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

fn seconds(cpu_time: bool, work: impl FnOnce()) -> f64 {
    let (start, start_cpu) = (now(), processor_seconds());
    work();
    let wall = now().duration_since(start).as_secs_f64();
    let taken = if cpu_time { processor_seconds() - start_cpu } else { wall };
    std::thread::sleep(REST);
    taken
}

/// What all threads of this process have run for (Linux: the first number of each `schedstat` is nanoseconds).
fn processor_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// Two operations for each weight and token, and for each pair of tokens and feature twice.
fn operations(tower: &TowerConfig, tokens: usize) -> f64 {
    let weights = tower.layers * (4 * tower.hidden * tower.hidden + 2 * tower.hidden * tower.intermediate);
    let pairs = tower.layers * 2 * tokens * tower.hidden;
    2.0 * (tokens * (weights + pairs)) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name)?;
    arguments.next()
}

fn main() {
    let pairs: usize = option("--pairs").map_or(7, |text| text.parse().expect("--pairs takes a number"));
    let precision = match option("--precision").as_deref() {
        None | Some("f32") => Precision::F32,
        Some("f16") => Precision::F16,
        Some("q8_0") => Precision::Q8_0,
        Some(other) => panic!("--precision {other}: expected f32, f16 or q8_0"),
    };
    let wanted = option("--models").unwrap_or_else(|| "b32,l14".to_owned());
    let cases = option("--cases").unwrap_or_else(|| "image-1,image-5,text-1,text-5".to_owned());
    let cpu_time = std::env::args().any(|argument| argument == "--cpu-time");
    let threads = if cpu_time { 1 } else { 2 };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let mut twin = Twin::start(cpu_time);
    if twin.is_none() {
        println!("PYTHON is not set: ours alone, without a comparison");
    }
    let noise: Vec<f32> = (0..PRODUCT * PRODUCT).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    let square = Panels::pack(&noise, PRODUCT, PRODUCT, Kept::F32);
    println!(
        "| model | batch | ours | PyTorch | ours / PyTorch | ours GFLOP/s | PyTorch GFLOP/s | ours of peak | PyTorch of peak |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, json) in MODELS.iter().filter(|(name, _)| wanted.split(',').any(|wanted| wanted == *name)) {
        let config = ClipConfig::from_json(json).unwrap();
        let vb = VarBuilder::from_backend(Box::new(Random(AtomicU64::new(1))), DType::F32, Device::Cpu);
        let clip = Clip::new(&config, precision, &vb).unwrap();
        if let Some(twin) = &mut twin {
            assert_eq!(twin.ask(&format!("load {json}")), "ready");
        }
        let (text, vision) = (&config.text_config, &config.vision_config);
        let length = text.max_position_embeddings;
        for (tower, batch) in [("image", 1), ("image", 5), ("text", 1), ("text", 5)] {
            if !cases.split(',').any(|case| case == format!("{tower}-{batch}")) {
                continue;
            }
            let side = vision.image_size;
            let pixels = Tensor::randn(0f32, 1.0, (batch, 3, side, side), &Device::Cpu).unwrap();
            let ids: Vec<u32> = (0..batch * length).map(|i| (i * 31 % 1000) as u32).collect();
            let ours = || {
                let features = match tower {
                    "image" => clip.image_features(&pixels, &mut |_, _, _| {}),
                    _ => clip.text_features(&ids, length, &mut |_, _, _| {}),
                };
                assert_eq!(features.unwrap().dim(0).unwrap(), batch);
            };
            let (request, work) = match tower {
                "image" => (format!("image {batch}"), operations(&vision.tower(), vision.tokens())),
                _ => (format!("text {batch} {length}"), operations(&text.tower(), length)),
            };
            let work = work * batch as f64 / 1e9;
            let product = 2.0 * (PRODUCT as f64).powi(3) / 1e9;
            // One pair to warm up.
            let turns: Vec<[f64; 4]> = (0..=pairs)
                .map(|_| {
                    let theirs = twin.as_mut().map_or(f64::NAN, |twin| twin.seconds(&request));
                    let ours = seconds(cpu_time, ours);
                    let their_peak = twin
                        .as_mut()
                        .map_or(f64::INFINITY, |twin| twin.seconds(&format!("product {PRODUCT}")));
                    let our_peak = seconds(cpu_time, || drop(square.multiply(&noise, Finish::default())));
                    [ours, theirs, ours / theirs, product / our_peak.min(their_peak)]
                })
                .skip(1)
                .collect();
            let of = |value: &dyn Fn(&[f64; 4]) -> f64| median(turns.iter().map(value).collect());
            println!(
                "| {name} {tower} | {batch} | {:.1} ms | {:.1} ms | {:.2} | {:.0} | {:.0} | {:.0} % | {:.0} % |",
                of(&|t| t[0]) * 1e3,
                of(&|t| t[1]) * 1e3,
                of(&|t| t[2]),
                work / of(&|t| t[0]),
                work / of(&|t| t[1]),
                of(&|t| work / t[0] / t[3]) * 100.0,
                of(&|t| work / t[1] / t[3]) * 100.0,
            );
        }
    }
}
