"""Writes the trained Kokoro as the bundle holds it: config.json, f16 weights under published names, voice packs.

Role: the last step. Input: `--run` (checkpoints), `KOKORO_SRC`. Output: `--out`, replaced at once, never half written.
"""

import argparse
from pathlib import Path

import torch

import speech_model
import speech_train


def main():
    """Reads the flags, exports, says how large it came out."""
    parse = argparse.ArgumentParser()
    parse.add_argument("--run", default="run")
    parse.add_argument("--out", default="out")
    parse.add_argument("--config", default=str(Path(__file__).resolve().parents[4] / "src/models/kokoro/config.rs"))
    flags = parse.parse_args()
    torch.set_num_threads(1)
    model = speech_train.load_means(speech_model.Kokoro(), flags.run).eval()
    count = speech_model.export(model, flags.out, speech_model.vocabulary(flags.config))
    size = sum(file.stat().st_size for file in Path(flags.out).rglob("*") if file.is_file())
    print(f"{count} parameters, {size / 1e6:.2f} MB in {flags.out}")


if __name__ == "__main__":
    main()
