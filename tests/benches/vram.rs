//! What watching memory costs. Targets: reading pressure ≤ 50 ns, assessing and recording a sample ≤ 20 µs without
//! allocation, one NVML check ≤ 1 ms.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::num::NonZeroUsize;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use vortex_node::clock;
use vortex_node::types::{Bytes, DeviceId, ModelId};
use vortex_node::vram::policy::{LeakSettings, Level, Thresholds};
use vortex_node::vram::{
    Claim, HostProbe, HostProbeSetup, Ledger, Monitor, MonitorSettings, NvmlProbe, NvmlSelector, Occasion,
    Pressure, PressureGauge, Probe, ScriptedDevice, ScriptedProbe, Standing,
};

#[path = "../integration/support/simulated_nvml.rs"]
#[allow(dead_code, reason = "the tests steer more of it")]
mod simulated_nvml;

use simulated_nvml::SimulatedNvml;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const AGE: Duration = Duration::from_secs(5);

fn main() {
    divan::main();
}

/// As admission does it: level and age in one atomic load.
#[divan::bench]
fn read_pressure(bencher: Bencher<'_, '_>) {
    let now = clock::now();
    let gauge = PressureGauge::new(now);
    gauge.publish(Pressure { level: Level::Normal, blind: false }, now);
    bencher.bench(|| black_box(&gauge).read(black_box(now), AGE).admits());
}

/// As a watchdog does it: ledger, pressure policy, gauge, snapshot; five residents and one job out.
#[divan::bench]
fn assess_and_record(bencher: Bencher<'_, '_>) {
    let now = clock::now();
    let ledger = Ledger::new(DeviceId::Cuda(0), Bytes::mb(11_500), Bytes::mb(500));
    let resident = ModelId::ALL.map(|model| ledger.reserve(Claim::resident(model, Bytes::gb(1))).unwrap());
    let job = ledger.reserve(Claim::workspace(ModelId::Flux, None, Bytes::gb(2))).unwrap();
    let thresholds = Thresholds::new(Bytes::mb(11_000), Bytes::mb(11_500), Bytes::mb(300), AGE, AGE).unwrap();
    let settings = MonitorSettings {
        thresholds,
        leak: LeakSettings::default(),
        snapshots: NonZeroUsize::new(1024).unwrap(),
    };
    let mut monitor = Monitor::new(&settings, ledger.clone(), PressureGauge::new(now));
    let mut probe = ScriptedProbe::new("scripted", ScriptedDevice::new(Bytes::gb(12)));
    let sample = probe.sample(now).unwrap();
    let sample = vortex_node::vram::Sample { standing: Standing::Primary, ..sample };
    bencher.bench_local(|| {
        let assessment = monitor.assess(Some(black_box(&sample)), ledger.mark(), now);
        let snapshot = monitor.snapshot(Occasion::Periodic, now, Duration::ZERO);
        (assessment, snapshot.number)
    });
    drop((resident, job));
}

/// Board, memory and both process lists, through the real loader path.
#[divan::bench]
fn check_nvml(bencher: Bencher<'_, '_>) {
    let Some(board) = SimulatedNvml::start(Bytes::gib(12), Bytes::mb(400)) else {
        println!("skipped: rustc is missing, to build the simulated NVML library");
        return;
    };
    board.processes(0, &[(1, Bytes::mb(700)), (std::process::id(), Bytes::mb(5000))], Bytes::ZERO);
    let mut probe = NvmlProbe::new(NvmlSelector::Index(0), Some(board.library()));
    let now = clock::now();
    assert!(probe.sample(now).is_ok());
    bencher.bench_local(|| probe.sample(now).map(|sample| sample.used));
}

/// `RssAnon` of this process.
#[divan::bench]
fn check_host(bencher: Bencher<'_, '_>) {
    let mut probe = HostProbe::new(HostProbeSetup::default());
    let now = clock::now();
    bencher.bench_local(|| probe.sample(now).map(|sample| sample.used));
}
