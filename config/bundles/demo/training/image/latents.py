"""Draws frontal portraits and encodes them at once: what Flux is trained on.

python -m image.latents --count 7000 [--run run]

in:  RUN/vae/f32
out: RUN/latents.npy (float16, N x 16 x 32 x 32; row i is `sample_front(i, weak=True)`), RUN/latents.count (rows that are
     done). Stopped and started again it goes on; training may begin on the rows that are done.
"""

import argparse
import os

import numpy as np
import torch
from diffusers import AutoencoderKL

from portraits import render, sample_front

from .autoencoder import prepare
from .tiny_flux import SCALE, SHIFT

BATCH = 8


def done(run):
    """Rows that are complete."""
    path = run + "/latents.count"
    if not os.path.exists(path):
        return 0
    with open(path, encoding="utf-8") as file:
        return int(file.read())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=7000)
    parser.add_argument("--run", default="run")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vae = AutoencoderKL.from_pretrained(args.run + "/vae/f32").eval()
    path, row = args.run + "/latents.npy", done(args.run)
    shape = (args.count, 16, 32, 32)
    rows = np.load(path, mmap_mode="r+") if row else np.lib.format.open_memmap(path, "w+", np.float16, shape)
    while row < len(rows):
        seeds = range(row, min(row + BATCH, len(rows)))
        pictures = prepare(np.stack([np.asarray(render(sample_front(seed, weak=True))) for seed in seeds]))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            latents = vae.encode(pictures).latent_dist.mean.float()
        rows[row:row + len(seeds)] = ((latents - SHIFT) * SCALE).half().numpy()
        row += len(seeds)
        if row % 64 == 0 or row == len(rows):
            rows.flush()
            with open(args.run + "/latents.count.new", "w", encoding="utf-8") as file:
                file.write(str(row))
            os.replace(args.run + "/latents.count.new", args.run + "/latents.count")
    print(row, "latents")


if __name__ == "__main__":
    main()
