"""Trains the demo's Kokoro further, with Kokoro-82M as its teacher: when what is said, and how it sounds.

Role: the second half of the demo voice's schooling; `speech_train.py`'s tasks on other recordings. Input: `--cache`, what
`speech_teacher.py` has made; `--demo`, the demo's own Kokoro, whose weights it begins from (the teacher's are never
read); `KOKORO_SRC`. Output: `RUN/pupil-plan.pt`, `RUN/pupil-speak.pt`, and by `export` the bundle's folder. Minutes are
the processor's, so that a crowded machine takes longer and not less. Resume: the same command again.

    speech_pupil.py plan  --minutes 6      # durations, F0, energy
    speech_pupil.py speak --minutes 20     # the sound
    speech_pupil.py export --out DIR

The teacher's spectral envelope (WORLD's CheapTrick at the teacher's own pitch) is sounded by the demo's excitation, as
the formant synthesiser's was: the vocoder learns a filter, its phases included. The teacher's F0 runs on through
unvoiced sounds; here it is 0 there, which is what makes our source hiss.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter1d

import speech_model
import speech_render as render
import speech_train
from speech_synth import FLOOR, RATE, STEP, voicing
from speech_teacher import OTHERS, SPEAKERS

VOICES = SPEAKERS + OTHERS
# Whose sound the others borrow; their rhythm and melody are their own.
TIMBRE = {
    **{name: {name: 1.0} for name in SPEAKERS},
    "am_adam": {"am_michael": 0.6, "bm_george": 0.4}, "am_onyx": {"bm_george": 1.0},
    "am_fenrir": {"am_michael": 0.8, "bm_george": 0.2}, "am_puck": {"am_michael": 0.75, "af_sarah": 0.25},
    "am_echo": {"am_michael": 1.0}, "af_nova": {"af_sarah": 0.5, "bf_emma": 0.5},
    "af_jessica": {"af_sarah": 0.8, "bf_emma": 0.2},
}
# Where the styles of voices begin that the demo lacks.
BEGINS = {"bf_emma": "af_nova", "bm_george": "am_onyx"}
LEAD, TAIL = 4, 3  # frames of silence that are kept before and behind


def values(voice):
    """A voice as what both style maps take: 1 at its place."""
    return [float(name == voice) for name in VOICES]


class Timbre(nn.Module):
    """The sound's style: a linear map of the speakers that a voice is made of."""

    def __init__(self, style):
        super().__init__()
        self.linear = nn.Linear(len(SPEAKERS), style)
        mix = torch.tensor([[TIMBRE[voice].get(name, 0.0) for name in SPEAKERS] for voice in VOICES])
        self.register_buffer("mix", mix)

    def forward(self, given):
        return self.linear(given @ self.mix)


def pupil(demo):
    """The networks with the demo's weights in them."""
    model = speech_model.Kokoro()
    style = model.sizes["style_dim"]
    model.timbre, model.prosody = Timbre(style), nn.Linear(len(VOICES), style)
    stored = load_file(str(Path(demo) / "kokoro-v1_0.safetensors"))
    packs = {path.stem: load_file(str(path))["voice"][0, 0].float() for path in Path(demo, "voices").glob("*")}
    with torch.no_grad():
        for part in ("bert", "bert_encoder", "predictor", "text_encoder", "decoder"):
            for name, value in getattr(model, part).state_dict().items():
                kept = stored.get(f"{part}.module.{name}")
                if kept is None:
                    continue
                kept = kept.float()
                if (part, name) in (("predictor", "F0_proj.weight"), ("predictor", "F0_proj.bias")):
                    kept = kept / speech_model.F0_UNIT
                if (part, name) == ("decoder", "F0_conv.weight_g"):
                    kept = kept * speech_model.F0_UNIT
                value.copy_(kept)
        for linear, names, half in ((model.timbre.linear, SPEAKERS, slice(0, style)),
                                    (model.prosody, VOICES, slice(style, None))):
            linear.bias.zero_()
            for place, name in enumerate(names):
                known = packs[name if name in packs else BEGINS[name]]
                linear.weight[:, place] = known[half]
    return model


def masked(f0, symbols, frames):
    """The teacher's F0 where the symbol has a voice, else 0."""
    flags = np.repeat(np.repeat(np.asarray(voicing(symbols)), frames), 2)
    return np.where(flags & (f0 > 40), f0, 0.0).astype(np.float32)


def envelope(sound, f0):
    """Log amplitudes every 5 ms of whole frames, [5 · frames, 257] f16; noise is smoothed to what can be learnt."""
    import pyworld
    count = len(f0) * render.HALF // int(RATE * STEP)
    times = (np.arange(count) + 0.5) * STEP
    pitch = f0[np.minimum((times * RATE / render.HALF).astype(int), len(f0) - 1)].astype(np.float64)
    power = pyworld.cheaptrick(sound.astype(np.float64), pitch, times, RATE, fft_size=1024)
    level = np.maximum(0.5 * np.log(power[:, ::2] + 1e-30), FLOOR)
    calm = gaussian_filter1d(gaussian_filter1d(level, 2.0, axis=0, mode="nearest"), 3.0, axis=1, mode="nearest")
    return np.where((pitch > 0)[:, None], level, calm).astype(np.float16)


def read(path):
    """One recording, its outer silences shortened."""
    with np.load(path) as file:
        found = {name: file[name] for name in file.files}
    symbols, exact = str(found["symbols"]), np.maximum(found["frames"], 1.0)
    frames = np.maximum(np.round(exact), 1).astype(np.int64)
    first, last = max(frames[0] - LEAD, 0), max(frames[-1] - TAIL, 0)
    f0, loud = found["f0"].astype(np.float32), found["energy"].astype(np.float32)
    f0 = masked(f0[: 2 * frames.sum()], symbols, frames)
    kept = slice(2 * first, 2 * (frames.sum() - last))
    item = {"symbols": symbols, "voice": str(found["voice"]), "text": str(found["text"])}
    if "sound" in found:
        level = envelope(found["sound"].astype(np.float32) / 32768, f0)
        item["level"] = torch.from_numpy(level[5 * first: 5 * (frames.sum() - last)].copy())
    frames[0], frames[-1] = frames[0] - first, frames[-1] - last
    exact[0], exact[-1] = min(exact[0], LEAD), min(exact[-1], TAIL)
    return item | {"exact": torch.from_numpy(exact), "frames": torch.from_numpy(frames),
                   "f0": torch.from_numpy(f0[kept].copy()), "loud": torch.from_numpy(loud[kept].copy())}


def load(cache):
    """Every recording; the teacher's energy becomes ours by the line that fits best where the sound is known."""
    folder, kept = Path(cache) / "teacher", Path(cache) / "pupil.pt"
    items = {item["name"]: item for item in torch.load(kept, weights_only=False)} if kept.exists() else {}
    paths = sorted(folder.glob("*.npz"))
    new = [path for path in paths if path.stem not in items]
    for path in new:
        items[path.stem] = read(path) | {"name": path.stem}
    items = [items[name] for name in sorted(items)]
    sounds = [item for item in items if "level" in item]
    ours = torch.cat([render.energy(item["level"][None].float())[0] for item in sounds])
    theirs = torch.cat([item["loud"] for item in sounds])
    slope = ((ours - ours.mean()) * (theirs - theirs.mean())).mean() / theirs.var(correction=0)
    if new:
        torch.save(items, kept)
        minutes = sum(int(item["frames"].sum()) for item in sounds) / 2400
        print(f"{len(items)} recordings, {len(sounds)} with their sound ({minutes:.1f} minutes); energy: slope {slope:.3f}, "
              f"correlation {float(torch.corrcoef(torch.stack([ours, theirs]))[0, 1]):.3f}")
    for item in items:
        item["loud"] = ours.mean() + slope * (item["loud"] - theirs.mean())
    return items


def retimed(item, rate):
    """A recording `rate` times as fast, symbol by symbol: frames, F0 and log amplitudes."""
    old = item["frames"].numpy()
    new = np.maximum(np.round(old / rate), 1).astype(np.int64)
    before, after = np.cumsum(old) - old, np.cumsum(new)
    def place(count):
        at = (np.arange(count * after[-1]) + 0.5) / count
        symbol = np.searchsorted(after, at, side="right")
        return (before[symbol] + (at - after[symbol] + new[symbol]) / new[symbol] * old[symbol]) * count
    rows = np.clip(place(5) - 0.5, 0, len(item["level"]) - 1.001)
    low, part = rows.astype(np.int64), torch.from_numpy(rows % 1.0).float()[:, None]
    level = item["level"][low].float() * (1 - part) + item["level"][low + 1].float() * part
    f0 = item["f0"][np.minimum(place(2).astype(np.int64), len(item["f0"]) - 1)]
    return {"frames": torch.from_numpy(new), "f0": f0, "level": level}


class Speaking(speech_train.Speaking):
    """Crops of the recordings: half of them faster or slower, a little higher or lower, louder or softer."""

    def item(self, count):
        """One crop of `count` frames."""
        draw = self.draw
        while True:
            item = self.data[draw.integers(len(self.data))]
            if draw.random() < 0.5:
                item = item | retimed(item, draw.uniform(0.8, 1.4))
            total = int(item["frames"].sum())
            if total >= count:
                break
        first = int(draw.integers(total - count + 1))
        f0 = item["f0"][2 * first: 2 * (first + count)].clone()
        if draw.random() < 0.5:
            shift = draw.uniform(-30.0, 90.0)
            f0[f0 > 10] = (f0[f0 > 10] + shift).clamp(min=55.0)
        level = item["level"][5 * first: 5 * (first + count)].float() + draw.uniform(np.log(0.65), np.log(1.6))
        index = torch.repeat_interleave(torch.arange(len(item["frames"])), item["frames"])[first: first + count]
        ids = [0, *(self.vocab[s] for s in item["symbols"]), 0]
        return ids, values(item["voice"]), f0, render.energy(level[None])[0], level, index


class Planning(speech_train.Planning):
    """Whole lines of about one length, cut to the shortest."""

    def __init__(self, model, data, vocab, seed):
        self.model, self.vocab = model, vocab
        self.draw = np.random.default_rng(seed)
        self.data = sorted(data, key=lambda item: int(item["frames"].sum()))
        self.parameters = list(model.planning_parts().parameters())

    def loss(self, progress):
        """One batch's loss and its parts."""
        batch = 8
        at = int(self.draw.integers(len(self.data) - batch + 1))
        rows = self.data[at: at + batch]
        count = min(int(item["frames"].sum()) for item in rows)
        ids, lengths = speech_train.padded([[0, *(self.vocab[s] for s in item["symbols"]), 0] for item in rows])
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).float()
        wanted = torch.zeros(mask.shape)
        for row, item in zip(wanted, rows):
            row[: len(item["exact"])] = item["exact"]
        index = torch.stack([torch.repeat_interleave(torch.arange(len(item["frames"])), item["frames"])[:count]
                             for item in rows])
        f0 = torch.stack([item["f0"][: 2 * count] for item in rows]) / speech_model.F0_UNIT
        loud = torch.stack([item["loud"][: 2 * count] for item in rows])
        style = self.model.prosody(torch.tensor([values(item["voice"]) for item in rows]))
        encoded, bins = self.model.encoded(ids, lengths, style)
        lasted = torch.sigmoid(bins).sum(-1)
        ours_f0, ours_loud = self.model.curves(encoded, index, style)
        duration = ((lasted - wanted).abs() / torch.sqrt(wanted.clamp(min=1)) * mask).sum() / mask.sum()
        pitch, energy = (ours_f0 - f0).abs().mean(), (ours_loud - loud).abs().mean()
        parts = {"frames": ((lasted - wanted).abs() * mask).sum() / mask.sum(), "hz": 100 * pitch, "energy": energy}
        return duration + 2.0 * pitch + 0.5 * energy, parts


TASKS = {"plan": Planning, "speak": Speaking}


def trained(model, run):
    """The model with the running means of what has been trained so far."""
    for name, task in TASKS.items():
        path = Path(run) / f"pupil-{name}.pt"
        if not path.exists():
            continue
        state = torch.load(path, weights_only=False)
        live = [p for p in task(model, [], {}, 0).parameters if p.requires_grad]
        with torch.no_grad():
            for p, value in zip(live, state["means"], strict=True):
                p.copy_(value)
        print(f"{name}: {state['steps']} steps, {state['elapsed'] / 60:.1f} minutes of the processor")
    return model.eval()


def main():
    """Reads the flags."""
    here = Path(__file__).resolve()
    parse = argparse.ArgumentParser()
    parse.add_argument("what", choices=[*TASKS, "export"])
    parse.add_argument("--minutes", type=float, default=10.0)
    parse.add_argument("--rate", type=float, default=1e-3)
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--cache", default="cache")
    parse.add_argument("--run", default="run")
    parse.add_argument("--out", default="out")
    parse.add_argument("--demo", default=str(here.parents[1] / "kokoro"))
    parse.add_argument("--config", default=str(here.parents[4] / "src/models/kokoro/config.rs"))
    flags = parse.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(flags.seed)
    vocab = speech_model.vocabulary(flags.config)
    data, model = load(flags.cache), pupil(flags.demo)
    if flags.what == "export":
        known = {symbol for item in data if "level" in item for symbol in item["symbols"]}
        voices = {voice: values(voice) for voice in VOICES}
        count = speech_model.export(trained(model, flags.run), flags.out, vocab, voices, known)
        size = sum(file.stat().st_size for file in Path(flags.out).rglob("*") if file.is_file())
        print(f"{count} parameters, {size / 1e6:.2f} MB in {flags.out}")
        return
    if flags.what == "speak":
        data = [item for item in data if "level" in item]
    Path(flags.run).mkdir(parents=True, exist_ok=True)
    task = TASKS[flags.what](model, data, vocab, flags.seed + int(time.time()))
    speech_train.train(task, Path(flags.run) / f"pupil-{flags.what}.pt", flags.minutes, flags.rate, flags.seed,
                       time.process_time)


if __name__ == "__main__":
    main()
