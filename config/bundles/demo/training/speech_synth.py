"""The teacher: espeak-ng says every line on one pitch, and WORLD takes its spectral envelope.

Role: makes the recordings that `speech_render.py` gives voices, melody and tempo. espeak-ng gets our phoneme symbols,
one of its phonemes for each, and tells when each begins. Input: `speech_corpus.py`, libespeak-ng.so.1 (Debian's
espeak-ng 1.51). Output: `CACHE/base.pt`, a list of dicts: text, symbols, `starts` (seconds of each token, start and end
included, and where all ends), `envelope` ([n, 257] f16, natural log of amplitude, every 5 ms). Deterministic; an
existing file is kept (delete it to make it again).
"""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pyworld
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.signal import resample_poly

import speech_corpus

RATE = 24_000
STEP = 0.005
BINS = 257
FLOOR = -11.0
PAUSES = {",": 0.16, ";": 0.2, ":": 0.2, ".": 0.12, "!": 0.12, "?": 0.12}
LEAD, TAIL = 0.075, 0.1
UNVOICED = set("ptkfθsʃʧh") | set(".,!?;: —…\"()“”")
LINKS = (";", "r-")  # espeak's glides between words; their time goes to the sound before

ESPEAK = {
    "A": "eI", "I": "aI", "W": "aU", "O": "oU", "Y": "OI", "i": "i:", "u": "u:", "ɑ": "A:", "ɔ": "O:", "æ": "a",
    "ɛ": "E", "ɪ": "I", "ʊ": "U", "ʌ": "V", "ə": "@", "ɜ": "3:", "ᵊ": "@", "ᵻ": "I", "ɐ": "a#", "ɾ": "t#", "ʔ": "t",
    "ɡ": "g", "ŋ": "N", "ʃ": "S", "ʒ": "Z", "ʧ": "tS", "ʤ": "dZ", "θ": "T", "ð": "D", "ɹ": "r",
    **{c: c for c in "bdfhjklmnpstvwz"},
}


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("unique", ctypes.c_uint), ("text", ctypes.c_int), ("length", ctypes.c_int),
                ("audio", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("id", _Id)]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """libespeak-ng with phoneme events; parameters are its own units."""

    def __init__(self, voice="en-us", rate=135, pitch=40):
        self.library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = self.library.espeak_Initialize(1, 0, None, 1)
        self.sound, self.events = [], []
        self.callback = _CALLBACK(self._receive)
        self.library.espeak_SetSynthCallback(self.callback)
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((1, rate), (3, pitch), (4, 0)):
            self.library.espeak_SetParameter(parameter, value, 0)

    def _receive(self, sound, count, events):
        if sound and count > 0:
            self.sound.append(np.ctypeslib.as_array(sound, (count,)).copy())
        place = 0
        while events[place].type != 0:
            if events[place].type == 7:
                self.events.append((events[place].sample / self.rate, events[place].id.string.decode()))
            place += 1
        return 0

    def say(self, mnemonics):
        """Sound in [-1, 1] at `rate` and (second, phoneme) of each phoneme."""
        self.sound.clear()
        self.events.clear()
        text = f"[[{mnemonics}]]".encode()
        self.library.espeak_Synth(text, len(text) + 1, 0, 1, 0, 0x101, None, None)
        self.library.espeak_Synchronize()
        return np.concatenate(self.sound) / 32768.0, list(self.events)


def mnemonics(symbols):
    """espeak's phonemes for a clause, and for each the places of the symbols that it stands for."""
    out, owners = "", []
    for place, symbol in enumerate(symbols):
        if symbol == "ɹ" and place and symbols[place - 1] in "ɜə" and owners:
            owners[-1].append(place)
            if symbols[place - 1] == "ə":
                out = out[:-1] + "3"
            continue
        if symbol in "ˈˌ":
            out += "'" if symbol == "ˈ" else ","
        elif symbol == " ":
            out += " "
        else:
            if out and out[-1] not in "', ":
                out += "|"
            out += ESPEAK[symbol]
            owners.append([place])
    return out, owners


def clauses(symbols):
    """(start, end) of the stretches between marks."""
    spans, start = [], 0
    for place, symbol in enumerate(symbols + "."):
        if symbol in PAUSES:
            if symbols[start:place].strip():
                spans.append((start, place))
            start = place + 1
    return spans


def record(espeak, line):
    """One line: sound at `RATE` and the second at which each token begins (start token first, then the end)."""
    symbols = line.symbols
    starts = np.full(len(symbols) + 3, np.nan)
    starts[0], at = 0.0, LEAD
    pieces = [np.zeros(int(LEAD * RATE))]
    for begin, end in clauses(symbols):
        text, owners = mnemonics(symbols[begin:end])
        sound, events = espeak.say(text)
        sound = resample_poly(sound, 160, 147)
        heard = [(second, name) for second, name in events if not name.startswith("_") and name not in LINKS]
        if len(heard) != len(owners):
            raise ValueError(f"{line.text}: {text}: {len(owners)} phonemes, {[n for _, n in heard]}")
        over = next((second for second, name in events if name.startswith("_") and second >= heard[-1][0]), None)
        over = over or len(sound) / RATE
        edges = [second for second, _ in heard] + [over]
        for (low, high), places in zip(zip(edges, edges[1:]), owners):
            for k, place in enumerate(places):
                starts[1 + begin + place] = at + low + (high - low) * 0.55 * k
        starts[1 + end] = at + over
        mark = symbols[end] if end < len(symbols) else "."
        pieces += [sound[: int(over * RATE)], np.zeros(int(PAUSES[mark] * RATE))]
        at = sum(map(len, pieces)) / RATE
        if end >= len(symbols):
            break
    starts[1 + len(symbols)] = at
    pieces.append(np.zeros(int(TAIL * RATE)))
    starts[-1] = at + TAIL
    share(symbols, starts)
    return np.concatenate(pieces), starts


def share(symbols, starts):
    """Gives stresses and gaps the first moments of the sound behind them, and very short sounds some of the one before."""
    for place in range(len(symbols) - 1, -1, -1):
        if np.isnan(starts[1 + place]):
            starts[1 + place] = starts[2 + place]
    place = 0
    while place < len(symbols):
        silent = place
        while silent < len(symbols) and symbols[silent] in "ˈˌ ":
            silent += 1
        if silent > place and silent < len(symbols) and symbols[silent] not in PAUSES:
            count, length = silent - place, starts[2 + silent] - starts[1 + silent]
            each = min(0.025, 0.6 * length / (count + 1))
            base = starts[1 + silent]
            for k in range(count + 1):
                starts[1 + place + k] = base + k * each
        place = max(silent, place) + 1
    for place in range(1, len(symbols)):
        if symbols[place] in "ɹlnm" and starts[2 + place] - starts[1 + place] < 0.02 and symbols[place - 1] not in " ˈˌ":
            low, high = starts[place], starts[2 + place]
            starts[1 + place] = low + 0.6 * (high - low)


def voicing(symbols):
    """Whether each token has a voice; stresses and gaps go with the sound behind them."""
    flags = [False] * (len(symbols) + 2)
    for place in range(len(symbols) - 1, -1, -1):
        symbol = symbols[place]
        flags[1 + place] = flags[2 + place] if symbol in "ˈˌ " else symbol not in UNVOICED
    return flags


def envelope(sound, starts, flags, pitch):
    """Natural log of the spectral amplitude every 5 ms, [n, 257]."""
    count = int(starts[-1] / STEP)
    times = np.arange(count) * STEP
    token = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, len(flags) - 1)
    voiced = np.asarray(flags)[token]
    power = pyworld.cheaptrick(sound.astype(np.float64), np.where(voiced, pitch, 0.0), times, RATE, fft_size=1024)
    level = np.maximum(0.5 * np.log(power[:, ::2] + 1e-30), FLOOR)
    # A fricative is noise: what it is on average can be learnt, its ripples cannot.
    calm = gaussian_filter1d(gaussian_filter1d(level, 2.0, axis=0, mode="nearest"), 3.0, axis=1, mode="nearest")
    level = np.where(voiced[:, None], level, calm)
    return level.astype(np.float16)


def base_pitch(espeak):
    """Hertz of espeak's one pitch."""
    sound, _ = espeak.say("a l'A:N w'eI m'aI w'i:")
    sound = resample_poly(sound, 160, 147)
    pitch, times = pyworld.dio(sound, RATE)
    pitch = pyworld.stonemask(sound, pitch, times, RATE)
    return float(np.median(pitch[pitch > 0]))


def make(path):
    """Writes the recordings of the corpus and of the held-out lines."""
    espeak = Espeak()
    pitch = base_pitch(espeak)
    out = {"train": [], "held": []}
    seconds = 0.0
    for part, lines in (("train", speech_corpus.corpus()), ("held", speech_corpus.held_out())):
        for line in lines:
            try:
                sound, starts = record(espeak, line)
            except ValueError as error:
                print("left out:", error)
                continue
            seconds += starts[-1]
            level = envelope(sound, starts, voicing(line.symbols), pitch)
            out[part].append({"text": line.text, "symbols": line.symbols, "starts": torch.from_numpy(starts),
                              "envelope": torch.from_numpy(level)})
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(out, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
    print(f"{len(out['train'])} + {len(out['held'])} lines, {seconds / 60:.1f} minutes, espeak's pitch {pitch:.1f} Hz")
    return out


def load(cache):
    """The recordings, made if need be."""
    path = Path(cache) / "base.pt"
    return torch.load(path, weights_only=False) if path.exists() else make(path)


if __name__ == "__main__":
    load(sys.argv[1] if len(sys.argv) > 1 else "cache")
