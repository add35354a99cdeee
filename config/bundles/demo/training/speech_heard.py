"""Whether the demo's voice is understood, and how far it is from its teacher: one command, one JSON file.

Role: judges the demo's Kokoro before and after `speech_pupil.py` on the held-out lines of `speech_corpus.py`, which no
training line repeats. Input: `--real` (what `tests/real/fetch` brings: Whisper, the teacher), `--run` and `--cache` of
the training, `--demo`; `KOKORO_SRC`, `MISAKI_SRC`, misaki with spaCy. Output: `--out`.

    speech_heard.py --real ../../../../target/real --lines 40 --who before,after,teacher
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from faster_whisper import WhisperModel
from whisper_normalizer.english import EnglishTextNormalizer

import speech_corpus
import speech_model
import speech_pupil
import speech_render as render
import speech_sentences
from speech_teacher import SPEAKERS, Teacher

ROOT = Path(__file__).resolve().parents[4]
sys.path.append(str(ROOT / "tests/real"))
import judge  # noqa: E402

# The demo's voices before there were British ones.
BEFORE = {"bf_emma": "af_nova", "bm_george": "am_adam"}


class Judge:
    """Whisper, the teacher and the mel bands."""

    def __init__(self, real, vocab):
        self.whisper = WhisperModel(str(Path(real) / "whisper"), device="cpu", compute_type="int8", cpu_threads=1)
        self.plain, self.teacher, self.bank = EnglishTextNormalizer(), Teacher(real), judge.mel()
        self.vocab, self.said = vocab, {}

    def says(self, text, voice):
        """The teacher's own, each made once."""
        if (text, voice) not in self.said:
            symbols = speech_sentences.phonemes(text, voice[0] == "b")
            found = self.teacher.say(symbols, voice, True)
            frames = np.maximum(np.round(found["frames"]), 1).astype(np.int64)
            f0 = speech_pupil.masked(found["f0"].astype(np.float32)[: 2 * frames.sum()], found["symbols"], frames)
            self.said[text, voice] = found | {"frames": frames, "f0": f0, "sound": found["sound"] / 32768}
        return self.said[text, voice]

    def heard(self, sound, text):
        """Words of the line, words mistaken."""
        segments, _ = self.whisper.transcribe(judge.at_16_khz(sound.astype(np.float32)), language="en", beam_size=5,
                                              temperature=0.0, condition_on_previous_text=False)
        said = self.plain(text).split()
        return len(said), judge.edits(said, self.plain(" ".join(s.text for s in segments)).split())[0]

    @torch.no_grad()
    def apart(self, model, taught, values):
        """Mean difference in dB over mel bands when the model is given the teacher's durations and curves."""
        frames, f0 = torch.from_numpy(taught["frames"]), torch.from_numpy(taught["f0"])[None]
        level = torch.from_numpy(speech_pupil.envelope(taught["sound"].astype(np.float32), taught["f0"])).float()
        index = torch.repeat_interleave(torch.arange(len(frames)), frames)[None]
        ids = torch.tensor([[0, *(self.vocab[s] for s in taught["symbols"]), 0]])
        excitation, _ = render.sources(f0, torch.Generator().manual_seed(1))
        sound = model.sound(model.features(ids, torch.tensor([ids.shape[1]])), index, f0, render.energy(level[None]),
                            model.timbre(values), excitation)[0].numpy()
        edges = 600 * np.concatenate([[0], np.cumsum(taught["frames"])])
        spans = [(s, edges[k], edges[k + 1]) for k, s in enumerate(taught["symbols"], 1) if s.isalpha()]
        return judge.distance(sound, spans, taught["sound"], spans, self.bank)["distance"]


def measured(judged, model, texts, who):
    """Of each speaker: word error rate, mel distance, how long lips stay shut, symbols' lengths against the teacher's."""
    out = {}
    for turn, voice in enumerate(SPEAKERS):
        own = BEFORE.get(voice, voice) if who == "before" else voice
        words, errors, apart, shut, lasts = 0, 0, [], [], []
        # They take turns, so that each line is heard once.
        for text in texts[turn::len(SPEAKERS)]:
            taught = judged.says(text, voice)
            if model is None:
                sound, frames = taught["sound"], taught["frames"]
            else:
                given = speech_pupil.values(own)
                ids = [judged.vocab[s] for s in taught["symbols"]]
                sound, frames, _, _ = model.speak(ids, given, generator=torch.Generator().manual_seed(1))
                sound, frames = sound.numpy(), frames.numpy()
                apart.append(judged.apart(model, taught, torch.tensor([given])))
                lasts += zip(frames[1:-1], taught["frames"][1:-1])
            count, wrong = judged.heard(sound, text)
            words, errors = words + count, errors + wrong
            shut += [int(frames[k]) for k, s in enumerate(taught["symbols"], 1) if s in "pbm"]
        out[voice] = {"word_error": round(errors / words, 3), "words": words, "mel_db": round(float(np.mean(apart or [0])), 2),
                      "closure_ms": [25 * int(np.min(shut)), round(25 * float(np.mean(shut)), 1)]}
        if lasts:
            ours, theirs = np.array(lasts, float).T
            out[voice] |= {"duration_ms": round(25 * float(np.abs(ours - theirs).mean()), 1),
                           "duration_correlation": round(float(np.corrcoef(ours, theirs)[0, 1]), 3)}
        print(who, voice, own, out[voice], flush=True)
    return out


def main():
    """Reads the flags, measures, writes."""
    parse = argparse.ArgumentParser()
    parse.add_argument("--real", required=True)
    parse.add_argument("--run", default="run")
    parse.add_argument("--out", default="heard.json")
    parse.add_argument("--lines", type=int, default=40)
    parse.add_argument("--who", default="before,after,teacher")
    parse.add_argument("--demo", default=str(Path(__file__).resolve().parents[1] / "kokoro"))
    parse.add_argument("--config", default=str(ROOT / "src/models/kokoro/config.rs"))
    flags = parse.parse_args()
    torch.set_num_threads(1)
    judged = Judge(flags.real, speech_model.vocabulary(flags.config))
    texts = [text[0].upper() + text[1:] for text in speech_corpus.HELD_OUT[: flags.lines]]
    models = {"before": lambda: speech_pupil.pupil(flags.demo).eval(),
              "after": lambda: speech_pupil.trained(speech_pupil.pupil(flags.demo), flags.run), "teacher": lambda: None}
    out = {who: measured(judged, models[who](), texts, who) for who in flags.who.split(",")}
    for who, voices in out.items():
        words = sum(row["words"] for row in voices.values())
        out[who] = voices | {"word_error": round(sum(row["word_error"] * row["words"] for row in voices.values()) / words, 3)}
        print(who, out[who]["word_error"])
    Path(flags.out).write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
