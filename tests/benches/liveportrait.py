"""Times the reference implementation of LivePortrait's networks at their published sizes on random weights.

The twin of liveportrait.rs: `python liveportrait.py SOURCE [--threads 2] [--rounds 3] [--batch 1] [--device cpu|cuda]
[--half]`, where SOURCE is a checkout of KwaiVGI/LivePortrait (its src/modules and src/config/models.yaml are used).
"""
import argparse
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("source")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--device", default="cpu")
parser.add_argument("--half", action="store_true")
options = parser.parse_args()

import torch
import yaml

sys.path.insert(0, options.source)
from src.modules.appearance_feature_extractor import AppearanceFeatureExtractor
from src.modules.motion_extractor import MotionExtractor
from src.modules.spade_generator import SPADEDecoder
from src.modules.warping_network import WarpingNetwork

torch.set_num_threads(options.threads)
torch.manual_seed(0)
with open(f"{options.source}/src/config/models.yaml") as file:
    sizes = yaml.safe_load(file)["model_params"]

dtype = torch.float16 if options.half else torch.float32
parts = {
    "F": AppearanceFeatureExtractor(**sizes["appearance_feature_extractor_params"]),
    "M": MotionExtractor(**sizes["motion_extractor_params"]),
    "W": WarpingNetwork(**sizes["warping_module_params"]),
    "G": SPADEDecoder(**sizes["spade_generator_params"]),
}
for part in parts.values():
    part.eval().to(options.device, dtype)

picture = torch.rand(1, 3, 256, 256, device=options.device, dtype=dtype)
batch = options.batch


def seconds(run):
    if options.device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = run()
    if options.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


best = {}
with torch.inference_mode():
    for _ in range(options.rounds):
        took = {}
        took["F"], feature = seconds(lambda: parts["F"](picture))
        took["M"], motion = seconds(lambda: parts["M"](picture))
        source = motion["kp"].view(1, -1, 3).repeat(batch, 1, 1)
        driving = source + 0.01 * torch.arange(batch, device=options.device, dtype=dtype).view(-1, 1, 1)
        features = feature.repeat(batch, 1, 1, 1, 1)
        took["W"], warped = seconds(lambda: parts["W"](features, kp_driving=driving, kp_source=source)["out"])
        took["G"], _ = seconds(lambda: parts["G"](warped))
        for name, value in took.items():
            frames = batch if name in "WG" else 1
            best[name] = min(best.get(name, float("inf")), value / frames)
for name, value in best.items():
    print(f"total {name} {value:.4f} s")
