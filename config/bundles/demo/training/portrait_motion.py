"""Trains M, and the eye and lip retargeting networks, of the animation model.

Role: M regresses pose and expression of a picture; its canonical key points are constants, since ours are the same for
every head. Asked for seven averages alone M learns nothing for hours; so while training every cell of its last two maps is
also asked where the key points lie from there, and how far mouth and eyes are open: a cell's answer needs only its
surroundings, and the mean of all cells' answers is what the seven heads want. The two retargeting networks learn, from
key points alone, what moves lids and lips from where the source has them to where the node asks. Stitching adds nothing:
shoulders and background have no key points here.
Inputs: --cache with the pictures of portrait_data.py.
Outputs: in --out: motion.pt (M, optimisers, clock), retargeting.pt.
Resume: run again with --resume; --minutes is M's whole schedule. Retargeting takes a minute and starts anew.
"""
import argparse
import os
import time

import numpy as np
import torch
from torch import nn

import portrait_data as data
import portrait_face as face
import portrait_nets as nets
from common import Muon, step_all
from portrait_train import CONFIG, Batches, key_points, soften

P = CONFIG["model_params"]
OPENINGS = 4  # mouth, smile, either eye
LEAST = .004  # of an expression's spread: parts that never move are held at rest by this weight


def build():
    motion = nets.Motion(P["motion_extractor_params"])
    with torch.no_grad():
        for name in ("kp", "exp", "scale", "t"):
            getattr(motion, f"fc_{name}").weight.zero_()
            getattr(motion, f"fc_{name}").bias.zero_()
        for name in ("pitch", "yaw", "roll"):
            getattr(motion, f"fc_{name}").weight.mul_(.1)
            getattr(motion, f"fc_{name}").bias.zero_()
        motion.fc_kp.bias.copy_(torch.from_numpy(face.CANONICAL).flatten())
        motion.fc_exp.bias.copy_(torch.from_numpy(face.REST).flatten())
        motion.fc_scale.bias.fill_(face.SIZE)
        motion.fc_t.bias.copy_(torch.tensor([0., face.CENTRE_Y, 0.]))
    motion.fc_kp.requires_grad_(False)
    return motion


def pose_of(out):
    """Pose (pitch, yaw, roll, scale, x, y) and expression of M's answers."""
    angles = [nets.degrees(out[name])[:, None] for name in ("pitch", "yaw", "roll")]
    return torch.cat([*angles, out["scale"] / face.SIZE, out["t"][:, :2]], 1), out["exp"]


def read(motion, pictures):
    """Pose and expression of pictures."""
    with torch.autocast("cpu", torch.bfloat16):
        return pose_of(motion(pictures.contiguous(memory_format=torch.channels_last)))


class Cells(nn.Module):
    """What every cell of M's last two maps is asked while training."""

    def __init__(self, dims):
        super().__init__()
        self.asked = nn.ModuleList(nn.Conv2d(channels, 2 * face.POINTS + OPENINGS, 1) for channels in dims[-2:])

    def forward(self, maps, rows):
        """Mean error: way to the key points in canvas units, openings in shares."""
        points, _ = key_points(rows, at_rest(rows))
        openings = data.part(rows, "drawn")[:, :OPENINGS]
        total = 0.0
        for ask, cells in zip(self.asked, maps[-2:]):
            said, side = ask(cells).float(), cells.shape[-1]
            axis = (torch.arange(side) + .5) / side * 2 - 1
            y, x = torch.meshgrid(axis, axis, indexing="ij")
            way = points[:, :, :2, None, None] - torch.stack([x, y])
            total = total + (said[:, :-OPENINGS] - way.flatten(1, 2)).abs().mean() / .1
            total = total + (said[:, -OPENINGS:] - openings[:, :, None, None]).abs().mean() / .3
        return total


def at_rest(rows):
    """Drives that leave everything as the rows have it."""
    rest = torch.zeros_like(rows)
    data.part(rest, "zoom").fill_(1)
    return rest


@torch.no_grad()
def progress(motion, batches):
    """Mean errors on held-out pictures: angles, size, shift; the controls lips, smile, brow and lids."""
    pictures, _, _, _ = batches.take(range(60), [[0]] * 60)
    _, _, driven, rows = batches.take(range(60), [[2]] * 60)
    sources = torch.from_numpy(batches.rows[:60, 0].copy())
    pose, expression = read(motion, torch.cat([pictures, driven]))
    rows = torch.cat([sources, rows])
    errors = (pose - data.part(rows, "pose")).abs().mean(0)
    away = (expression - data.part(rows, "expression")).abs().view(-1, face.POINTS, 3)[:, :, face.Y].mean(0)
    units = dict(lips=away[19] / .001, smile=away[14] / .02, brow=away[2] / .001, lids=away[9] / face.LID_TRAVEL)
    return "angles %.1f %.1f %.1f, scale %.3f, shift %.3f %.3f; " % tuple(errors) + ", ".join(
        f"{name} {float(value):.2f}" for name, value in units.items())


def train_motion(args, train, test):
    rng = np.random.default_rng(args.seed)
    motion = build()
    names = {name for name, p in motion.named_parameters() if p.ndim > 1 and not any(w in name for w in ("fc_", "dwconv", "grn", "downsample_layers.0"))}
    split = lambda inside: [p for name, p in motion.named_parameters() if (name in names) == inside and p.requires_grad]
    # Before it has learnt anything it says what most sources are like.
    rows = torch.from_numpy(train.rows[:500, 0].copy())
    with torch.no_grad():
        middle = data.part(rows, "pose").median(0).values
        motion.fc_scale.bias.copy_(middle[3:4] * face.SIZE), motion.fc_t.bias[:2].copy_(middle[4:])
        motion.fc_exp.bias.copy_(data.part(rows, "expression").median(0).values)
    cells = Cells(P["motion_extractor_params"]["dims"])
    others = [*split(False), *cells.parameters()]
    optimisers = [(Muon(split(True), .01), .01), (torch.optim.AdamW(others, 1e-3, betas=(.9, .98), weight_decay=0.0), 1e-3)]
    step, used = 0, 0.0
    path = f"{args.out}/motion.pt"
    if args.resume:
        state = torch.load(path)
        motion.load_state_dict(state["motion"]), cells.load_state_dict(state["cells"])
        for (optimiser, _), saved in zip(optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
        step, used = state["step"], state["used"]
        rng = np.random.default_rng(args.seed + step)
    spread = data.part(torch.from_numpy(train.rows[:500].copy()), "expression").flatten(0, 1).std(0)
    weight = 1 / (spread + LEAST)
    units = torch.tensor([8., 8., 8., .03, .03, .03])
    begun, said, seen = time.time(), time.time(), []
    elapsed = lambda: used + time.time() - begun
    if not step:
        torch.save(dict(motion=motion.state_dict()), path)
    while elapsed() < args.minutes * 60:
        done = elapsed() / (args.minutes * 60)
        identities = rng.integers(0, data.finished(train.cache, train.name), args.batch)
        drives = rng.integers(0, train.rows.shape[1], args.batch) * (rng.random(args.batch) < .6)
        pictures = torch.stack([torch.from_numpy(train.pictures[i, j].copy()) for i, j in zip(identities, drives)])
        rows = torch.from_numpy(np.stack([train.rows[i, j] for i, j in zip(identities, drives)]))
        pictures = soften(pictures.permute(0, 3, 1, 2).float() / 255, rng)
        with torch.autocast("cpu", torch.bfloat16):
            maps = motion.maps(pictures.contiguous(memory_format=torch.channels_last))
            wrong_cells = cells(maps, rows)
            pose, expression = pose_of(motion.answers(maps[-1]))
        wrong_pose = ((pose - data.part(rows, "pose")).abs() / units).mean()
        wrong_expression = ((expression - data.part(rows, "expression")).abs() * weight).mean()
        (wrong_pose + 2 * wrong_expression + .5 * wrong_cells).backward()
        torch.nn.utils.clip_grad_norm_(motion.parameters(), 1.0)
        factor = min(1, (step + 1) / 30) * min(1, (1 - done) / .7)
        step_all(optimisers, factor)
        step += 1
        seen.append((float(wrong_pose.detach()), float(wrong_expression.detach()), float(wrong_cells.detach())))
        if time.time() - said > 60 or elapsed() >= args.minutes * 60:
            print(f"{elapsed():.0f} s, step {step}: pose %.3f, expression %.3f, cells %.3f; held out: " % tuple(np.mean(seen, 0)) + progress(motion, test), flush=True)
            seen, said = [], time.time()
            torch.save(dict(motion=motion.state_dict(), cells=cells.state_dict(), step=step, used=elapsed(), optimisers=[o.state_dict() for o, _ in optimisers]), path + ".tmp")
            os.replace(path + ".tmp", path)


def targets(rng, count):
    """Random sources (their rows' pose and expression) with what the eye and the lip network are to add to them."""
    A = [dict(mouth=max(0., rng.uniform(-.5, 1)), smile=rng.uniform(-1, 1), brow=rng.uniform(-.4, 1), yaw=rng.normal(0, 6),
              pitch=rng.normal(0, 4), roll=rng.normal(0, 4), tx=rng.normal(0, .015), ty=rng.normal(0, .015),
              scale=rng.normal(1, .02), eye_l=float(rng.choice([1., .42, rng.uniform()])), eye_r=1.) for _ in range(count)]
    drives = [dict(face.NO_DRIVE, eyes=float(rng.choice([0, rng.uniform(0, .8)])), lips=-rng.uniform(0, 60)) for _ in range(count)]
    rows, eyes, lips = [], [], []
    for a, drive in zip(A, drives):
        a["eye_r"] = a["eye_l"] if rng.random() < .9 else rng.uniform()
        pair = face.retargeted(a, drive)
        eyes.append(pair[0].ravel()), lips.append(pair[1].ravel())
        rows.append(np.concatenate([face.pose(a), face.expression(a).ravel()]))
    tensor = lambda values: torch.tensor(np.stack(values), dtype=torch.float32)
    rows, wanted = tensor(rows), [(d["eyes"], d["lips"]) for d in drives]
    rows = torch.nn.functional.pad(rows, (0, data.COLUMNS - rows.shape[1]))
    of, _ = key_points(rows, at_rest(rows))
    own = face.OWN_EYES
    eye_ratios = torch.tensor([[own, own, eye] for eye, _ in wanted])
    lip_ratios = torch.tensor([[.1, .1 * max(0., 1 + lip / face.LIPS_TOUCH)] for _, lip in wanted])
    return of.flatten(1), (eye_ratios, tensor(eyes)), (lip_ratios, tensor(lips))


def train_retargeting(args):
    rng = np.random.default_rng(args.seed)
    p = P["stitching_retargeting_module_params"]
    networks = {name: nets.Perceptron(p[name]) for name in ("stitching", "lip", "eye")}
    with torch.no_grad():
        for name in networks:
            networks[name].mlp[-1].weight.mul_(0 if name == "stitching" else .1), networks[name].mlp[-1].bias.zero_()
    pool = targets(rng, 12_000)
    parameters = [p for name in ("lip", "eye") for p in networks[name].parameters()]
    optimiser = torch.optim.AdamW(parameters, 2e-3, weight_decay=0.0)
    steps = 3000
    for step in range(steps):
        pick = torch.randint(0, 11_000, (256,)) if step + 1 < steps else torch.arange(11_000, 12_000)
        of, wrong = pool[0][pick], {}
        noisy = of + torch.randn_like(of) * .003 * (step + 1 < steps)
        for name, (ratios, wanted) in (("eye", pool[1]), ("lip", pool[2])):
            made = networks[name](torch.cat([noisy, ratios[pick]], 1))
            wrong[name] = (made - wanted[pick]).view(-1, face.POINTS, 3)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        if step + 1 < steps:
            sum(value.square().mean() for value in wrong.values()).mul(1e3).backward()
            optimiser.step(), optimiser.zero_grad(set_to_none=True)
    away = {name: value.abs().mean((0, 2)) for name, value in wrong.items()}
    figures = away["eye"][9] * 3, away["lip"][19] * 3, away["eye"].mean(), away["lip"].mean()
    print("retargeting, held out, mean error on the canvas: lids %.4f, lower lip %.4f, all points %.5f %.5f" % tuple(float(value.detach()) for value in figures))
    torch.save({name: network.state_dict() for name, network in networks.items()}, f"{args.out}/retargeting.pt")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--out", default="run")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--only", choices=("motion", "retargeting"))
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    os.makedirs(args.out, exist_ok=True)
    if args.only != "motion":
        train_retargeting(args)
    if args.only != "retargeting":
        train_motion(args, Batches(args.cache, "train"), Batches(args.cache, "test"))


if __name__ == "__main__":
    main()
