"""How good the demo's pictures are: one command, figures and a contact sheet.

python report.py --weights out/image --out out/report [--count 200] [--skip-drawings]

in:  WEIGHTS/{flux,clip_b,clip_l} as `image/export.py` writes them; captions of held-out portraits (seeds from 10,000,000)
out: OUT/image.json, OUT/contact-sheet.png (40 pictures, captions in OUT/contact-sheet.txt), and a table on the screen

Three questions. Can the reader of attributes be trusted? It reads the true drawings, once as they are and once through the
autoencoder. What do the pictures show of what was asked? Read from their pixels. Which pairs do the CLIPs pass? Matching
and mismatched ones, on the same pictures and on drawings.
"""

import argparse
import os
import random

import numpy as np
import torch

from common import sheet, write_json
from image.autoencoder import HELD
from portraits import caption, render, sample_front
from report.attributes import Reader, agrees
from report.clip import judge
from report.generate import Painter

SHEET = 40


def held_out(count):
    """Portraits, one caption each, and what the captions claim."""
    words = random.Random(7)
    portraits, texts, claims = [sample_front(HELD + i) for i in range(count)], [], []
    for A in portraits:
        texts.append(caption(A, words))
        claims.append(dict(A["used"], kind=A["kind"]))
    return portraits, texts, claims


def read_all(reader, pictures, portraits):
    """{attribute: [share that agrees, how many]}, the mean of all, and what was read where something differs."""
    verdicts, differing = {}, []
    for i, (picture, A) in enumerate(zip(pictures, portraits)):
        found = reader.read(picture)
        outcome = agrees(found, A["spec"], A["kind"])
        for name, right in outcome.items():
            verdicts.setdefault(name, []).append(right)
        wrong = [name for name, right in outcome.items() if not right]
        if wrong:
            differing.append(dict(picture=i, read={name: found[name.removeprefix("no ")] for name in wrong}))
    shares = {name: [round(float(np.mean(rights)), 4), len(rights)] for name, rights in verdicts.items()}
    everything = [right for rights in verdicts.values() for right in rights]
    return dict(attributes=shares, mean=round(float(np.mean(everything)), 4), differing=differing)


def tell(title, result):
    print(f"\n{title}: {result['mean']:.1%} of all attributes agree")
    for name, (share, count) in result["attributes"].items():
        print(f"  {name:8} {share:6.1%} of {count}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", default="out/image")
    parser.add_argument("--out", default="out/report")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1000, help="of the pictures' noise")
    parser.add_argument("--skip-drawings", action="store_true", help="do not examine the reader itself again")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.makedirs(args.out, exist_ok=True)
    portraits, texts, claims = held_out(args.count)
    drawings = np.stack([np.asarray(render(A)) for A in portraits])
    painter, reader, result = Painter(args.weights + "/flux"), Reader(), {}
    pictures = painter.paint(texts, args.seed)
    sheet(args.out + "/contact-sheet.png", pictures[:SHEET])
    with open(args.out + "/contact-sheet.txt", "w", encoding="utf-8") as file:
        file.writelines(f"{i // 8 + 1}.{i % 8 + 1}  {text}\n" for i, text in enumerate(texts[:SHEET]))
    result["clip on pictures"] = judge(args.weights, portraits, texts, claims, pictures)
    result["clip on drawings"] = judge(args.weights, portraits, texts, claims, drawings)
    for name in ("clip on pictures", "clip on drawings"):
        print(f"\n{name}")
        for which, figures in result[name].items():
            print(f"  {which:7}", ", ".join(f"{k} {v}" for k, v in figures.items()))
    write_json(args.out + "/image.json", result)
    result["pictures"] = read_all(reader, pictures, portraits)
    tell("read from the pictures", result["pictures"])
    write_json(args.out + "/image.json", result)
    if not args.skip_drawings:
        for name, shown in (("drawings", drawings), ("drawings through the autoencoder", painter.round_trip(drawings))):
            result[name] = read_all(reader, shown, portraits)
            tell(f"read from the {name}", result[name])
            write_json(args.out + "/image.json", result)


if __name__ == "__main__":
    main()
