"""What the training scripts share: Muon with AdamW, schedules by the clock, checkpoints, exports, picture sheets.

Nothing here knows a model. Every training runs by the clock (`Clock`, `Optimiser.step(progress)`), so that the learning
rate has come down to zero when the time is over, on whatever processor; checkpoints keep the time used, so that a resumed
run goes on where it stopped.
"""

import json
import os
import random
import time

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file


def seed_everything(seed, threads=1):
    """Seeds every generator in use and limits torch's threads."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def orthogonalise(matrices, steps=5):
    """A batch of matrices, each replaced by about the nearest (semi-)orthogonal one.

    Newton-Schulz iteration with Keller Jordan's coefficients (https://kellerjordan.github.io/posts/muon/); bfloat16 is
    exact enough and several times faster where the processor multiplies it.
    """
    x = matrices.bfloat16()
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: for weights that are matrices (convolutions count as matrices of their rows)."""

    def __init__(self, params, lr=.02, momentum=.95, wd=0.0):
        super().__init__(params, dict(lr=lr, momentum=momentum, wd=wd))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "m" not in state:
                    state["m"] = torch.zeros_like(p)
                state["m"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["m"], group["momentum"])
                by_shape.setdefault(tuple(p.flatten(1).shape), []).append((p, update))
            for shape, pairs in by_shape.items():
                updates = orthogonalise(torch.stack([update.flatten(1) for _, update in pairs]))
                updates = updates * max(1, shape[0] / shape[1]) ** .5
                for (p, _), update in zip(pairs, updates):
                    if group["wd"]:
                        p.mul_(1 - group["lr"] * group["wd"])
                    p.add_(update.view_as(p), alpha=-group["lr"])


def step_all(optimisers, factor):
    """One step of every optimiser at `factor` of the rate that stands beside it; the gradients are cleared."""
    for optimiser, rate in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate * factor
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


class Optimiser:
    """Muon on matrices, AdamW on the rest and on those whose name contains a word of `adam`.

    The rate rises over `warm` steps, stays, and falls linearly to zero over the last 70 % of the time.
    """

    def __init__(self, model, muon_lr, adam_lr, adam=(), wd=0.0, warm=40):
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if p.ndim >= 2 and not any(word in name for word in adam)]
        taken = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in taken]
        self.parts = [Muon(matrices, muon_lr, wd=wd),
                      torch.optim.AdamW(rest, adam_lr, betas=(.9, .98), weight_decay=0.0)]
        self.rates, self.warm, self.count, self.params = [muon_lr, adam_lr], warm, 0, matrices + rest

    def step(self, progress, clip=1.0):
        """One step with the gradients that stand, which are cleared. progress: share of the time that is used."""
        self.count += 1
        factor = min(1, self.count / self.warm) * max(0.0, min(1.0, (1 - progress) / .7))
        norm = torch.nn.utils.clip_grad_norm_(self.params, clip)
        for part, rate in zip(self.parts, self.rates):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
        for p in self.params:
            p.grad = None
        return norm

    def state_dict(self):
        return dict(o=[part.state_dict() for part in self.parts], n=self.count)

    def load_state_dict(self, state):
        for part, saved in zip(self.parts, state["o"]):
            part.load_state_dict(saved)
        self.count = state["n"]


class Clock:
    """Progress in [0, 1] over `minutes` of training, with what earlier runs used."""

    def __init__(self, minutes, used=0.0):
        self.total, self.used, self.start = minutes * 60, used, time.time()

    def elapsed(self):
        return self.used + time.time() - self.start

    def progress(self):
        return min(1.0, self.elapsed() / self.total)


def to_bytes(pictures):
    """(N, 3, H, W) in [-1, 1] to (N, H, W, 3) uint8."""
    levels = ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def sheet(path, pictures, columns=8):
    """Writes (N, H, W, 3) uint8 pictures as one, in rows."""
    height, width = pictures.shape[1:3]
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * width, rows * height), (255, 255, 255))
    for i, picture in enumerate(pictures):
        whole.paste(Image.fromarray(picture), (i % columns * width, i // columns * height))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    whole.save(path)


def write_tensors(path, tensors, dtype=None):
    """Writes a safetensors file, floats as `dtype`; its size in bytes."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)

    def ready(tensor):
        tensor = tensor.detach()
        return (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor).clone().contiguous().cpu()

    save_file({name: ready(tensor) for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    return os.path.getsize(path)


def save_checkpoint(path, **state):
    """Written aside and renamed, so that a stopped run never leaves half a file."""
    torch.save(state, path + ".tmp")
    os.replace(path + ".tmp", path)


def write_json(path, value):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(value, indent=1) + "\n")


class Log:
    """Prints a line every `seconds` with the means of what was noted since."""

    def __init__(self, path, seconds=30):
        self.file, self.seconds, self.last, self.values = open(path, "a", encoding="utf-8"), seconds, time.time(), {}

    def note(self, **values):
        for name, value in values.items():
            if value == value:  # no NaN: the mean of nothing
                self.values.setdefault(name, []).append(float(value))

    def tell(self, head):
        if time.time() - self.last < self.seconds:
            return False
        line = head + " " + " ".join(f"{name} {np.mean(values):.4f}" for name, values in self.values.items())
        print(line, flush=True)
        self.file.write(line + "\n")
        self.file.flush()
        self.last, self.values = time.time(), {}
        return True
