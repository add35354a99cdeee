"""Draws the animation model's training pictures.

Role: per identity one source portrait, as the image model draws them, and several driven ones.
Inputs: portraits.py (the drawing), portrait_face.py (drives and key points).
Outputs: in --cache: NAME.u8 (identities, 1 + drives, 256, 256, 3), NAME.npz-like float table NAME.f32
(identities, 1 + drives, COLUMNS), and NAME.done, the number of identities that are finished. Training may start while
this still runs. Run again to resume: finished identities are kept.
"""
import argparse
import os
import random

import numpy as np

import portrait_face as face
from portraits import KINDS, render, sample, sample_front, with_drive

SIDE = 256
FIRST_SEED = dict(train=5_000_000, test=9_000_000)
# Columns of the table: pose, expression, the drive (relative pose, its additions, what retargeting adds), eye and lip asked.
PARTS = dict(pose=6, expression=63, angles=3, zoom=1, added=63, eyes=63, lips=63, asked=2, drawn=7)
COLUMNS = sum(PARTS.values())


def part(table, name):
    """The columns called `name` of a (..., COLUMNS) array or tensor."""
    start = 0
    for key, count in PARTS.items():
        if key == name:
            return table[..., start:start + count]
        start += count
    raise KeyError(name)


def source(seed):
    """An identity's attributes and its source portrait's parameters: mostly as the image model paints it, frontal and with
    nothing but what a caption names; some turned a little, some with a face of their own."""
    r = random.Random(seed)
    lot = r.random()
    A = sample_front(seed, weak=True) if lot < .65 else sample(seed)
    if lot > .85:
        A = with_drive(A, r, .35, True)
    return A, r


def row(A, B, drive):
    """One row of the table: `B` is drawn, `A` is its source."""
    eyes, lips = face.retargeted(A, drive)
    angles = [drive["pitch"], drive["yaw"], drive["roll"]]
    parts = [face.pose(B), face.expression(B), angles, [drive["scale"]], face.additions(drive), eyes, lips,
             [drive["eyes"], drive["lips"]], 
             [B["mouth"], B["smile"], B["eye_l"], B["eye_r"], B.get("mouth_width", 1.0), B["eyes"], KINDS.index(B["kind"])]]
    return np.concatenate([np.ravel(value) for value in parts])


def identity(seed, drives):
    """Pictures and rows of one identity, its source first."""
    A, r = source(seed)
    pictures, rows = [np.asarray(render(A, ss=2))], [row(A, A, face.NO_DRIVE)]
    for _ in range(drives):
        drive = face.random_drive(A, r)
        B = face.driven(A, drive)
        pictures.append(np.asarray(render(B, ss=2)))
        rows.append(row(A, B, drive))
    return np.stack(pictures), np.stack(rows).astype(np.float32)


def table(cache, name, identities=None, drives=None):
    """Memory maps of the pictures and the table; made where they are missing and sizes are given."""
    new = not os.path.exists(f"{cache}/{name}.u8.npy")
    if new:
        for kind, dtype, shape in (("u8", np.uint8, (SIDE, SIDE, 3)), ("f32", np.float32, (COLUMNS,))):
            np.lib.format.open_memmap(f"{cache}/{name}.{kind}.npy", "w+", dtype, (identities, 1 + drives, *shape)).flush()
    mode = "r" if identities is None else "r+"
    return np.load(f"{cache}/{name}.u8.npy", mmap_mode=mode), np.load(f"{cache}/{name}.f32.npy", mmap_mode=mode)


def finished(cache, name):
    path = f"{cache}/{name}.done"
    return int(open(path).read()) if os.path.exists(path) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--name", choices=sorted(FIRST_SEED), default="train")
    parser.add_argument("--identities", type=int, default=2500)
    parser.add_argument("--drives", type=int, default=5)
    args = parser.parse_args()
    os.makedirs(args.cache, exist_ok=True)
    pictures, rows = table(args.cache, args.name, args.identities, args.drives)
    for index in range(finished(args.cache, args.name), args.identities):
        pictures[index], rows[index] = identity(FIRST_SEED[args.name] + index, args.drives)
        if index % 20 == 19 or index + 1 == args.identities:
            pictures.flush(), rows.flush()
            with open(f"{args.cache}/{args.name}.tmp", "w") as file:
                file.write(str(index + 1))
            os.replace(f"{args.cache}/{args.name}.tmp", f"{args.cache}/{args.name}.done")


if __name__ == "__main__":
    main()
