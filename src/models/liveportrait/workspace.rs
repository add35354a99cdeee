//! An upper estimate of the memory that a batch of frames takes beyond the weights. Pure arithmetic on the sizes.

use candle_core::Device;

use super::config::Config;
use super::files::LivePortraitFiles;
use super::model::{Options, at_once};
use crate::contract::ModelError;
use crate::models::kernels::Kernels;
use crate::types::{Bytes, Resolution};

/// Transformed inputs and products of the fused convolutions, whatever the batch; their aim is 32 MB, wide layers take a
/// little more.
const FUSED_SCRATCH: usize = 48 << 20;

/// What jobs with `files` would take on `device`, pictures of `resolution`: reads the configuration only.
pub fn planned(
    files: &LivePortraitFiles,
    options: &Options,
    device: &Device,
    resolution: Resolution,
) -> Result<Bytes, ModelError> {
    let (kernels, frames) = (options.kernels(device), options.batch.get() as usize);
    let together = at_once(kernels, frames, rayon::current_num_threads());
    Ok(of(&files.config()?, kernels, [frames, together], resolution))
}

/// For batches of `frames` frames, of which `together` are in the networks at a time, each finished as a picture of
/// `resolution`.
pub(super) fn of(
    config: &Config,
    kernels: Kernels,
    [frames, together]: [usize; 2],
    resolution: Resolution,
) -> Bytes {
    let networks = &config.model_params;
    let (generator, dense) = (&networks.generator, &networks.warping.dense_motion_params);
    let [height, width] = config.input_shape;
    let pixels = height * width;
    let cell = pixels >> (2 * networks.appearance.num_down_blocks);
    let voxels = cell * dense.reshape_depth;
    let motions = networks.warping.num_kp + 1;
    // The hourglass: its input, what its levels keep, its output and one more of those while it is made.
    let inputs = motions * (dense.compress + 1);
    let outputs = inputs + dense.block_expansion;
    let hourglass = voxels * (2 * inputs + 3 * outputs + 4 * dense.block_expansion);
    // G at four times the features' size: shared activations, and three tensors of its block.
    let channels = generator.input_channels();
    let large = 16 * cell;
    let fused = large * (3 * generator.nhidden + 3 * channels + 2 * generator.out_channels);
    let picture = 8 * pixels * 3;
    let (elements, scratch) = match kernels {
        Kernels::Fused | Kernels::Listed => (hourglass.max(fused) + picture, FUSED_SCRATCH),
        Kernels::Stock(_) => {
            // Stock convolutions lay out nine times their input; the masks' seven times their output.
            let columns = large * (9 * channels.max(generator.nhidden) + 4 * channels);
            (hourglass.max(fused + columns) + voxels * (14 * motions + 2 * outputs) + picture, 0)
        }
    };
    let bytes = elements * kernels.dtype().size_in_bytes() * together + picture * size_of::<f32>() * frames;
    Bytes::new((bytes + scratch * together) as u64).saturating_add(resolution.rgb_bytes())
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    #[test]
    fn two_frames_of_the_published_networks_take_what_the_small_cards_profile_gives() {
        let published = include_str!("../../../config/bundles/schnell-12gb/liveportrait/models.json");
        let config = Config::parse(published).unwrap();
        let side = std::num::NonZeroU32::new(512).unwrap();
        let takes = |frames| {
            let kernels = Kernels::Stock(DType::F16);
            of(&config, kernels, [frames, frames], Resolution { width: side, height: side })
        };
        assert!(takes(2) <= Bytes::mb(1500) && takes(3) > Bytes::mb(1500), "{}, {}", takes(2), takes(3));
        // The large card's takes 32.
        assert!(takes(32) <= Bytes::mb(22_500), "{}", takes(32));
    }
}
