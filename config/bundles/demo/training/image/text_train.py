"""Trains the text encoders of the tiny Flux, T5's and CLIP's, from captions alone: before the transformer, which then takes
them as they are.

python -m image.text_train --minutes 10 [--run run] [--resume]

in:  RUN/tokenizer*
out: RUN/text/ckpt.pt (to resume from; `flux_train.py` begins with it), RUN/text/log.txt

Heads ask what the encoders heard (`hearing.py`); the log tells in what share of captions each attribute is read rightly from
what either encoder hands on. T5 comes first, within some hundred steps; CLIP's vector, which holds all of them, takes
longer.
"""

import argparse
import os

import numpy as np
import torch
from torch import nn

from common import Clock, Log, Optimiser, save_checkpoint, seed_everything

from .hearing import Captions, Hearing
from .tiny_flux import SIZES, TinyFlux
from .tokens import Tokens

BATCH = 64
ADAM = ("shared", "embed", "norm", "relative_attention", "pooled", "sequence", "queries")  # what Muon is not for


@torch.no_grad()
def look_aside(t5):
    """Two heads of T5 begin by looking at the next and at the last token, whatever stands there: a colour belongs to the word
    beside it. Left alone, what words are soon decides all of the attention, places nothing, and T5 hears a bag of words."""
    for block in t5.encoder.block:
        block.layer[0].SelfAttention.q.weight[:2 * t5.config.d_kv] = 0
    table = t5.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight  # (buckets, heads), for all layers
    table[:, :2] = 0
    table[len(table) // 2 + 1, 0] = 8  # the first bucket of what follows
    table[1, 1] = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="of training in all, earlier runs counted in")
    parser.add_argument("--run", default="run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    seed_everything(0, args.threads)
    out = args.run + "/text"
    os.makedirs(out, exist_ok=True)
    tokens = Tokens(args.run)
    model = TinyFlux(tokens)
    parts = nn.ModuleDict(dict(hearing=Hearing(SIZES["t5"], SIZES["clip"]), t5=model.t5, clip=model.clip))
    optimiser = Optimiser(parts, .01, 3e-3, ADAM)
    step, clock = 0, Clock(args.minutes)
    if args.resume:
        saved = torch.load(out + "/ckpt.pt", weights_only=False)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        optimiser.load_state_dict(saved["opt"])
        step, clock = saved["step"], Clock(args.minutes, saved["used"])
    else:
        look_aside(model.t5)
    captions, log, heard = Captions(step), Log(out + "/log.txt"), {}

    def save():
        save_checkpoint(out + "/ckpt.pt", opt=optimiser.state_dict(), used=clock.elapsed(), step=step,
                        **{name: part.state_dict() for name, part in parts.items()})

    while clock.progress() < 1:
        texts, portraits = captions.batch(BATCH)
        loss = parts["hearing"](*model.text(tokens, texts), portraits, heard)
        loss.backward()
        optimiser.step(clock.progress())
        step += 1
        log.note(loss=loss.detach())
        shares = " ".join(f"{name} {np.mean(s[::2]):.3f}/{np.mean(s[1::2]):.3f}" for name, s in heard.items())
        if log.tell(f"{clock.elapsed():.0f} s, step {step}, heard by CLIP/T5: {shares};"):
            heard = {}
            save()
    save()


if __name__ == "__main__":
    main()
