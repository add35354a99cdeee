//! Configurations in both spellings, and those that fit no network.

use super::*;

/// The published sizes, in the published spelling.
pub(in crate::models::liveportrait) const PUBLISHED: &str = "\
model_params:
  appearance_feature_extractor_params: # F
    image_channel: 3
    block_expansion: 64
    num_down_blocks: 2
    max_features: 512
    reshape_channel: 32
    reshape_depth: 16
    num_resblocks: 6
  motion_extractor_params:
    num_kp: 21
    backbone: convnextv2_tiny
  warping_module_params:
    num_kp: 21
    block_expansion: 64
    max_features: 512
    num_down_blocks: 2
    reshape_channel: 32
    estimate_occlusion_map: True
    dense_motion_params:
      block_expansion: 32
      max_features: 1024
      num_blocks: 5
      reshape_depth: 16
      compress: 4
  spade_generator_params:
    upscale: 2 # 256x256 to 512x512
    block_expansion: 64
    max_features: 512
    num_down_blocks: 2
  stitching_retargeting_module_params:
    stitching:
      input_size: 126 # (21*3)*2
      hidden_sizes: [128, 128, 64]
      output_size: 65
    lip:
      input_size: 65
      hidden_sizes:
      - 128
      - 128
      - 64
      output_size: 63
    eye:
      input_size: 66
      hidden_sizes: [256, 256, 128, 128, 64]
      output_size: 63
";

#[test]
fn what_the_published_file_leaves_out_has_the_published_values() {
    let config = Config::parse(PUBLISHED).unwrap();
    assert_eq!(config.output_shape(), [512, 512]);
    let networks = &config.model_params;
    assert_eq!((networks.generator.nhidden, networks.generator.out_channels), (128, 64));
    assert_eq!((networks.generator.input_channels(), networks.motion.num_bins), (256, 66));
    assert_eq!(networks.motion.dims, [96, 192, 384, 768]);
    assert_eq!(networks.retargeting.lip.hidden_sizes, [128, 128, 64]);
    assert!(networks.warping.estimate_occlusion_map);
}

#[test]
fn json_and_yaml_say_the_same() {
    let yaml = yaml::parse(PUBLISHED).unwrap();
    let config = Config::parse(&yaml.to_string()).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::parse(PUBLISHED).unwrap()));
}

#[test]
fn sizes_that_do_not_fit_each_other_are_refused_by_name() {
    for (from, to, named) in [
        ("reshape_depth: 16\n    num_resblocks", "reshape_depth: 8\n    num_resblocks", "reshape_channel"),
        ("input_size: 126", "input_size: 120", "stitching"),
        ("input_size: 66", "input_size: 65", "eye"),
        ("compress: 4", "compress: 0", "compress"),
        ("compress: 4", "compress: 4096000", "compress"),
        ("num_blocks: 5", "num_blocks: 7", "halvings"),
        ("image_channel: 3", "image_channel: 1", "colours"),
        ("upscale: 2", "upscale: two", "invalid type"),
        ("    num_kp: 21\n    backbone", "    num_kp: 20\n    backbone", "key points"),
        ("model_params:", "model_params: &anchor", "anchor"),
        ("  spade_generator_params:", "  spade_generator_params", "no \"key: value\""),
    ] {
        let text = PUBLISHED.replacen(from, to, 1);
        assert_ne!(text, PUBLISHED, "{from}");
        let error = Config::parse(&text).unwrap_err().chain();
        assert!(error.contains(named), "{from} → {to}: {error}");
    }
    assert!(Config::parse("").is_err());
    assert!(Config::parse("{").is_err());
}
