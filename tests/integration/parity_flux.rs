//! Flux against its reference implementations: every output that the fixtures record, in every layout and precision.

use std::path::{Path, PathBuf};

use candle_core::Device;
use vortex_node::models::flux::files::FluxFiles;
use vortex_node::models::flux::plan::{Options, T5Place};
use vortex_node::models::parity::flux::{as_stored, run};
use vortex_node::models::parity::recorded::Recorded;
use vortex_node::models::parity::sets::{Kind, Set};
use vortex_node::models::parity::{Sheet, judge};

use crate::support::{assert_parity, sets_of};

mod layouts;
mod quantised;

/// Every folder with a whole Flux model and its recorded outputs.
fn sets() -> Vec<PathBuf> {
    sets_of(Kind::Flux).into_iter().map(|Set { folder, .. }| folder).collect()
}

/// What the networks of `files` make of the recorded inputs of `set`.
fn everything(set: &Path, files: &FluxFiles, options: &Options) -> Sheet {
    let mut sheet = Sheet::new(Recorded::read(set).unwrap());
    run(files, options, &Device::Cpu, &mut sheet).unwrap_or_else(|error| panic!("{}", error.chain()));
    sheet
}

/// Fails unless everything that is shown lies within its tolerance, and nothing is left out but what `but` begins.
fn assert_whole(set: &Path, sheet: &Sheet, but: &[&str]) {
    for shown in sheet.shown() {
        let judged = judge::judge(&shown.ours, &shown.reference, shown.rule, shown.noise, false);
        assert!(judged.ok, "{}: {} {judged:?}", set.display(), shown.name);
    }
    for (name, why) in sheet.left_out() {
        assert!(but.iter().any(|begin| name.starts_with(begin)), "{}: {name}: {why}", set.display());
    }
    assert!(sheet.shown().len() > 20, "{}: only {} outputs", set.display(), sheet.shown().len());
}

#[test]
fn parity_of_every_recorded_output() {
    assert_parity(Kind::Flux, 20);
}

#[test]
fn parity_with_a_streamed_t5_and_modulations_on_the_device() {
    for set in sets() {
        let options = Options { t5: T5Place::Streamed, modulation_in_host: false, ..as_stored() };
        assert_whole(&set, &everything(&set, &FluxFiles::find(&set).unwrap(), &options), &[]);
    }
}

#[test]
fn parity_is_lost_where_the_structure_is_wrong() {
    // The tolerance must tell a mistake from noise: text and picture tokens exchanged, or one position off.
    for set in sets() {
        let sheet = everything(&set, &FluxFiles::find(&set).unwrap(), &as_stored());
        let flow = sheet.shown().iter().find(|shown| shown.name == "flux.step0.pred").unwrap();
        let shifted = flow.ours.roll(1, 1).unwrap();
        // Even a card's wider tolerance.
        let judged = judge::judge(&shifted, &flow.reference, flow.rule, flow.noise, true);
        assert!(!judged.ok && judged.measured > judged.tolerance.map(|bound| 1e2 * bound), "{judged:?}");
    }
}
