"""The neural teacher: Kokoro-82M says sentences, and tells how long each symbol lasts, at what pitch and how loud.

Role: makes the recordings that `speech_pupil.py` learns from. Input: `--real`, the folder that `tests/real/fetch` fills
(the network as an f32 graph that also gives durations, F0 and energy; voice packs; configuration); sentences of
`speech_sentences.py`. Output: `--cache`/teacher, one .npz a sentence and voice: `text`, `symbols`, `voice`, `frames` (as
predicted, unrounded), `f0`, `energy` (two values a frame) and, by `sound`, `sound` (16-bit, 24 kHz). What is there is
kept, so it can be stopped at any time; nothing of the teacher itself is stored.

    speech_teacher.py sound --count 600       # what is said and how: seconds each
    speech_teacher.py plan --count 1500       # when and at what pitch only: for every voice
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

import speech_sentences

# Those whose sound is learnt: two women and two men, two of them British.
SPEAKERS = ("af_sarah", "am_michael", "bf_emma", "bm_george")
# Those whose rhythm and melody are learnt as well.
OTHERS = ("am_adam", "am_onyx", "am_fenrir", "am_puck", "am_echo", "af_nova", "af_jessica")
PLANS = ("/encoder/Div_output_0", "/encoder/F0_proj/Conv_output_0", "/encoder/N_proj/Conv_output_0")


class Teacher:
    """The graph and its voices."""

    def __init__(self, folder, threads=1):
        folder = Path(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self.session = onnxruntime.InferenceSession(str(folder / "kokoro-f32.onnx"), options)
        self.sound = self.session.get_outputs()[0].name
        self.vocab = json.loads((folder / "kokoro/config.json").read_text(encoding="utf-8"))["vocab"]
        self.folder, self.packs = folder, {}
        self.only = onnxruntime.RunOptions()
        # What is not asked for is not computed: the vocoder takes nine tenths of the time.
        self.only.only_execute_path_to_fetches = True

    def pack(self, voice):
        """A voice's styles, one a length: [510, 256]."""
        if voice not in self.packs:
            self.packs[voice] = load_file(self.folder / f"kokoro/voices/{voice}.safetensors")["voice"].reshape(-1, 256)
        return self.packs[voice]

    def say(self, symbols, voice, sound):
        """What is kept of one sentence."""
        symbols = "".join(c for c in symbols if c in self.vocab)
        ids = [0, *(self.vocab[c] for c in symbols), 0]
        feed = {"tokens": np.array([ids], np.int64), "style": self.pack(voice)[len(symbols) - 1][None],
                "speed": np.ones(1, np.float32)}
        found = self.session.run(list(PLANS) + [self.sound] * sound, feed, self.only)
        out = {"symbols": symbols, "voice": voice, "frames": found[0][0].astype(np.float32),
               "f0": found[1].ravel().astype(np.float16), "energy": found[2].ravel().astype(np.float16)}
        if sound:
            out["sound"] = (np.clip(found[3].ravel(), -1, 1) * 32767).astype(np.int16)
        return out


def make(teacher, folder, sentences, voices_of, sound):
    """Says every sentence that is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    spoken, begun = 0.0, time.time()
    for place, text in enumerate(sentences):
        for voice in voices_of(place):
            path = folder / f"{'sound' if sound else 'plan'}-{place:05}-{voice}.npz"
            if path.exists():
                continue
            symbols = speech_sentences.phonemes(text, voice[0] == "b")
            if not 3 <= len(symbols) <= 160:
                continue
            found = teacher.say(symbols, voice, sound)
            with open(path.with_suffix(".part"), "wb") as file:
                np.savez(file, text=text, **found)
            os.replace(path.with_suffix(".part"), path)
            spoken += np.round(found["frames"]).sum() / 40
        if place % 20 == 19:
            print(f"{place + 1} sentences, {spoken / 60:.1f} new minutes in {(time.time() - begun) / 60:.1f}", flush=True)


def main():
    """Reads the flags."""
    parse = argparse.ArgumentParser()
    parse.add_argument("what", choices=["sound", "plan"])
    parse.add_argument("--real", required=True)
    parse.add_argument("--cache", default="cache")
    parse.add_argument("--count", type=int, default=600)
    parse.add_argument("--seed", type=int, default=1)
    flags = parse.parse_args()
    made = speech_sentences.sentences(flags.count, flags.seed)
    if flags.what == "sound":
        voices = lambda place: [SPEAKERS[place % len(SPEAKERS)]]
    else:
        voices = lambda place: [(SPEAKERS + OTHERS)[(place + k) % 11] for k in (0, 3, 6)]
    make(Teacher(flags.real), Path(flags.cache) / "teacher", made, voices, flags.what == "sound")


if __name__ == "__main__":
    main()
