"""The other side of `vortex-node gpu-check --full`: the same models at the same sizes by PyTorch, on the same card.

    vortex-node gpu-check --full --bundle DIR --json > ours.json
    python tests/gpu_twin.py --report ours.json [--liveportrait CHECKOUT] [--json]

Random weights of the published sizes, eager, in the precisions that PyTorch users run: Flux bf16, CLIP f16, LivePortrait
f16, Kokoro f32. Needs torch, diffusers and transformers; LivePortrait needs a checkout of KwaiVGI/LivePortrait, Kokoro
the `kokoro` package (0.9.4): what is missing is said and left out. `--device cpu --tiny` shows that the script works
where there is no card, and measures nothing worth comparing.

A ratio is our median over PyTorch's: below 1.0 we are faster.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import torch

TEXT, KEYFRAMES, TEXTS, STEPS, WORDS = 256, 5, 2, 4, 110


class Missing(Exception):
    """Something that one part needs is not installed here."""


class Bench:
    def __init__(self, device, runs):
        self.device, self.runs = device, runs

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def median(self, work):
        """Seconds of one call: the median of several, after one that loads kernels."""
        work()
        self.wait()
        seconds = []
        for _ in range(self.runs):
            start = time.perf_counter()
            work()
            self.wait()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)


def flux(bench, tiny):
    """Prompt to picture: both text encoders, four steps, the autoencoder's decoder."""
    try:
        from diffusers import AutoencoderKL, FluxTransformer2DModel
        from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel
    except ImportError as error:
        raise Missing(error) from error
    dtype, device = (torch.float32 if bench.device.type == "cpu" else torch.bfloat16), bench.device
    side = 64 if tiny else 512
    # Made where they run: 24 GB of transformer would not fit into most hosts twice.
    with torch.device(device):
        torch.set_default_dtype(dtype)
        if tiny:
            sizes = dict(num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
                         joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 6, 6))
            t5 = T5Config(d_model=32, d_kv=8, d_ff=64, num_heads=4, num_layers=2, feed_forward_proj="gated-gelu")
            clip = CLIPTextConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
            channels = (32, 32, 32, 32)
        else:
            sizes = dict(num_layers=19, num_single_layers=38, attention_head_dim=128, num_attention_heads=24,
                         joint_attention_dim=4096, pooled_projection_dim=768)
            t5 = T5Config(d_model=4096, d_kv=64, d_ff=10240, num_heads=64, num_layers=24,
                          feed_forward_proj="gated-gelu")
            clip = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                                  num_attention_heads=12)
            channels = (128, 256, 512, 512)
        transformer = FluxTransformer2DModel(in_channels=64, guidance_embeds=False, **sizes).eval()
        vae = AutoencoderKL(block_out_channels=channels, layers_per_block=2, latent_channels=16,
                            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                            use_quant_conv=False, use_post_quant_conv=False).eval()
        words, sentence = T5EncoderModel(t5).eval(), CLIPTextModel(clip).eval()
        torch.set_default_dtype(torch.float32)
    rows = side // 16
    ids = torch.zeros(rows, rows, 3, device=device, dtype=dtype)
    ids[..., 1] += torch.arange(rows, device=device)[:, None]
    ids[..., 2] += torch.arange(rows, device=device)[None, :]
    ids, no_ids = ids.reshape(rows * rows, 3), torch.zeros(TEXT, 3, device=device, dtype=dtype)
    noise = torch.randn(1, rows * rows, 64, device=device)
    for_t5 = torch.randint(2, 100, (1, TEXT), device=device)
    for_clip = torch.randint(2, 100, (1, 77), device=device)

    def paint():
        text = words(input_ids=for_t5).last_hidden_state
        pooled = sentence(input_ids=for_clip).pooler_output
        latent = noise.clone()
        for step in range(STEPS):
            level = torch.full((1,), 1 - step / STEPS, device=device, dtype=dtype)
            flow = transformer(latent.to(dtype), encoder_hidden_states=text, pooled_projections=pooled,
                               timestep=level, img_ids=ids, txt_ids=no_ids, return_dict=False)[0]
            latent = latent - flow.float() / STEPS
        picture = latent.reshape(1, rows, rows, 16, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return vae.decode(picture.reshape(1, 16, 2 * rows, 2 * rows).to(dtype)).sample.float().cpu()

    return bench.median(paint)


def clip(bench, tiny):
    """Five keyframes and two texts through both models, as the check does."""
    try:
        from transformers import CLIPConfig, CLIPModel
    except ImportError as error:
        raise Missing(error) from error
    dtype = torch.float32 if bench.device.type == "cpu" else torch.float16

    def model(text, vision, projection):
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection,
                            attn_implementation="eager")
        return CLIPModel(config).eval().to(bench.device, dtype)

    def tower(hidden, layers, heads, **more):
        if tiny:
            hidden, layers, heads = 32, 2, 2
        return dict(hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
                    num_attention_heads=heads, **more)

    both = [
        model(tower(512, 12, 8), tower(768, 12, 12, patch_size=32, image_size=224), 512),
        model(tower(768, 12, 12), tower(1024, 24, 16, patch_size=14, image_size=224), 768),
    ]
    pixels = torch.randn(KEYFRAMES, 3, 224, 224, device=bench.device, dtype=dtype)
    ids = torch.randint(3, 1000, (TEXTS, 77), device=bench.device)

    def score():
        for model in both:
            model(input_ids=ids, pixel_values=pixels).logits_per_image.float().cpu()

    return bench.median(score)


def liveportrait(bench, tiny, checkout, frames, batch):
    """Warping and generator for every frame; the portrait is looked at once."""
    if checkout is None:
        raise Missing("no checkout of KwaiVGI/LivePortrait was named (--liveportrait)")
    sys.path.insert(0, str(checkout))
    try:
        import yaml
        from src.modules.appearance_feature_extractor import AppearanceFeatureExtractor
        from src.modules.motion_extractor import MotionExtractor
        from src.modules.spade_generator import SPADEDecoder
        from src.modules.warping_network import WarpingNetwork
    except ImportError as error:
        raise Missing(error) from error
    sizes = yaml.safe_load((checkout / "src/config/models.yaml").read_text())["model_params"]
    dtype = torch.float32 if bench.device.type == "cpu" else torch.float16
    make = lambda kind, name: kind(**sizes[f"{name}_params"]).eval().to(bench.device, dtype)
    appearance = make(AppearanceFeatureExtractor, "appearance_feature_extractor")
    motion = make(MotionExtractor, "motion_extractor")
    warping, generator = make(WarpingNetwork, "warping_module"), make(SPADEDecoder, "spade_generator")
    picture = torch.rand(1, 3, 256, 256, device=bench.device, dtype=dtype)
    points = 0.2 * torch.randn(1, 21, 3, device=bench.device, dtype=dtype)
    frames = 2 if tiny else frames

    def animate():
        feature = appearance(picture)
        motion(picture)
        for first in range(0, frames, batch):
            count = min(batch, frames - first)
            many = lambda tensor: tensor.expand(count, *tensor.shape[1:])
            warped = warping(many(feature), kp_source=many(points), kp_driving=many(points + 0.01))["out"]
            (generator(feature=warped).clamp(0, 1) * 255).to(torch.uint8).cpu()

    return bench.median(animate)


def kokoro(bench, tiny):
    """Speech of the check's length in pieces that the network takes."""
    try:
        import kokoro.model
        from kokoro.model import KModel
    except ImportError as error:
        raise Missing(error) from error
    if tiny:
        raise Missing("the package has the published size only")
    model = KModel(repo_id="hexgrad/Kokoro-82M").eval().to(bench.device)
    style = torch.randn(1, 256, device=bench.device)
    # About six phonemes a word.
    ids = torch.randint(1, 170, (1, min(6 * WORDS, 508)), device=bench.device)
    return bench.median(lambda: model.forward_with_tokens(ids, style, 1.0)[0].cpu())


def versions(device):
    import diffusers
    import transformers

    found = {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__}
    if device.type == "cuda":
        found["card"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            found["driver"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            found["driver"] = "unknown"
    return found


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--report", type=pathlib.Path, help="what `gpu-check --full --json` answered, for ratios")
    parser.add_argument("--liveportrait", type=pathlib.Path, help="checkout of KwaiVGI/LivePortrait")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--tiny", action="store_true", help="as small as it goes: shows that the script works")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(f"{device} cannot be used: PyTorch sees no card here")
    bench = Bench(device, options.runs)
    torch.manual_seed(0)
    parts = {
        "image": lambda: flux(bench, options.tiny),
        "verify": lambda: clip(bench, options.tiny),
        "video": lambda: liveportrait(bench, options.tiny, options.liveportrait, options.frames, options.batch),
        "audio": lambda: kokoro(bench, options.tiny),
    }
    ours = {}
    if options.report:
        report = json.loads(options.report.read_text())
        ours = {row["stage"]: row["p50_seconds"] for row in report["stages"]}
        # Speech and picture side by side slow each other down; alone is what PyTorch is measured at.
        ours.update(zip(("audio", "image"), report["alone_seconds"]))
    rows = []
    for stage, measure in parts.items():
        try:
            seconds = measure()
        except Missing as missing:
            rows.append({"stage": stage, "left_out": str(missing)})
            continue
        row = {"stage": stage, "torch_seconds": seconds}
        if stage in ours:
            row |= {"our_seconds": ours[stage], "ratio": ours[stage] / seconds}
        rows.append(row)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    answer = {"device": str(device), "tiny": options.tiny, "versions": versions(device), "stages": rows}
    if options.json:
        print(json.dumps(answer, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in answer["versions"].items()))
    for row in rows:
        if "left_out" in row:
            print(f"{row['stage']:8} left out: {row['left_out']}")
        else:
            ratio = f", ours {row['our_seconds']:.3f} s, ratio {row['ratio']:.2f}" if "ratio" in row else ""
            print(f"{row['stage']:8} torch {row['torch_seconds']:.3f} s{ratio}")


if __name__ == "__main__":
    main()
