"""How well the demo's Kokoro speaks, measured: one command, one JSON file, pictures to look at.

Role: judges the trained networks against the teacher on the held-out lines. Input: `--run` (checkpoints), `--cache`
(recordings), `KOKORO_SRC`, `MISAKI_SRC`; pocketsphinx with its English model. Output: `--out`/report.json and PNGs.
Everything but the recogniser's models is ours; the same seeds give the same figures.

    speech_report.py --lines 50 --voices am_adam,af_sarah,af_nova
"""

import argparse
import itertools
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pyworld
import torch
from pocketsphinx import Decoder
from scipy.signal import resample_poly, stft

import speech_model
import speech_render as render
import speech_synth
import speech_train

FEW = 3  # lines for what is measured on every frame

# The node's presets: pitch shift in Hz, tempo, energy.
EMOTIONS = {"neutral": (0, 1.0, 1.0), "excited": (50, 1.15, 1.3), "sad": (-30, 0.9, 0.7), "angry": (20, 1.1, 1.4),
            "manic": (100, 1.25, 1.5), "calm": (-10, 0.95, 0.9), "sarcastic": (30, 1.05, 1.2),
            "fearful": (60, 1.2, 1.1)}


def words(text):
    """Lower-case words without marks."""
    return re.sub(r"[^a-z' ]", "", text.lower()).split()


def edits(true, heard):
    """Fewest insertions, deletions and substitutions of words."""
    row = np.arange(len(heard) + 1)
    for i, a in enumerate(true, 1):
        above = row.copy()
        row[0] = i
        for j, b in enumerate(heard, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
    return int(row[-1])


class Recogniser:
    """pocketsphinx: with its own language model, with any order of the held-out words, or one of the held-out lines."""

    def __init__(self, texts, kind):
        options = {"samprate": 16000, "loglevel": "FATAL"}
        if kind == "free":
            self.decoder = Decoder(**options)
            return
        vocabulary = sorted({word for text in texts for word in words(text)})
        rule = "(" + " | ".join(vocabulary) + ")+" if kind == "words" else " | ".join(
            "(" + " ".join(words(text)) + ")" for text in texts)
        with tempfile.NamedTemporaryFile("w", suffix=".gram") as file:
            file.write(f"#JSGF V1.0;\ngrammar held;\npublic <line> = {rule};\n")
            file.flush()
            self.decoder = Decoder(**options, lm=None, jsgf=file.name)

    def hear(self, sound):
        """The words in a sound at 24 kHz."""
        sound = resample_poly(sound / max(np.abs(sound).max(), 1e-6) * 0.6, 2, 3)
        sound = np.concatenate([np.zeros(4000), sound, np.zeros(4000)])
        sound = sound + np.random.default_rng(0).normal(0, 3e-4, len(sound))
        self.decoder.start_utt()
        self.decoder.process_raw((np.clip(sound, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return words(found.hypstr) if found else []


def pitch_of(sound):
    """F0 every 12.5 ms, 0 where none."""
    sound = sound.astype(np.float64)
    rough, times = pyworld.dio(sound, render.RATE, f0_floor=60, f0_ceil=500, frame_period=12.5)
    return pyworld.stonemask(sound, rough, times, render.RATE)


def level_of(sound):
    """Root mean square of what is not silence."""
    frames = sound[: len(sound) // 300 * 300].reshape(-1, 300)
    power = (frames ** 2).mean(1)
    return float(np.sqrt(power[power > power.max() * 1e-3].mean()))


def spectrum_of(sound):
    """Long-term spectrum in dB, 0 dB the mean, in 40 bands."""
    power = np.abs(stft(sound, render.RATE, nperseg=1024)[2]) ** 2
    bands = np.array_split(power.mean(1)[1:], 40)
    level = 10 * np.log10([band.mean() + 1e-12 for band in bands])
    return level - level.mean()


class Speaker:
    """The teacher or the model, one voice, one line."""

    def __init__(self, model, vocab):
        self.model, self.vocab = model, vocab

    def ours(self, item, voice, shift=0.0, tempo=1.0, gain=1.0):
        """The model's own sound with its own durations and curves."""
        ids = [self.vocab[s] for s in item["symbols"]]
        generator = torch.Generator().manual_seed(1)
        values = render.VOICES[voice].values()
        sound, frames, f0, energy = self.model.speak(ids, values, tempo, shift, gain, generator)
        return sound.numpy(), frames.numpy(), f0.numpy(), energy.numpy()

    @torch.no_grad()
    def copied(self, item, voice):
        """The model's sound with the teacher's durations and curves."""
        values = torch.tensor([render.VOICES[voice].values()])
        _, frames = render.frames_of(item, render.VOICES[voice])
        f0, energy, _, index = render.example(item, render.VOICES[voice], None, frames, 0, int(frames.sum()))
        ids = torch.tensor([[0, *(self.vocab[s] for s in item["symbols"]), 0]])
        excitation, _ = render.sources(f0[None], torch.Generator().manual_seed(1))
        features = self.model.features(ids, torch.tensor([ids.shape[1]]))
        return self.model.sound(features, index[None], f0[None], energy[None], self.model.timbre(values),
                                excitation)[0].numpy()

    def teacher(self, item, voice):
        """The teacher's sound, frames, F0, energy."""
        sound, frames, f0, energy = render.whole(item, render.VOICES[voice], torch.Generator().manual_seed(1))
        return sound.numpy(), frames, f0.numpy(), energy.numpy()


def understood(speaker, held, voices, kinds):
    """Word error rates of teacher and model under each kind of recogniser."""
    out = {}
    for kind in kinds:
        recogniser = Recogniser([item["text"] for item in held], kind)
        for voice in voices:
            for who, speak in (("teacher", speaker.teacher), ("ours", speaker.ours)):
                wrong, count, whole = 0, 0, 0
                for item in held:
                    true, heard = words(item["text"]), recogniser.hear(speak(item, voice)[0])
                    wrong, count, whole = wrong + edits(true, heard), count + len(true), whole + (true == heard)
                out[f"{kind}/{voice}/{who}"] = {"wer": round(wrong / count, 3), "lines_right": whole, "of": len(held)}
                print(kind, voice, who, out[f"{kind}/{voice}/{who}"], flush=True)
    return out


def timing(speaker, held, voices):
    """Predicted frames of every token against the teacher's."""
    out = {}
    for voice in voices:
        ours, true, totals = [], [], []
        for item in held:
            frames = speaker.ours(item, voice)[1]
            exact, _ = render.frames_of(item, render.VOICES[voice])
            ours.append(frames)
            true.append(exact)
            totals.append(abs(frames.sum() / exact.sum() - 1))
        ours, true = np.concatenate(ours), np.concatenate(true)
        out[voice] = {"mean_error_ms": round(float(np.abs(ours - true).mean() * 25), 1),
                      "correlation": round(float(np.corrcoef(ours, true)[0, 1]), 3),
                      "line_length_error": round(float(np.mean(totals)), 3)}
    return out


def following(speaker, held, voices):
    """How well the sound's pitch follows the curve it is given, also shifted, and its level the energy."""
    out = {}
    for voice, shift in itertools.product(voices, (-30, 0, 50, 100)):
        cents, voiced, levels = [], [], []
        for item in held[:FEW]:
            sound, _, f0, _ = speaker.ours(item, voice, shift=shift)
            louder = speaker.ours(item, voice, shift=shift, gain=1.5)[0]
            levels.append(level_of(louder) / level_of(sound))
            heard = pitch_of(sound)[: len(f0)]
            f0 = f0[: len(heard)]
            both = (heard > 0) & (f0 > 10)
            cents.append(1200 * np.log2(heard[both] / f0[both]))
            voiced.append(((heard > 0) == (f0 > 10)).mean())
        cents = np.concatenate(cents)
        out[f"{voice}/{shift:+d}Hz"] = {
            "median_cents": round(float(np.median(np.abs(cents))), 1),
            "within_50_cents": round(float((np.abs(cents) < 50).mean()), 3),
            "voicing_agrees": round(float(np.mean(voiced)), 3), "level_at_1.5": round(float(np.mean(levels)), 2)}
    return out


def emotions(speaker, held, voice):
    """What each preset does to one voice: pitch, level, seconds."""
    out = {}
    for name, (shift, tempo, gain) in EMOTIONS.items():
        sounds = [speaker.ours(item, voice, shift, tempo, gain)[0] for item in held[:FEW]]
        pitch = np.concatenate([pitch_of(sound) for sound in sounds])
        out[name] = {"pitch_hz": round(float(np.median(pitch[pitch > 0])), 1),
                     "level": round(float(np.mean([level_of(sound) for sound in sounds])), 4),
                     "seconds": round(sum(map(len, sounds)) / render.RATE, 2),
                     "clipped": round(float(np.mean([np.mean(np.abs(sound) > 1) for sound in sounds])), 5)}
    return out


def apart(speaker, held):
    """How far the voices lie apart: pitch in cents and long-term spectrum in dB."""
    traits = {}
    for voice in render.VOICES:
        sounds = [speaker.ours(item, voice)[0] for item in held[:FEW]]
        pitch = np.concatenate([pitch_of(sound) for sound in sounds])
        pitch = pitch[pitch > 0]
        traits[voice] = (np.median(pitch), np.mean([spectrum_of(s) for s in sounds], axis=0),
                         sum(map(len, sounds)) / render.RATE)
    own = {v: {"pitch_hz": round(float(t[0]), 1), "seconds": round(t[2], 2)} for v, t in traits.items()}
    pairs = {}
    for a, b in itertools.combinations(traits, 2):
        pairs[f"{a}/{b}"] = {"cents": round(float(abs(1200 * np.log2(traits[a][0] / traits[b][0])))),
                             "spectrum_db": round(float(np.abs(traits[a][1] - traits[b][1]).mean()), 2)}
    nearest = min(pairs, key=lambda p: pairs[p]["cents"] / 100 + pairs[p]["spectrum_db"])
    return {"voices": own, "pairs": pairs, "nearest": nearest}


def pictures(speaker, item, voices, out):
    """Spectrograms: teacher above, ours with the teacher's curves, ours alone."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from scipy.io import wavfile
    for voice in voices:
        figure, axes = plt.subplots(3, 1, figsize=(13, 10))
        sounds = {"teacher": speaker.teacher(item, voice)[0], "its curves": speaker.copied(item, voice),
                  "ours": speaker.ours(item, voice)[0]}
        for axis, (who, sound) in zip(axes, sounds.items()):
            axis.specgram(sound + 1e-7, NFFT=512, Fs=render.RATE, noverlap=400, vmin=-140, vmax=-30)
            axis.set_title(f"{voice}, {who}: {item['text']}")
            wavfile.write(out / f"{voice}-{who.replace(' ', '-')}.wav", render.RATE,
                          (np.clip(sound, -1, 1) * 32767).astype(np.int16))
        figure.tight_layout()
        figure.savefig(out / f"{voice}.png", dpi=60)
        plt.close(figure)


def main():
    """Reads the flags, measures, writes."""
    parse = argparse.ArgumentParser()
    parse.add_argument("--run", default="run")
    parse.add_argument("--cache", default="cache")
    parse.add_argument("--out", default="report")
    parse.add_argument("--lines", type=int, default=50)
    parse.add_argument("--voices", default="am_adam,af_sarah,af_nova")
    parse.add_argument("--kinds", default="free,words,lines")
    parse.add_argument("--config", default=str(Path(__file__).resolve().parents[4] / "src/models/kokoro/config.rs"))
    flags = parse.parse_args()
    torch.set_num_threads(1)
    out = Path(flags.out)
    out.mkdir(parents=True, exist_ok=True)
    held = speech_synth.load(flags.cache)["held"][: flags.lines]
    model = speech_train.load_means(speech_model.Kokoro(), flags.run).eval()
    speaker = Speaker(model, speech_model.vocabulary(flags.config))
    voices = flags.voices.split(",")
    pictures(speaker, held[0], voices, out)
    result = {"durations": timing(speaker, held, voices), "following": following(speaker, held, voices),
              "emotions": emotions(speaker, held, voices[0]), "voices": apart(speaker, held)}
    print(json.dumps(result), flush=True)
    (out / "report.json").write_text(json.dumps(result, indent=1))
    result["recognised"] = understood(speaker, held, voices, [k for k in flags.kinds.split(",") if k])
    (out / "report.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
