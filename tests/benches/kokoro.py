"""Kokoro's PyTorch implementation on the weights and the case that the Rust benchmark wrote.

    KOKORO_BENCH_DIR=/tmp/kokoro cargo bench --bench kokoro
    python tests/benches/kokoro.py /tmp/kokoro [threads]

Needs torch, transformers, safetensors and the `kokoro` package (0.9.4); its text front end is not used and may be
missing.
"""

import json
import pathlib
import statistics
import sys
import time
import types
from unittest import mock

import torch
from safetensors.torch import load_file

# This file has the package's name, and its folder comes first.
sys.path = [path for path in sys.path if path != str(pathlib.Path(__file__).parent)]

# The package imports its text front end, which this benchmark does not need.
for name in ("attr", "misaki", "misaki.en", "misaki.espeak", "loguru"):
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = mock.MagicMock(spec=types.ModuleType)
        sys.modules[name].en = sys.modules[name].espeak = sys.modules[name].attr = sys.modules[name].logger = mock.MagicMock()

from kokoro.model import KModel  # noqa: E402

RUNS = 5


def main() -> None:
    folder = sys.argv[1]
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 2)
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    with open(f"{folder}/case.json", encoding="utf-8") as file:
        case = json.load(file)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in load_file(f"{folder}/kokoro-v1_0.safetensors").items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    checkpoint = f"{folder}/twin.pth"
    torch.save(parts, checkpoint)
    model = KModel(repo_id="hexgrad/Kokoro-82M", config=config, model=checkpoint).eval()

    ids = torch.tensor([case["ids"]])
    style = torch.tensor([case["style"]])
    durations = torch.tensor(case["durations"])
    half = config["style_dim"]

    @torch.no_grad()
    def speak() -> torch.Tensor:
        lengths = torch.tensor([ids.shape[1]])
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        bert = model.bert(ids, attention_mask=(~mask).int())
        encoded = model.predictor.text_encoder(
            model.bert_encoder(bert).transpose(-1, -2), style[:, half:], lengths, mask
        )
        hidden, _ = model.predictor.lstm(encoded)
        torch.sigmoid(model.predictor.duration_proj(hidden)).sum(-1)
        # The same durations on both sides: exactly five seconds.
        index = torch.repeat_interleave(torch.arange(ids.shape[1]), durations)
        alignment = torch.zeros(1, ids.shape[1], index.shape[0])
        alignment[0, index, torch.arange(index.shape[0])] = 1
        f0, energy = model.predictor.F0Ntrain(encoded.transpose(-1, -2) @ alignment, style[:, half:])
        text = model.text_encoder(ids, lengths, mask) @ alignment
        return model.decoder(text, f0, energy, style[:, :half]).squeeze()

    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        sound = speak()
        times.append(time.perf_counter() - started)
    assert sound.shape[0] == 120_000, sound.shape
    times = sorted(times[1:])
    median = statistics.median(times)
    print(
        f"torch {torch.__version__}: {median:.3f} s for 5 s on {torch.get_num_threads()} threads "
        f"(fastest {times[0]:.3f}), real-time factor {median / 5:.3f}"
    )


main()
