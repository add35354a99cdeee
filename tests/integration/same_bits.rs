//! That results do not depend on how many threads make them, model by model: every output that the fixtures record, and a
//! video of the demo weights, made on one thread, two and four.

use std::path::Path;
use std::process::Command;

use candle_core::{Device, Tensor};
use vortex_node::contract::ModelError;
use vortex_node::models::flux::files::FluxFiles;
use vortex_node::models::kernels::Kernels;
use vortex_node::models::parity::Sheet;
use vortex_node::models::parity::recorded::Recorded;
use vortex_node::models::parity::sets::{Kind, Set};
use vortex_node::models::parity::{flux, kokoro, liveportrait};
use vortex_node::recipe::document;

use crate::support::sets_of;

/// Every output's name and bits.
fn bits(sheet: &Sheet) -> Vec<(String, Vec<u64>)> {
    let values = |tensor: &Tensor| {
        let wide = tensor.flatten_all().unwrap().to_dtype(candle_core::DType::F64).unwrap();
        wide.to_vec1::<f64>().unwrap().into_iter().map(f64::to_bits).collect()
    };
    sheet.shown().iter().map(|shown| (shown.name.clone(), values(&shown.ours))).collect()
}

/// Fails unless `run` fills the same `least` outputs or more on one, two and four threads.
fn assert_same(kind: Kind, least: usize, run: impl Fn(&Path, &mut Sheet) -> Result<(), ModelError> + Sync) {
    for Set { folder, .. } in sets_of(kind) {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut sheet = Sheet::new(Recorded::read(&folder).unwrap());
                run(&folder, &mut sheet).unwrap_or_else(|error| panic!("{}", error.chain()));
                bits(&sheet)
            })
        };
        let one = on(1);
        assert!(one.len() >= least, "only {} outputs of {}", one.len(), folder.display());
        for threads in [2, 4] {
            for (output, alone) in on(threads).iter().zip(&one) {
                assert!(output == alone, "{}: {} on {threads} threads", folder.display(), alone.0);
            }
        }
    }
}

#[test]
fn flux_gives_the_same_bits_on_any_number_of_threads() {
    assert_same(Kind::Flux, 20, |folder, sheet| {
        flux::run(&FluxFiles::find(folder)?, &flux::as_stored(), &Device::Cpu, sheet)
    });
}

#[test]
fn kokoro_gives_the_same_bits_on_any_number_of_threads() {
    assert_same(Kind::Kokoro, 20, |folder, sheet| kokoro::run(folder, Kernels::Fused, &Device::Cpu, sheet));
}

#[test]
fn liveportrait_gives_the_same_bits_on_any_number_of_threads() {
    assert_same(Kind::LivePortrait, 40, |folder, sheet| {
        liveportrait::run(folder, Kernels::Fused, &Device::Cpu, sheet)
    });
}

/// All five models as they ship, CLIP's scores in the result among them.
#[test]
fn a_video_has_the_same_bytes_on_any_number_of_threads() {
    let place = tempfile::tempdir().unwrap();
    let node = |arguments: &[&str], threads: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vortex-node"));
        command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("RAYON_NUM_THREADS", threads);
        let run = command.output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        run.stdout
    };
    let new =
        node(&["recipe", "new", "--prompt", "a blue robot with three eyes on a yellow background"], "1");
    let mut recipe = document::parse(&new).unwrap();
    recipe["slot_params"]["duration_sec"] = serde_json::json!(0.5);
    recipe["audio_track"]["script"] = serde_json::json!("Hi.");
    let file = place.path().join("recipe.json");
    std::fs::write(&file, recipe.to_string()).unwrap();
    let made = |threads: &str| {
        let path = |name: &str| place.path().join(format!("{name}-{threads}")).to_str().unwrap().to_owned();
        let (out, data) = (path("out"), path("data"));
        node(&["render", file.to_str().unwrap(), "--output", &out, "--data-dir", &data], threads);
        let result = std::fs::read(Path::new(&out).join("result.json")).unwrap();
        let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
        assert!(result["verification"].is_object(), "{result:#}");
        // Every artifact by its hash, and the scores.
        (result["artifacts"].clone(), result["verification"].clone())
    };
    let one = made("1");
    for threads in ["2", "4"] {
        assert_eq!(made(threads), one, "{threads} threads");
    }
}
