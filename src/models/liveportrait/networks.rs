//! The five networks together: which file each comes from, what each asks of it, and how much they hold.

use candle_core::Result;
use candle_nn::VarBuilder;

use super::appearance::AppearanceExtractor;
use super::config::Config;
use super::generator::SpadeGenerator;
use super::motion::MotionExtractor;
use super::retargeting::Retargeting;
use super::warping::WarpingModule;
use crate::contract::ModelError;
use crate::models::error::Context;
use crate::models::kernels::Kernels;
use crate::models::weights::spec::{TensorSpec, record};
use crate::types::Bytes;

/// The published files, without their suffix.
pub const FILES: [&str; 5] = [
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching_retargeting_module",
];

/// All five.
pub struct Networks {
    /// F.
    pub appearance: AppearanceExtractor,
    /// M.
    pub motion: MotionExtractor,
    /// W.
    pub warping: WarpingModule,
    /// G.
    pub generator: SpadeGenerator,
    /// S and both R.
    pub retargeting: Retargeting,
}

impl Networks {
    /// From one builder per file, in the order of [`FILES`], on the device that the networks are to run on. Whatever
    /// the builders' precision, weights are folded in f32 and kept in that of `kernels`.
    pub fn new(config: &Config, files: [VarBuilder<'_>; 5], kernels: Kernels) -> Result<Self> {
        let networks = &config.model_params;
        let [appearance, motion, warping, generator, retargeting] = files;
        Ok(Self {
            appearance: AppearanceExtractor::new(&networks.appearance, &appearance, kernels)?,
            motion: MotionExtractor::new(&networks.motion, &motion, kernels)?,
            warping: WarpingModule::new(&networks.warping, &warping, kernels)?,
            generator: SpadeGenerator::new(&networks.generator, &generator, kernels)?,
            retargeting: Retargeting::new(&networks.retargeting, &retargeting)?,
        })
    }

    /// Bytes of all weights.
    pub fn bytes(&self) -> Bytes {
        let all =
            self.appearance.bytes() + self.motion.bytes() + self.warping.bytes() + self.generator.bytes();
        Bytes::new(all as u64)
    }
}

/// Every tensor that the networks ask for, by file, in the order of [`FILES`].
pub fn tensors(config: &Config) -> std::result::Result<Vec<(&'static str, Vec<TensorSpec>)>, ModelError> {
    let networks = &config.model_params;
    let dtype = Kernels::Listed.dtype();
    let of = |place: usize| -> Result<Vec<TensorSpec>> {
        record(dtype, |vb| {
            match place {
                0 => drop(AppearanceExtractor::new(&networks.appearance, &vb, Kernels::Listed)?),
                1 => drop(MotionExtractor::new(&networks.motion, &vb, Kernels::Listed)?),
                2 => drop(WarpingModule::new(&networks.warping, &vb, Kernels::Listed)?),
                3 => drop(SpadeGenerator::new(&networks.generator, &vb, Kernels::Listed)?),
                _ => drop(Retargeting::new(&networks.retargeting, &vb)?),
            }
            Ok(())
        })
    };
    let listed = FILES.into_iter().enumerate().map(|(place, file)| Ok((file, of(place)?)));
    listed.collect::<Result<_>>().context(|| "listing liveportrait's tensors".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::liveportrait::config::tests::PUBLISHED;

    #[test]
    fn the_published_sizes_have_the_published_number_of_parameters() {
        let listed = tensors(&Config::parse(PUBLISHED).unwrap()).unwrap();
        let millions = |file: &str| {
            let (_, specs) = listed.iter().find(|(name, _)| *name == file).unwrap();
            let learned = specs.iter().filter(|spec| {
                ![".running_mean", ".running_var", ".weight_u", ".weight_v"]
                    .iter()
                    .any(|end| spec.name.ends_with(end))
            });
            learned.map(|spec| spec.shape.elem_count()).sum::<usize>() as f64 / 1e6
        };
        for (file, expected) in FILES.into_iter().zip([0.84, 28.1, 45.5, 55.4]) {
            assert!((millions(file) / expected - 1.0).abs() < 0.01, "{file}: {} million", millions(file));
        }
        assert!(listed.iter().flat_map(|(_, specs)| specs).all(|spec| !spec.name.contains("num_batches")));
    }
}
