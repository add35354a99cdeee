"""Trains the demo's Kokoro: what is said when (`plan`), and how it sounds (`shape`, then `speak`).

Role: the halves share no weight, so they train apart, at the same time if there are two cores. Input: recordings
under `--cache` (made when missing), `KOKORO_SRC`, `MISAKI_SRC`. Output: `RUN/plan.pt`, `shape.pt`, `speak.pt` (weights,
their running means, optimiser, elapsed time), written every two minutes. Resume: the same command again; `--minutes` is
the whole schedule's length, so a longer one continues where a shorter one ended.

    speech_train.py plan  --minutes 12
    speech_train.py shape --minutes 12
    speech_train.py speak --minutes 60
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import speech_model
import speech_render as render
import speech_synth

RESOLUTIONS = (1024, 512, 256, 64)
MARGIN = render.FRAME
MUON_RATE = 0.015


def tokens(symbols, vocab, draw):
    """Ids with their ends; sounds that the node writes in two ways are drawn."""
    table = {"ɾ": "T", "ʔ": "t"}
    swapped = [table[s] if s in table and draw.random() < 0.4 else s for s in symbols]
    return [0, *(vocab[s] for s in swapped), 0]


def padded(lists):
    """Ids [B, longest] and their lengths."""
    lengths = torch.tensor([len(ids) for ids in lists])
    out = torch.zeros(len(lists), int(lengths.max()), dtype=torch.long)
    for row, ids in zip(out, lists):
        row[: len(ids)] = torch.tensor(ids)
    return out, lengths


def spectral_loss(ours, true):
    """Distance of spectra at several resolutions, phase included: the excitation is the same for both."""
    total = 0.0
    for size in RESOLUTIONS:
        window = torch.hann_window(size)
        scale = 1.0 / math.sqrt(float((window ** 2).sum()))
        a, b = (torch.stft(x, size, size // 4, window=window, return_complex=True) * scale for x in (ours, true))
        size_a, size_b = (torch.sqrt(x.real ** 2 + x.imag ** 2 + 1e-8) for x in (a, b))
        small_a, small_b = size_a ** 0.4, size_b ** 0.4
        directed = a * (small_a / size_a) - b * (small_b / size_b)
        total = total + torch.sqrt(directed.real ** 2 + directed.imag ** 2 + 1e-6).mean()
        total = total + 1.5 * (small_a - small_b).abs().mean()
        total = total + 0.12 * (torch.log(size_a + 1e-3) - torch.log(size_b + 1e-3)).abs().mean()
    return total / len(RESOLUTIONS)


def banded_loss(ours, true):
    """Distance of log amplitudes [B, bands, columns], which counts less where it is silent anyway."""
    weight = ((true + 9.0) / 6.0).clamp(0.15, 1.0)
    return ((ours - true).abs() * weight)[:, :, 2:-2].mean()


class Speaking:
    """Batches and loss of the text encoder and the decoder, on true durations and curves."""

    def __init__(self, model, data, vocab, seed):
        self.model, self.data, self.vocab = model, data, vocab
        self.draw = np.random.default_rng(seed)
        self.noise = torch.Generator().manual_seed(seed)
        self.parameters = list(model.speaking_parts().parameters())

    def item(self, count):
        """A random crop in a random voice, scattered, shifted and louder or softer."""
        draw = self.draw
        while True:
            item = self.data[draw.integers(len(self.data))]
            item = render.unmarked(item) if draw.random() < 0.1 else item
            names = list(render.VOICES)
            voice = render.VOICES[names[draw.integers(len(names))]] if draw.random() < 0.5 else render.random_voice(draw)
            rushed = voice.tempo * draw.choice([1.0, 1.0, 1.15, 1.3])
            voice = render.Voice(voice.warp, voice.tilt, voice.pitch, voice.span, rushed)
            _, frames = render.frames_of(item, voice, draw, 0.12)
            if frames.sum() >= count:
                break
        first = int(draw.integers(frames.sum() - count + 1))
        shift = draw.uniform(-60.0, 110.0) if draw.random() < 0.5 else 0.0
        gain = draw.uniform(math.log(0.65), math.log(1.6))
        f0, loud, level, index = render.example(item, voice, draw, frames, first, count, shift, gain)
        return tokens(item["symbols"], self.vocab, draw), voice.values(), f0, loud, level, index

    def batch(self, size, count):
        """`size` crops of `count` frames, stacked."""
        ids, values, f0, loud, level, index = zip(*(self.item(count) for _ in range(size)))
        ids, lengths = padded(ids)
        values = torch.tensor(values, dtype=torch.float32)
        return ids, lengths, values, *(torch.stack(x) for x in (f0, loud, level, index))

    def loss(self, progress):
        """One batch's loss and what to log; crops grow near the end."""
        size, count = (3, 32) if progress < 0.8 else (1, 96)
        ids, lengths, values, f0, loud, level, index = self.batch(size, count)
        with torch.no_grad():
            excitation, ideal = render.sources(f0, self.noise)
            true = render.filtered(ideal, level)
        shaped = []
        hook = self.model.decoder.generator.register_forward_pre_hook(lambda _, given: shaped.append(given[0]))
        ours = self.model.sound(self.model.features(ids, lengths), index, f0, loud,
                                self.model.timbre(values), excitation)
        hook.remove()
        sounds = spectral_loss(ours[:, MARGIN:-MARGIN], true[:, MARGIN:-MARGIN])
        envelope = banded_loss(self.model.probe(shaped[0]), render.banded(level))
        return sounds + 0.1 * envelope, {"sound": sounds, "envelope": envelope}


class Shaping(Speaking):
    """The stage before: the decoder without its vocoder learns the envelope in bands, at a tenth of the cost."""

    def __init__(self, model, data, vocab, seed):
        super().__init__(model, data, vocab, seed)
        self.parameters = [p for p in self.parameters if all(p is not q for q in model.decoder.generator.parameters())]

    def loss(self, progress):
        """Distance of log amplitudes."""
        ids, lengths, values, f0, loud, level, index = self.batch(8, 48)
        true = render.banded(level)
        ours = self.model.probe(self.model.shaped(self.model.features(ids, lengths), index, f0, loud,
                                                  self.model.timbre(values)))
        return banded_loss(ours, true), {}


class Planning:
    """Batches and loss of PLBERT and the predictor: durations, F0, energy."""

    def __init__(self, model, data, vocab, seed):
        self.model, self.vocab = model, vocab
        self.draw = np.random.default_rng(seed)
        self.data = sorted(data, key=lambda item: float(item["starts"][-1]))
        self.parameters = list(model.planning_parts().parameters())

    def loss(self, progress):
        """One batch's loss and its parts, of whole lines of about one length, cut to the shortest."""
        draw, batch = self.draw, 8
        at = int(draw.integers(len(self.data) - batch + 1))
        tempo = draw.uniform(0.92, 1.1)
        rows = []
        for item in self.data[at: at + batch]:
            item = render.unmarked(item) if draw.random() < 0.1 else item
            names = list(render.VOICES)
            voice = render.VOICES[names[draw.integers(len(names))]] if draw.random() < 0.5 else render.random_voice(draw)
            voice = render.Voice(voice.warp, voice.tilt, voice.pitch, voice.span, tempo + draw.normal(0, 0.01))
            exact, frames = render.frames_of(item, voice, draw, 0.05)
            f0, loud, _, index = render.example(item, voice, draw, frames, 0, int(frames.sum()))
            rows.append((tokens(item["symbols"], self.vocab, draw), voice.values(), exact, f0, loud, index))
        ids, values, exact, f0, loud, index = zip(*rows)
        count = min(len(x) for x in index)
        ids, lengths = padded(ids)
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).float()
        wanted = torch.zeros(mask.shape)
        for row, x in zip(wanted, exact):
            row[: len(x)] = torch.from_numpy(x)
        f0 = torch.stack([x[: 2 * count] for x in f0]) / speech_model.F0_UNIT
        loud = torch.stack([x[: 2 * count] for x in loud])
        style = self.model.prosody(torch.tensor(values, dtype=torch.float32))
        encoded, bins = self.model.encoded(ids, lengths, style)
        lasted = torch.sigmoid(bins).sum(-1)
        ours_f0, ours_loud = self.model.curves(encoded, torch.stack([x[:count] for x in index]), style)
        duration = ((lasted - wanted).abs() / torch.sqrt(wanted.clamp(min=1)) * mask).sum() / mask.sum()
        pitch, energy = (ours_f0 - f0).abs().mean(), (ours_loud - loud).abs().mean()
        parts = {"frames": ((lasted - wanted).abs() * mask).sum() / mask.sum(), "hz": 100 * pitch, "energy": energy}
        return duration + 2.0 * pitch + 0.5 * energy, parts


class Orthogonal(torch.optim.Optimizer):
    """Muon (Jordan 2024) for convolutions' directions: momentum, made orthogonal by five Newton-Schulz steps."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self):
        """One update of every weight with a gradient."""
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 0.05)
                x = p.grad.lerp(mean, 0.95).flatten(1)
                tall = x.shape[0] > x.shape[1]
                x = x.T if tall else x
                x = x / (x.norm() + 1e-12)
                for _ in range(5):
                    gram = x @ x.T
                    x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
                p.sub_((x.T if tall else x).view_as(p), alpha=group["lr"])


def optimisers(task, rate):
    """Muon for the vocoder's inner convolutions, AdamW for the rest."""
    live = [p for p in task.parameters if p.requires_grad]
    inner = [p for name, p in task.model.decoder.generator.named_parameters()
             if name.endswith("weight_v") and not name.startswith("conv_post")]
    inner = [p for p in inner if any(p is q for q in live)]
    outer = [p for p in live if all(p is not q for q in inner)]
    both = [torch.optim.AdamW(outer, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)]
    return live, both + ([Orthogonal(inner, MUON_RATE)] if inner else [])


def train(task, path, minutes, rate, seed, clock=time.time):
    """Steps until the clock (seconds) says stop; keeps running means for export."""
    live, both = optimisers(task, rate)
    tops = [group["lr"] for one in both for group in one.param_groups]
    means = [p.detach().clone() for p in live]
    elapsed, steps = 0.0, 0
    if path.exists():
        state = torch.load(path, weights_only=False)
        for one, saved in zip(both, state["optimisers"], strict=True):
            one.load_state_dict(saved)
        elapsed, steps = state["elapsed"], state["steps"]
        with torch.no_grad():
            for p, value in zip(live, state["live"]):
                p.copy_(value)
        means = state["means"]
    last_save = last_log = time.time()
    began = clock()
    before, sums, count = elapsed, {}, 0
    while True:
        elapsed = before + clock() - began
        progress = min(elapsed / (60 * minutes), 1.0)
        share = min(1.0, (steps + 1) / 60) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group, top in zip((group for one in both for group in one.param_groups), tops):
            group["lr"] = top * share
        if progress < 1.0:
            loss, parts = task.loss(progress)
            for one in both:
                one.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(live, 1.0)
            if torch.isfinite(norm):
                for one in both:
                    one.step()
            steps += 1
            keep = min(0.995, (steps + 1) / (steps + 20))
            with torch.no_grad():
                torch._foreach_lerp_(means, live, 1 - keep)
            for key, value in {"loss": loss, "norm": norm, **parts}.items():
                sums[key] = sums.get(key, 0.0) + float(value)
            count += 1
        now = time.time()
        if count and (now - last_log > 20 or progress >= 1.0):
            told = " ".join(f"{k} {v / count:.4f}" for k, v in sums.items())
            print(f"{elapsed / 60:6.2f} min step {steps} {told} s/step {(now - last_log) / count:.2f}", flush=True)
            last_log, sums, count = now, {}, 0
        if now - last_save > 120 or progress >= 1.0:
            state = {"optimisers": [one.state_dict() for one in both], "elapsed": elapsed, "steps": steps, "means": means,
                     "live": [p.detach() for p in live], "minutes": minutes, "seed": seed}
            torch.save(state, path.with_suffix(".part"))
            os.replace(path.with_suffix(".part"), path)
            last_save = now
        if progress >= 1.0:
            break


def load_means(model, run, only=None):
    """Puts the running means of each part's checkpoint into the model; a part without one stays as it is."""
    for name, task in (("plan", Planning), ("shape", Shaping), ("speak", Speaking)):
        path = Path(run) / f"{name}.pt"
        if path.exists() and only in (None, name):
            state = torch.load(path, weights_only=False)
            live = [p for p in task(model, [], {}, 0).parameters if p.requires_grad]
            with torch.no_grad():
                for p, value in zip(live, state["means"], strict=True):
                    p.copy_(value)
            print(f"{name}: {state['steps']} steps, {state['elapsed'] / 60:.1f} minutes")
    return model


def main():
    """Reads the flags."""
    parse = argparse.ArgumentParser()
    parse.add_argument("what", choices=["plan", "shape", "speak"])
    parse.add_argument("--minutes", type=float, default=30.0)
    parse.add_argument("--rate", type=float, default=2e-3)
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--cache", default="cache")
    parse.add_argument("--run", default="run")
    parse.add_argument("--config", default=str(Path(__file__).resolve().parents[4] / "src/models/kokoro/config.rs"))
    flags = parse.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(flags.seed)
    data = speech_synth.load(flags.cache)["train"]
    vocab = speech_model.vocabulary(flags.config)
    model = speech_model.Kokoro()
    kinds = {"plan": Planning, "shape": Shaping, "speak": Speaking}
    if flags.what == "speak" and not (Path(flags.run) / "speak.pt").exists():
        load_means(model, flags.run, only="shape")
    task = kinds[flags.what](model, data, vocab, flags.seed + int(time.time()))
    Path(flags.run).mkdir(parents=True, exist_ok=True)
    train(task, Path(flags.run) / f"{flags.what}.pt", flags.minutes, flags.rate, flags.seed)


if __name__ == "__main__":
    main()
