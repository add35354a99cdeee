"""Judges sentences that the program has said with real weights: does Whisper understand them, and do they sound like the
same network in ONNX Runtime?

    judge.py FOLDER SENTENCES.json          FOLDER: what tests/real/fetch prints

SENTENCES.json is a list of {file, text, voice}; file is a WAV file, or a video with sound, by its path or beside the list.
With {compare: true, symbols, phonemes: [{symbol, start, end}]}, start and end in samples, it is compared as well. Prints a list as long: `words` and `errors`, what was heard and what differs, and where
compared, `distance` (dB) and `shifted` (of how many phonemes the length differs).

The distance is the root mean square over 80 mel bands of the difference in dB, the mean of the columns of 10 ms in which
either of the two speaks; columns are paired phoneme by phoneme, and one gain for the whole sentence is taken away, since
the program levels its voices. Bands more than 60 dB below the sentence's loudest count as that. Greedy search with beams:
the same file gives the same words.
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime
from faster_whisper import WhisperModel, decode_audio
from safetensors.numpy import load_file
from whisper_normalizer.english import EnglishTextNormalizer

RATE = 24_000
FRAME = 600
WINDOW, HOP, BANDS = 1024, 240, 80
FLOOR = -60.0
# Symbols that are no sound of their own in the program's timeline.
STRESS, LENGTH = "ˈˌ", "ː\u0303ʰʲ"


def read(path):
    """A mono wave file of 16 bits at 24 kHz, in [-1, 1]."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE), path
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def edits(said, heard):
    """How many words were lost, added or mistaken, and which."""
    table = [[(column, ()) for column in range(len(heard) + 1)]]
    for column, word in enumerate(heard, 1):
        table[0][column] = (column, (*table[0][column - 1][1], f"+{word}"))
    for row, word in enumerate(said, 1):
        line = [(row, (*table[-1][0][1], f"-{word}"))]
        for column, other in enumerate(heard, 1):
            (a, lost), (b, added), (c, changed) = table[-1][column], line[-1], table[-1][column - 1]
            changed = (c, changed) if word == other else (c + 1, (*changed, f"{word}>{other}"))
            line.append(min((a + 1, (*lost, f"-{word}")), (b + 1, (*added, f"+{other}")), changed, key=lambda x: x[0]))
        table.append(line)
    return table[-1][-1]


def at_16_khz(sound):
    """Two thirds of the samples, what lies above 8 kHz taken away."""
    taps = np.arange(-48, 49)
    filtered = np.sinc(taps / 3) * np.kaiser(97, 8.0) * 2 / 3
    doubled = np.zeros(2 * len(sound), np.float32)
    doubled[::2] = sound
    return np.convolve(doubled, filtered, "same")[::3].astype(np.float32)


class Reference:
    """The network in ONNX Runtime."""

    def __init__(self, folder):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(folder / "kokoro-f32.onnx"), options)
        self.vocab = json.loads((folder / "kokoro/config.json").read_text(encoding="utf-8"))["vocab"]
        self.voices = folder / "kokoro/voices"

    def say(self, symbols, voice):
        """Sound, and first and last sample of every phoneme."""
        pack = load_file(self.voices / f"{voice}.safetensors")["voice"].reshape(-1, 256)
        ids = [0, *(self.vocab[symbol] for symbol in symbols), 0]
        feed = {"tokens": np.array([ids], np.int64), "style": pack[len(symbols) - 1][None], "speed": np.ones(1, np.float32)}
        sound, frames = self.session.run(None, feed)[:2]
        edges = FRAME * np.concatenate([[0], np.cumsum(np.clip(np.round(frames.ravel()), 1, None))]).astype(int)
        spans, stress = [], None
        for place, symbol in enumerate(symbols, 1):
            start, end = edges[place], edges[place + 1]
            if symbol in STRESS:
                stress = start if stress is None else stress
            elif symbol in LENGTH and spans:
                spans[-1] = (*spans[-1][:2], end)
            else:
                if symbol.isalpha():
                    spans.append((symbol, start if stress is None else stress, end))
                stress = None
        return sound.ravel(), spans


def mel():
    """Triangles of equal width on the mel scale, [BANDS, bins]."""
    to_hertz = lambda mel: 700 * (10 ** (mel / 2595) - 1)
    edges = to_hertz(np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2))
    bins = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bank = np.clip(np.minimum(rise, fall), 0, None)
    # The lowest bands are narrower than a bin: each takes its nearest.
    centres = np.round(edges[1:-1] * WINDOW / RATE).astype(int)
    bank[np.arange(BANDS), centres] = np.maximum(bank[np.arange(BANDS), centres], 0.5)
    return bank / bank.sum(1, keepdims=True)


def columns(sound, spans, bank):
    """Levels in dB of every phoneme, [columns, BANDS] each."""
    padded = np.pad(sound, WINDOW)
    window = np.hanning(WINDOW)
    out = []
    for _, start, end in spans:
        places = np.arange(start, end, HOP) + WINDOW // 2
        pieces = padded[places[:, None] + np.arange(WINDOW)] * window
        power = np.abs(np.fft.rfft(pieces)) ** 2 / (window ** 2).sum()
        out.append(10 * np.log10(power @ bank.T + 1e-12))
    return out


def distance(ours, our_spans, theirs, their_spans, bank):
    """Of two sounds with the same phonemes, in dB, and of how many phonemes the length differs."""
    names = [[span[0] for span in spans] for spans in (our_spans, their_spans)]
    if names[0] != names[1]:
        return {"distance": None, "why": f"other phonemes: {''.join(names[0])}, {''.join(names[1])}"}
    pairs = list(zip(columns(ours, our_spans, bank), columns(theirs, their_spans, bank)))
    a, b = (np.concatenate([pair[k][: min(map(len, pair))] for pair in pairs]) for k in (0, 1))
    loud = b.max()
    heard = b > loud + FLOOR
    gain = float((a - b)[heard].mean())
    a, b = np.maximum(a - gain, loud + FLOOR), np.maximum(b, loud + FLOOR)
    speaks = np.maximum(a.max(1), b.max(1)) > loud + FLOOR / 2
    shifted = sum(int(x[2] - x[1] != y[2] - y[1]) for x, y in zip(our_spans, their_spans))
    apart = float(np.sqrt(((a - b)[speaks] ** 2).mean(1)).mean())
    return {"distance": apart, "gain": gain, "shifted": shifted, "phonemes": len(pairs)}


def main():
    """Reads the arguments, judges, prints."""
    folder, listed = Path(sys.argv[1]), Path(sys.argv[2])
    sentences = json.loads(listed.read_text(encoding="utf-8"))
    whisper = WhisperModel(str(folder / "whisper"), device="cpu", compute_type="int8")
    plain, bank = EnglishTextNormalizer(), mel()
    reference = Reference(folder) if any(sentence.get("compare") for sentence in sentences) else None
    judged = []
    for sentence in sentences:
        path = listed.parent / sentence["file"]
        heard = at_16_khz(read(path)) if path.suffix == ".wav" else decode_audio(str(path))
        segments, _ = whisper.transcribe(heard, language="en", beam_size=5, temperature=0.0,
                                         condition_on_previous_text=False)
        heard = " ".join(segment.text.strip() for segment in segments)
        said = plain(sentence["text"]).split()
        errors, differences = edits(said, plain(heard).split())
        row = {"text": sentence["text"], "voice": sentence["voice"], "heard": heard, "words": len(said), "errors": errors,
               "differences": differences}
        if sentence.get("compare"):
            spans = [(item["symbol"], item["start"], item["end"]) for item in sentence["phonemes"] if item["symbol"] != " "]
            row |= distance(read(path), spans, *reference.say(sentence["symbols"], sentence["voice"]), bank)
        judged.append(row)
    print(json.dumps(judged, ensure_ascii=False))


if __name__ == "__main__":
    main()
