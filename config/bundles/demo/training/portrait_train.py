"""Trains F, W and G of the animation model on exact key points.

Role: appearance, warping and generator together, from pictures of one identity and the key points that the node will
make for each drive. M learns apart (portrait_motion.py); its errors are imitated here by disturbing pose and expression
of source and drive alike.
Inputs: --cache with the pictures of portrait_data.py (train, and test for the progress figures); warp.pt of portrait_warp.py in --out.
Outputs: in --out: state.pt (weights, their running mean, optimisers, clock), progress.png, config.json.
Resume: run again with --resume; --minutes is the whole schedule, time already used counts.
"""
import argparse
import json
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import portrait_data as data
import portrait_face as face
import portrait_nets as nets
from common import Muon, step_all
from portrait_flow import flow_and_masks

# Features of 1/4 of the picture's sides, in one slice: cartoons are flat, and narrow layers keep a frame cheap.
CONFIG = {
    "input_shape": [256, 256],
    "model_params": {
        "appearance_feature_extractor_params": dict(
            image_channel=3, block_expansion=8, num_down_blocks=2, max_features=32, reshape_channel=32, reshape_depth=1,
            num_resblocks=1),
        "motion_extractor_params": dict(
            num_kp=21, backbone="convnextv2_tiny", depths=[1, 1, 3, 1], dims=[24, 48, 96, 160], num_bins=66),
        "warping_module_params": dict(
            num_kp=21, block_expansion=4, max_features=32, num_down_blocks=2, reshape_channel=32,
            estimate_occlusion_map=True,
            dense_motion_params=dict(block_expansion=8, max_features=32, num_blocks=4, reshape_depth=1, compress=3)),
        "spade_generator_params": dict(
            upscale=1, block_expansion=4, max_features=32, num_down_blocks=2, out_channels=8, nhidden=8),
        "stitching_retargeting_module_params": dict(
            stitching=dict(input_size=126, hidden_sizes=[8, 8], output_size=65),
            lip=dict(input_size=65, hidden_sizes=[64, 64], output_size=63),
            eye=dict(input_size=66, hidden_sizes=[64, 64], output_size=63)),
    },
}
KERNEL = (1, 5, 5)  # of the mask convolution while training
ADAM = ("compress", "mask", "occlusion", "conv_img", "first")  # besides all biases and norms; the rest goes by Muon
MOUTH_AND_EYES = (6, 14, 17, 19, 20, 9, 10, 11, 15)
FLOW = .25  # weight of the exact flow's relative error
SHOWN = .3  # weight of what the occlusion map should say of open mouths
DENSE = .3  # of the learning rates: what the warping has learnt already is only mended


def build():
    p = CONFIG["model_params"]
    return torch.nn.ModuleDict(dict(
        F=nets.Appearance(p["appearance_feature_extractor_params"]),
        W=nets.Warping(p["warping_module_params"], KERNEL),
        G=nets.Generator(p["spade_generator_params"])))


@torch.no_grad()
def start_from_colours(model):
    """Weights that pass each cell's mean colour from the source through the warp to the picture: training begins there."""
    F_, W, G = model["F"], model["W"], model["G"]

    def passing(conv, norm=None):
        conv.weight[:3] = 0
        for colour in range(3):
            conv.weight[(colour, colour, *(side // 2 for side in conv.kernel_size))] = 1
        if conv.bias is not None:
            conv.bias[:3] = 0
        if norm is not None:
            norm.running_mean[:3], norm.running_var[:3], norm.weight[:3], norm.bias[:3] = 0, 1, 1, 0

    for block in (F_.first, *F_.down_blocks, W.third):
        passing(block.conv, block.norm)
    passing(F_.second), passing(W.fourth)
    for block in F_.resblocks_3d:
        block.conv2.weight[:3] *= .05
    W.dense_motion_network.occlusion.weight.mul_(.003)  # or it says 1 so firmly that it never learns otherwise
    W.dense_motion_network.occlusion.bias.fill_(3)
    spade = G.up_1.norm_s
    passing(spade.mlp_shared[0]), passing(spade.mlp_beta), passing(G.up_1.conv_s)
    spade.mlp_gamma.weight[:3], spade.mlp_gamma.bias[:3] = 0, -1
    G.up_1.conv_1.weight[:3] *= .1
    # The sigmoid's slope is about right for most colours.
    passing(G.conv_img)
    G.conv_img.weight.mul_(5), G.conv_img.bias.fill_(-2.5)


def soften(pictures, rng):
    """Pictures like those of a small image model: some blurred, some wobbling, some noisy."""
    out = []
    for picture in pictures.split(1):
        if rng.random() < .25:
            wobble = torch.randn(1, 2, 12, 12) * rng.uniform(.002, .008)
            wobble = F.interpolate(wobble, size=picture.shape[2:], mode="bicubic").permute(0, 2, 3, 1)
            base = F.affine_grid(torch.eye(2, 3)[None], picture.shape, align_corners=False)
            picture = F.grid_sample(picture, base + wobble, padding_mode="border", align_corners=False)
        if rng.random() < .5:
            sigma = rng.uniform(.4, 1.3)
            taps = torch.exp(-.5 * (torch.arange(-3., 4.) / sigma).square())
            taps = (taps / taps.sum()).view(1, 1, 1, 7).expand(3, 1, 1, 7)
            padded = F.pad(picture, (3, 3, 3, 3), mode="replicate")
            picture = F.conv2d(F.conv2d(padded, taps, groups=3), taps.transpose(2, 3), groups=3)
        if rng.random() < .3:
            picture = (picture + torch.randn_like(picture) * rng.uniform(.004, .02)).clamp(0, 1)
        out.append(picture)
    return torch.cat(out)


def key_points(source, drive, rng=None):
    """Source and driving key points, as the node makes them; with `rng`, M errs in both alike."""
    pose, expression = data.part(source, "pose").clone(), data.part(source, "expression").clone().view(-1, face.POINTS, 3)
    if rng is not None:
        wrong = lambda spread: torch.randn(len(pose), 1) * spread
        pose += torch.cat([wrong(1.5), wrong(1.5), wrong(1.), wrong(.01), wrong(.006), wrong(.006)], 1)
        expression += torch.randn_like(expression) * .0015
        expression[:, 19, 1:2] += wrong(.004)
    canonical, size, shift = torch.from_numpy(face.CANONICAL), face.SIZE * pose[:, 3], pose[:, 4:]
    of = nets.place(canonical, pose[:, :3], expression, size, shift)
    added = data.part(drive, "added").view(-1, face.POINTS, 3)
    angles, zoom = pose[:, :3] + data.part(drive, "angles"), size * data.part(drive, "zoom")[:, 0]
    to = nets.place(canonical, angles, expression + added, zoom, shift)
    return of, to + (data.part(drive, "eyes") + data.part(drive, "lips")).view(-1, face.POINTS, 3)


def emphasis(to):
    """Weights of pixels: more on mouth and eyes."""
    axis = torch.linspace(-1, 1, data.SIDE // 4)
    bumps = [torch.exp(-((axis - to[:, k, 0:1]).square()[:, None] + (axis - to[:, k, 1:2]).square()[:, :, None]) / .01)
             for k in MOUTH_AND_EYES]
    return F.interpolate(1 + 4 * torch.stack(bumps).amax(0)[:, None], scale_factor=4)


def losses(made, truth, to):
    error = (made - truth).abs()
    weight = emphasis(to)
    difference = made - truth
    gradient = ((difference[..., 1:] - difference[..., :-1]).abs() * weight[..., 1:]).mean() + (
        (difference[:, :, 1:] - difference[:, :, :-1]).abs() * weight[:, :, 1:]).mean()
    coarse = sum(F.avg_pool2d(difference, side).abs().mean() for side in (4, 16))
    return (error * weight).mean() + .5 * gradient + coarse


class Batches:
    def __init__(self, cache, name):
        self.cache, self.name = cache, name
        self.pictures, self.rows = data.table(cache, name)

    def take(self, identities, drives):
        """Source pictures and rows, driven pictures and rows; drives of one source lie side by side."""
        picture = lambda i, j: torch.from_numpy(self.pictures[i, j].copy()).permute(2, 0, 1).float() / 255
        sources = torch.stack([picture(i, 0) for i in identities])
        driven = torch.stack([picture(i, j) for i, some in zip(identities, drives) for j in some])
        of = torch.from_numpy(np.stack([self.rows[i, 0] for i, some in zip(identities, drives) for _ in some]))
        to = torch.from_numpy(np.stack([self.rows[i, j] for i, some in zip(identities, drives) for j in some]))
        return sources, of, driven, to

    def random(self, rng, count, each):
        identities = rng.integers(0, data.finished(self.cache, self.name), count)
        numbers = self.rows.shape[1]
        drives = [rng.choice(np.arange(0, numbers), each, replace=False) if rng.random() < .15
                  else rng.choice(np.arange(1, numbers), each, replace=False) for _ in identities]
        return self.take(identities, drives)


def render(model, sources, of, to):
    each = len(to) // len(sources)
    with torch.autocast("cpu", torch.bfloat16):
        feature = model["F"](sources.contiguous(memory_format=torch.channels_last))
        warped, deformation, occlusion = model["W"](feature.repeat_interleave(each, 0), of, to)
        return model["G"](warped), deformation, occlusion


@torch.no_grad()
def progress(model, batches, path):
    """PSNR on held-out identities; a picture of sources, drives, what was made and where occluded."""
    identities = range(12)
    sources, source_rows, truth, rows = batches.take(identities, [[1] for _ in identities])
    of, to = key_points(source_rows, rows)
    made, _, occlusion = render(model, sources, of, to)
    error = (made - truth).square()
    face_error = (error * (emphasis(to) > 2)).sum((1, 2, 3)) / (3 * (emphasis(to) > 2).sum((1, 2, 3)))
    hidden = F.interpolate(occlusion, scale_factor=4).expand(-1, 3, -1, -1)
    sheet = torch.cat([torch.cat([sources[k], truth[k], made[k], hidden[k]], 1) for k in range(12)], 2)
    Image.fromarray((sheet.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()).resize((12 * 160, 4 * 160)).save(path)
    decibel = lambda value: -10 * float(value.mean((1, 2, 3)).log10().mean() if value.ndim == 4 else value.log10().mean())
    return decibel(error), decibel(face_error)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--out", default="run")
    parser.add_argument("--minutes", type=float, default=70)
    parser.add_argument("--sources", type=int, default=3, help="identities in a batch")
    parser.add_argument("--each", type=int, default=1, help="drives of each")
    parser.add_argument("--muon", type=float, default=.012)
    parser.add_argument("--adam", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    os.makedirs(args.out, exist_ok=True)
    with open(f"{args.out}/config.json", "w") as file:
        json.dump(CONFIG, file, indent=1)
    train, test = Batches(args.cache, "train"), Batches(args.cache, "test")
    model, mean = build().eval(), build().eval()
    by_muon = {name for name, p in model.named_parameters() if p.ndim > 1 and not any(word in name for word in ADAM)}
    learnt = lambda name: "dense_motion" in name and "occlusion" not in name
    split = lambda inside, old: [p for name, p in model.named_parameters() if (name in by_muon) == inside and learnt(name) == old]
    optimisers = []
    for old, share in ((False, 1.0), (True, DENSE)):
        optimisers.append((Muon(split(True, old), args.muon * share), args.muon * share))
        optimisers.append((torch.optim.AdamW(split(False, old), args.adam * share, betas=(.9, .98), weight_decay=0.0), args.adam * share))
    step, used = 0, 0.0
    if args.resume:
        state = torch.load(f"{args.out}/state.pt")
        model.load_state_dict(state["model"]), mean.load_state_dict(state["mean"])
        for (optimiser, _), saved in zip(optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
        step, used = state["step"], state["used"]
        rng = np.random.default_rng(args.seed + step)
    else:
        model.load_state_dict(torch.load(f"{args.out}/warp.pt")["model"])

        def run():
            for _ in range(3):
                sources, source_rows, _, rows = train.random(rng, args.sources, args.each)
                render(model, sources, *key_points(source_rows, rows, rng))
        nets.calibrate([model["W"].third], run)
        start_from_colours(model)
        mean.load_state_dict(model.state_dict())
    for module in (*model.modules(), *mean.modules()):
        if isinstance(module, torch.nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    begun, seen = time.time(), []
    elapsed = lambda: used + time.time() - begun

    def save():
        torch.save(dict(model=model.state_dict(), mean=mean.state_dict(), step=step, used=elapsed(),
                        optimisers=[optimiser.state_dict() for optimiser, _ in optimisers]), f"{args.out}/state.tmp")
        os.replace(f"{args.out}/state.tmp", f"{args.out}/state.pt")

    parameters = list(model.parameters())
    while elapsed() < args.minutes * 60:
        done = elapsed() / (args.minutes * 60)
        sources, source_rows, truth, rows = train.random(rng, args.sources, args.each)
        of, to = key_points(source_rows, rows, rng)
        made, deformation, occlusion = render(model, soften(sources, rng), of, to)
        picture = losses(made, truth, to)
        flow, weight, _, shown = flow_and_masks(source_rows, rows, deformation.shape[2])
        shifts = (deformation - nets.grid(*deformation.shape[1:4], deformation.device))[:, 0, :, :, :2]
        size = .02 + flow.abs().amax((1, 2, 3), keepdim=True)[..., 0]
        flow_error = ((shifts - flow).abs().sum(-1) * weight / size).mean()
        hidden_error = 10 * F.binary_cross_entropy(occlusion[:, 0].clamp(1e-4, 1 - 1e-4), shown, weight=10 - 9 * shown)
        loss = picture + FLOW * flow_error + SHOWN * hidden_error
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        factor = min(1, (step + 1) / 40) * min(1, (1 - done) / .65)
        step_all(optimisers, factor)
        step += 1
        with torch.no_grad():
            share = 1 - min(.995, 1 - 1 / (1 + step / 8))
            for average, now in zip(mean.parameters(), parameters):
                average.lerp_(now, share)
        seen.append((float(picture.detach()), float(flow_error.detach()), float(hidden_error.detach()), float(norm), float((made.detach() - truth).abs().mean())))
        if step in (1, 50) or step % 100 == 0:
            error, face_error = progress(mean, test, f"{args.out}/progress.png")
            numbers = " ".join(f"{value:.4f}" for value in np.mean(seen, 0))
            print(f"{elapsed():.0f} s, step {step}: picture, flow, hidden, gradient, L1 {numbers}; held out {error:.2f} dB, face {face_error:.2f} dB", flush=True)
            seen = []
            save()
    save()
    print("held out: %.2f dB, face %.2f dB" % progress(mean, test, f"{args.out}/progress.png"))


if __name__ == "__main__":
    main()
