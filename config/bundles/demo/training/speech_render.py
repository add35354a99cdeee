"""Voices: a recording's envelope, given a vocal tract, a melody and a tempo, and sounded by Kokoro's own source.

Role: turns `speech_synth.py`'s recordings into training examples, on the fly and without end. The sound is the
harmonic source that Kokoro's vocoder gets (the same sines, the same noise) through the recording's envelope as a
minimum-phase filter, so that what the vocoder has to learn is a filter and not a phase. Phonemes are retimed to whole
frames of 25 ms. Input: recordings. Output: tensors for `speech_train.py`; `VOICES`, what the shipped voices are.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from speech_synth import BINS, PAUSES, RATE, STEP, voicing

FRAME = 600            # samples of a duration frame
HALF = 300             # samples of an F0 value
ROWS = 5               # 5 ms rows in a frame
BANDS = 64             # in which the training's first stage compares envelopes
HARMONICS = 9
MERGE = 3.0            # the frozen weight of every harmonic in the vocoder's `l_linear`
NOISE_LEVEL = 0.28     # standard deviation of the source where no voice sounds
GAIN = math.log(0.9)   # brings the level to about 0.08
ENERGY_OFFSET = 4.0    # makes the energy curve lie around 0


@dataclass(frozen=True)
class Voice:
    """A speaker: formants times `warp`, `tilt` nepers a kHz, `pitch` Hz, melody times `span`, `tempo` times as fast."""

    warp: float
    tilt: float
    pitch: float
    span: float
    tempo: float

    def values(self):
        """What a style vector is a linear function of; each about -1 to 1."""
        return [(self.warp - 1.08) / 0.16, self.tilt / 0.12, math.log2(self.pitch / 150.0),
                (self.span - 0.9) / 0.6, (self.tempo - 1.0) / 0.12]


VOICES = {
    "am_adam": Voice(1.00, 0.00, 112.0, 1.0, 1.00),
    "am_michael": Voice(1.05, 0.03, 128.0, 1.2, 1.03),
    "am_onyx": Voice(0.92, -0.04, 88.0, 0.8, 0.94),
    "am_fenrir": Voice(0.96, 0.06, 100.0, 1.3, 1.05),
    "am_puck": Voice(1.12, 0.05, 158.0, 1.4, 1.08),
    "am_echo": Voice(1.02, -0.02, 120.0, 0.3, 0.96),
    "af_sarah": Voice(1.17, 0.00, 196.0, 1.1, 1.00),
    "af_nova": Voice(1.22, 0.05, 222.0, 1.4, 1.06),
    "af_jessica": Voice(1.14, 0.03, 182.0, 0.9, 0.98),
}


def random_voice(draw):
    """Somewhere among and a little around the shipped ones; `draw` is a numpy generator."""
    warp = draw.uniform(0.90, 1.25)
    pitch = 112.0 * (warp ** 3.2) * 2.0 ** draw.normal(0.0, 0.2)
    return Voice(warp, draw.uniform(-0.06, 0.08), float(np.clip(pitch, 75, 280)), draw.uniform(0.3, 1.5),
                 draw.uniform(0.92, 1.1))


def unmarked(item):
    """The line without its last mark, whose silence goes to the end."""
    count, starts = len(item["symbols"]), item["starts"]
    return {**item, "symbols": item["symbols"][:-1], "starts": torch.cat([starts[: count + 1], starts[count + 2:]])}


def frames_of(item, voice, draw=None, spread=0.0):
    """Unrounded frames of each token, and the whole ones; `spread` scatters them for the decoder's sake."""
    seconds = np.diff(item["starts"].numpy())
    exact = np.maximum(seconds / (voice.tempo * STEP * ROWS), 1.0)
    scattered = exact if draw is None else exact * np.exp(draw.normal(0.0, spread, len(exact)))
    return exact, np.maximum(np.round(scattered), 1).astype(np.int64)


def melody(symbols, frames, voice):
    """F0 in Hz, two values a frame, 0 where no voice sounds: falling, raised on stresses, turned at the end."""
    edges = np.concatenate([[0], np.cumsum(frames)]) * 2.0
    count = int(edges[-1])
    time = np.arange(count) + 0.5
    first, last = edges[1], edges[-3] if symbols[-1] in PAUSES else edges[-2]
    place = np.clip((time - first) / max(last - first, 1.0), 0, 1)
    curve = 0.10 - 0.25 * place
    lively = 1.5 if symbols.endswith("!") else 1.0
    for k, symbol in enumerate(symbols):
        if symbol in "ˈˌ":
            vowel = k + 2
            centre = 0.5 * (edges[min(vowel, len(edges) - 1)] + edges[min(vowel + 1, len(edges) - 1)])
            height = (0.26 if symbol == "ˈ" else 0.10) * lively
            curve += height * np.exp(-0.5 * ((time - centre) / 8.0) ** 2)
        elif symbol in ",;:":
            curve += 0.14 * np.exp(-0.5 * np.minimum((time - edges[k + 1]) / 10.0, 0.0) ** 2) * (time < edges[k + 1])
    turn = np.clip((time - (last - 26.0)) / 26.0, 0, 1)
    curve += (0.55 if symbols.endswith("?") else -0.22) * turn
    flags = np.repeat(np.repeat(np.asarray(voicing(symbols)), frames), 2)
    return np.where(flags, voice.pitch * 2.0 ** (voice.span * curve), 0.0).astype(np.float32)


def shape(item, frames, voice, first, count):
    """Log amplitudes of `count` frames from frame `first`, [5 count, 257], in this voice."""
    envelope = item["envelope"]
    starts = item["starts"].numpy()
    edges = np.concatenate([[0], np.cumsum(frames)]) * ROWS
    rows = first * ROWS + np.arange(count * ROWS) + 0.5
    token = np.clip(np.searchsorted(edges, rows, side="right") - 1, 0, len(frames) - 1)
    share = np.clip((rows - edges[token]) / (edges[token + 1] - edges[token]), 0, 1)
    place = (starts[token] + share * (starts[token + 1] - starts[token])) / STEP - 0.5
    place = torch.from_numpy(np.clip(place, 0, len(envelope) - 1.001)).float()
    low = place.long()
    part = (place - low)[:, None]
    level = envelope[low].float() * (1 - part) + envelope[low + 1].float() * part
    bins = (torch.arange(BINS) / voice.warp).clamp(max=BINS - 1.001)
    low = bins.long()
    part = bins - low
    level = level[:, low] * (1 - part) + level[:, low + 1] * part
    return level + voice.tilt * (torch.arange(BINS) * (RATE / 2000.0 / (BINS - 1)) - 2.0) + GAIN


def energy(level):
    """The energy curve of log amplitudes [..., 5 n, 257]: log-norms, two values a frame."""
    power = torch.logsumexp(2.0 * level, dim=-1) - math.log(BINS)
    fine = F.interpolate(power[:, None], scale_factor=2, mode="nearest")[:, 0]
    return 0.5 * fine.unfold(-1, 5, 5).mean(-1).clamp(min=-16.0) + ENERGY_OFFSET


def banded(level):
    """Log amplitudes [..., 5 n, 257] in `BANDS` bands, two columns a frame: [..., BANDS, 2 n]."""
    edges = torch.linspace(0, 1, BANDS + 2) ** 1.7 * (BINS - 1)
    bins = torch.arange(BINS)[:, None]
    rise = (bins - edges[:-2] + 0.5) / (edges[1:-1] - edges[:-2]).clamp(min=1.0)
    fall = (edges[2:] - bins + 0.5) / (edges[2:] - edges[1:-1]).clamp(min=1.0)
    weights = torch.minimum(rise, fall).clamp(min=0)
    fine = (level @ (weights / weights.sum(0))).transpose(-1, -2).repeat_interleave(2, dim=-1)
    return fine.unfold(-1, 5, 5).mean(-1)


def turns(f0):
    """Turns of the fundamental at every sample, as the vocoder's source counts them: [B, n] to [B, 300 n]."""
    steps = torch.cumsum(f0.double() / RATE, dim=1) * HALF
    return F.interpolate(steps[:, None], scale_factor=HALF, mode="linear")[:, 0]


def sources(f0, generator=None):
    """The vocoder's excitation, and the ideal one of unit power with the same phases and noise: each [B, 300 n]."""
    phase = turns(f0)
    pitch = f0.repeat_interleave(HALF, dim=1)
    voiced = (pitch > 10.0).float()
    sines = sum(torch.sin(2 * math.pi * torch.remainder(phase * h, 1.0)).float() for h in range(1, HARMONICS + 1))
    noise = torch.randn(pitch.shape, generator=generator) * math.sqrt(HARMONICS)
    inner = MERGE * (0.1 * sines * voiced + noise * (0.003 * voiced + (1 - voiced) * 0.1 / 3))
    merged = torch.tanh(inner)
    half = (math.pi * torch.remainder(phase, 1.0)).float()
    top = torch.floor(11_500.0 / pitch.clamp(min=50.0))
    pulses = (torch.cos(half) - torch.cos((2 * top + 1) * half)) / (2 * torch.sin(half).abs().clamp(min=1e-4))
    pulses = pulses * torch.sqrt(2 * pitch / (RATE / 2))
    return merged, pulses * voiced + merged / NOISE_LEVEL * (1 - voiced)


def filtered(source, level):
    """`source` [B, 120 k] through the minimum-phase filters of log amplitudes [B, k, 257]."""
    batch, count, _ = level.shape
    cepstrum = torch.fft.irfft(level, n=512)
    cepstrum[..., 1:256] *= 2
    cepstrum[..., 257:] = 0
    response = torch.fft.irfft(torch.exp(torch.fft.rfft(cepstrum)), n=512)
    pieces = F.pad(source, (180, 300)).unfold(1, 480, 120)[:, :count] * (torch.hann_window(480) / 2)
    sound = torch.fft.irfft(torch.fft.rfft(pieces, n=1024) * torch.fft.rfft(response, n=1024), n=1024)
    length = (count - 1) * 120 + 1024
    whole = F.fold(sound.transpose(1, 2), (1, length), (1, 1024), stride=(1, 120))[:, 0, 0]
    return whole[:, 180: 180 + count * 120]


def example(item, voice, draw, frames, first, count, shift=0.0, gain=0.0):
    """One crop's curves, before the sound: F0 (shifted by `shift` Hz), energy and levels (both raised by `gain`)."""
    f0 = torch.from_numpy(melody(item["symbols"], frames, voice))[2 * first: 2 * (first + count)].clone()
    f0[f0 > 10] = (f0[f0 > 10] + shift).clamp(min=55.0)
    level = shape(item, frames, voice, first, count) + gain
    index = np.repeat(np.arange(len(frames)), frames)[first: first + count]
    return f0, energy(level[None])[0], level, torch.from_numpy(index)


def whole(item, voice, generator=None):
    """The teacher's own sound of a line in a voice, its frames, F0 and energy."""
    _, frames = frames_of(item, voice)
    f0, loud, level, _ = example(item, voice, None, frames, 0, int(frames.sum()))
    return filtered(sources(f0[None], generator)[1], level[None])[0], frames, f0, loud
