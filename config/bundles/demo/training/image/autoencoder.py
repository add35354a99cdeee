"""Trains the autoencoder: Flux's layout at 16/32/64/64 channels.

python -m image.autoencoder --minutes 13 [--run run] [--resume]

in:  nothing; pictures are drawn on the way (seeds from 0, held-out ones from HELD)
out: RUN/vae/ckpt.pt (to resume from), RUN/vae/f32 (diffusers folder), RUN/vae/recon.png (look at it)
Half-way the statistics of the latents are folded into the weights (`fold`), so that Flux's own scale and shift, which are
fixed in its published code, give latents of mean 0 and variance 1.
"""

import argparse
import os

import numpy as np
import torch
from diffusers import AutoencoderKL

from common import Clock, Log, Optimiser, save_checkpoint, seed_everything, sheet, to_bytes, write_json, write_tensors
from portraits import render, sample

from .tiny_flux import SCALE, SHIFT

HELD = 10_000_000  # held-out seeds start here, in every script
CHANNELS, GROUPS = (16, 32, 64, 64), 8


def build():
    levels = len(CHANNELS)
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=16, act_fn="silu", block_out_channels=CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1, norm_num_groups=GROUPS, mid_block_add_attention=True, use_quant_conv=False,
        use_post_quant_conv=False, force_upcast=True, sample_size=256, scaling_factor=SCALE, shift_factor=SHIFT)


def prepare(pictures):
    """(N, H, W, 3) uint8 to [-1, 1], channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return x.contiguous(memory_format=torch.channels_last)


def draw(seeds):
    return np.stack([np.asarray(render(sample(seed))) for seed in seeds])


@torch.no_grad()
def fold(model, mean, std):
    """z' = (z - mean) / std / SCALE + SHIFT, taken up by the encoder's last and the decoder's first convolution."""
    a = 1 / (std * SCALE)
    b = SHIFT - mean * a
    last, first = model.encoder.conv_out, model.decoder.conv_in
    last.weight[:16] *= a[:, None, None, None]
    last.bias[:16] = last.bias[:16] * a + b
    last.bias[16:] += 2 * a.log()
    first.bias -= (first.weight * (b / a)[None, :, None, None]).sum((1, 2, 3))
    first.weight /= a[None, :, None, None]


@torch.no_grad()
def statistics(model, pictures):
    latents = torch.cat([model.encode(part).latent_dist.mean for part in prepare(pictures).split(8)])
    return latents.mean((0, 2, 3)), latents.std((0, 2, 3))


def crop(pictures, side, r):
    """A random window of each, on the grid of the latents."""
    if side == pictures.shape[-1]:
        return pictures
    corners = r.randint(0, (pictures.shape[-1] - side) // 8 + 1, (len(pictures), 2)) * 8
    parts = [p[:, y:y + side, x:x + side] for p, (y, x) in zip(pictures, corners)]
    return torch.stack(parts).contiguous(memory_format=torch.channels_last)


def loss_of(model, x):
    """Level, edges and a trace of divergence; the latents are disturbed as Flux's errors will disturb them."""
    posterior = model.encode(x).latent_dist
    latents = posterior.mean
    noise = torch.maximum(posterior.std, .08 * latents.detach().std())
    difference = model.decode(latents + torch.randn_like(latents) * noise).sample.float() - x
    edges = (difference[:, :, 1:] - difference[:, :, :-1]).abs().mean()
    edges = edges + (difference[..., 1:] - difference[..., :-1]).abs().mean()
    divergence = posterior.kl().mean() / latents[0].numel()
    return difference.abs().mean() + difference.pow(2).mean() + .5 * edges + 1e-4 * divergence


@torch.no_grad()
def fidelity(model, pictures):
    """Mean PSNR in dB, and the pictures that come back."""
    x = prepare(pictures)
    y = torch.cat([model.decode(model.encode(part).latent_dist.mean).sample for part in x.split(8)]).clamp(-1, 1)
    return float((10 * torch.log10(4 / (x - y).pow(2).mean((1, 2, 3)))).mean()), y


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=13)
    parser.add_argument("--run", default="run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=6, help="windows of 128 pixels")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    out = args.run + "/vae"
    os.makedirs(out, exist_ok=True)
    seed_everything(0, args.threads)
    model = build().to(memory_format=torch.channels_last)
    optimiser = Optimiser(model, .012, 2e-3, adam=("conv_in", "conv_out"))
    clock, step, folded = Clock(args.minutes), 0, False
    if args.resume:
        saved = torch.load(out + "/ckpt.pt", weights_only=False)
        model.load_state_dict(saved["m"])
        optimiser.load_state_dict(saved["opt"])
        clock, step, folded = Clock(args.minutes, saved["used"]), saved["step"], saved["folded"]
    pictures, held, r = draw(range(args.pictures)), draw(range(HELD, HELD + 24)), np.random.RandomState(step)
    log = Log(out + "/log.txt")

    def save():
        save_checkpoint(out + "/ckpt.pt", m=model.state_dict(), opt=optimiser.state_dict(), used=clock.elapsed(),
                        step=step, folded=folded)

    while clock.progress() < 1:
        if not folded and clock.progress() > .5:
            fold(model, *statistics(model, pictures[:32]))
            folded = True
        # Group norms' statistics depend on the window: some are larger, and at the end they are whole pictures.
        side = 256 if clock.progress() > .86 or r.rand() < .25 else 128
        count = max(1, args.batch * 128 ** 2 // side ** 2)
        x = crop(prepare(pictures[np.sort(r.randint(0, len(pictures), count))]), side, r)
        x = x.flip(3) if r.rand() < .5 else x
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, x)
        loss.backward()
        optimiser.step(clock.progress())
        step += 1
        log.note(loss=loss.detach())
        if log.tell(f"{clock.elapsed():.0f} s, step {step}:"):
            save()
    save()
    model.eval()
    decibels, back = fidelity(model, held)
    print(f"{step} steps, {decibels:.2f} dB on held-out pictures")
    sheet(out + "/recon.png", np.concatenate([held[:8], to_bytes(back[:8])]))
    write_tensors(out + "/f32/diffusion_pytorch_model.safetensors", model.state_dict())
    config = {k: v for k, v in dict(model.config).items() if not k.startswith("_")}
    write_json(out + "/f32/config.json", config | dict(_class_name="AutoencoderKL"))


if __name__ == "__main__":
    main()
