"""Teaches the dense motion network the exact flow, before there is any picture to compare.

Role: W's masks alone, on features that carry the source's colours: quick, since nothing is drawn. At first its masks
are also held against guessed ones, which tells the key points apart; a flow alone says nothing where points move alike.
Inputs: --cache as for portrait_train.py.
Outputs: in --out: warp.pt, which portrait_train.py starts from; warp.png.
"""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import portrait_nets as nets
from common import Muon, step_all
from portrait_flow import flow_and_masks
from portrait_train import Batches, build, key_points, start_from_colours

GUESS_UNTIL = .5  # of the schedule
ADAM = ("compress", "mask", "occlusion")


@torch.no_grad()
def start_from_features(dense):
    """Compresses to the three colours that the features begin with."""
    dense.compress.weight.zero_(), dense.compress.bias.zero_()
    for channel in range(dense.compress.out_channels):
        dense.compress.weight[channel, channel % 3] = 1
    dense.mask.weight.mul_(.1), dense.mask.bias.zero_()
    dense.mask.bias[0] = 2


def errors(model, sources, source_rows, rows, of, to):
    """The flow's mean error, weighted; the masks' distance from the guess; shifts made; the exact ones."""
    dense = model["W"].dense_motion_network
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            feature = model["F"](sources.contiguous(memory_format=torch.channels_last)).repeat_interleave(len(to) // len(sources), 0)
        deformation, _, prediction = dense(feature, of, to)
        logits = dense.mask(prediction).float()[:, :, 0]
    cells = deformation.shape[2]
    shifts = (deformation - nets.grid(*deformation.shape[1:4], deformation.device))[:, 0, :, :, :2]
    flow, weight, masks, _ = flow_and_masks(source_rows, rows, cells)
    # A hair's breadth counts as much in small motions as in large ones does a finger's.
    scale = .02 + flow.abs().amax((1, 2, 3), keepdim=True)[..., 0]
    error = (shifts - flow).abs().sum(-1)
    guess = (torch.special.xlogy(masks, masks) - masks * logits.log_softmax(1)).sum(1).mean()
    return (error * weight / scale).mean(), guess, shifts, flow, float((error * weight).mean().detach() / weight.mean())


@torch.no_grad()
def progress(model, test, path):
    identities = range(24)
    sources, source_rows, truth, rows = test.take(identities, [[1] for _ in identities])
    of, to = key_points(source_rows, rows)
    model.eval()
    _, guess, shifts, flow, error = errors(model, sources, source_rows, rows, of, to)
    side = shifts.shape[1]
    axis = (torch.arange(256) + .5) / 128 - 1
    here = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)[None]
    moved = [F.grid_sample(sources, here + F.interpolate(by.permute(0, 3, 1, 2), size=256, mode="bilinear").permute(0, 2, 3, 1),
                           padding_mode="border", align_corners=False) for by in (flow, shifts)]
    sheet = torch.cat([torch.cat(list(row[:12]), 2) for row in (sources, truth, *moved)], 1)
    Image.fromarray((sheet.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()).resize((12 * 160, 4 * 160)).save(path)
    return error, float(flow.abs().sum(-1).mean()), float(guess)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--out", default="run")
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--muon", type=float, default=.02)
    parser.add_argument("--adam", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    os.makedirs(args.out, exist_ok=True)
    train, test = Batches(args.cache, "train"), Batches(args.cache, "test")
    model = build().eval()

    def run():
        for _ in range(3):
            sources, source_rows, _, rows = train.random(rng, args.sources, args.each)
            model["F"](sources)
    nets.calibrate([model["F"]], run)
    start_from_colours(model)
    dense = model["W"].dense_motion_network
    start_from_features(dense)
    norms = [m for m in dense.hourglass.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = .05
    named = [(name, p) for name, p in dense.named_parameters() if not name.startswith(("compress", "norm", "occlusion"))]
    big = {name for name, p in named if p.ndim > 1 and not any(word in name for word in ADAM)}
    optimisers = [(Muon([p for name, p in named if name in big], args.muon), args.muon),
                  (torch.optim.AdamW([p for name, p in named if name not in big], args.adam, betas=(.9, .98), weight_decay=0.0), args.adam)]
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    parameters = [p for _, p in named]
    begun, step, seen = time.time(), 0, []
    while (done := (time.time() - begun) / (args.minutes * 60)) < 1:
        for norm in norms:
            norm.train(done < .85)  # the last part with the statistics that will be shipped
        sources, source_rows, _, rows = train.random(rng, args.sources, args.each)
        of, to = key_points(source_rows, rows, rng)
        relative, guess, _, _, error = errors(model, sources, source_rows, rows, of, to)
        (relative + .3 * max(0.0, 1 - done / GUESS_UNTIL) * guess).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        factor = min(1, (step + 1) / 30) * min(1, (1 - done) / .6)
        step_all(optimisers, factor)
        step += 1
        seen.append((float(relative.detach()), float(guess.detach()), error))
        if step in (1, 20) or step % 100 == 0:
            held = "%.4f of %.4f, guess %.3f" % progress(model, test, f"{args.out}/warp.png")
            print(f"{time.time() - begun:.0f} s, step {step}: relative, guess, error " +
                  " ".join(f"{value:.4f}" for value in np.mean(seen, 0)) + f"; held out {held}", flush=True)
            seen = []
            torch.save(dict(model=model.state_dict(), step=step), f"{args.out}/warp.pt")
    print("held out: %.4f of %.4f, guess %.3f" % progress(model.eval(), test, f"{args.out}/warp.png"), step, "steps")
    torch.save(dict(model=model.state_dict(), step=step), f"{args.out}/warp.pt")


if __name__ == "__main__":
    main()
