"""Writes the trained animation model as the node loads it.

Role: five f16 safetensors files under the published names, and config.json.
Inputs: --run with state.pt, motion.pt and retargeting.pt of the training scripts.
Outputs: the folder --out, written aside and then put in the old one's place.
Compares names with --reference, a folder of LivePortrait files in the published layout, when given.
"""
import argparse
import json
import os
import re
import shutil

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import portrait_nets as nets
import portrait_train

FILES = dict(F="appearance_feature_extractor", M="motion_extractor", W="warping_module", G="spade_generator")
RETARGETING = dict(stitching="retarget_shoulder", lip="retarget_mouth", eye="retarget_eye")


def states(run):
    """Every file's tensors under published names."""
    model = portrait_train.build()
    model.load_state_dict(torch.load(f"{run}/state.pt")["mean"])
    motion = torch.load(f"{run}/motion.pt")["motion"]
    files = {FILES[name]: nets.published(model[name]) for name in ("F", "W", "G")}
    files[FILES["M"]] = {f"detector.{name}": tensor for name, tensor in motion.items()}
    perceptrons = torch.load(f"{run}/retargeting.pt")
    files["stitching_retargeting_module"] = {
        f"{RETARGETING[which]}.module.{name}": tensor for which, state in perceptrons.items() for name, tensor in state.items()}
    return files


def write(files, out):
    aside = f"{out}.new"
    shutil.rmtree(aside, ignore_errors=True)
    os.makedirs(aside)
    for name, state in files.items():
        half = {key: (value.half() if value.is_floating_point() else value).clone().contiguous() for key, value in state.items()}
        wrong = [key for key, value in half.items() if not torch.isfinite(value.float()).all()]
        if wrong:
            raise SystemExit(f"{name}: {wrong} are no numbers in f16")
        save_file(half, f"{aside}/{name}.safetensors", metadata={"format": "pt"})
        os.chmod(f"{aside}/{name}.safetensors", 0o644)
    with open(f"{aside}/config.json", "w") as file:
        json.dump(portrait_train.CONFIG, file, indent=1)
    old = f"{out}.old"
    shutil.rmtree(old, ignore_errors=True)
    if os.path.exists(out):
        os.rename(out, old)
    os.rename(aside, out)
    shutil.rmtree(old, ignore_errors=True)


def names(folder, file):
    """Names with every number as a star, and the number of dimensions."""
    with safe_open(f"{folder}/{file}.safetensors", "pt") as tensors:
        return {(re.sub(r"\d+", "*", key), len(tensors.get_slice(key).get_shape())) for key in tensors.keys()}


def compare(out, reference):
    for file in (*FILES.values(), "stitching_retargeting_module"):
        ours, theirs = names(out, file), names(reference, file)
        # A last layer without a pixel shuffle is no sequence; M's files here keep no batch counters.
        only = sorted(ours - theirs), sorted(theirs - ours)
        print(f"{file}: {len(ours)} kinds of names; only here {only[0]}; only there {only[1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", default="run")
    parser.add_argument("--out", default="out/portrait")
    parser.add_argument("--reference")
    args = parser.parse_args()
    write(states(args.run), args.out)
    size = sum(os.path.getsize(f"{args.out}/{file}") for file in os.listdir(args.out))
    print(f"{args.out}: {size / 1e6:.2f} MB")
    if args.reference:
        compare(args.out, args.reference)


if __name__ == "__main__":
    main()
