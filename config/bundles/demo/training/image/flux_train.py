"""Trains the transformer of the tiny Flux for exactly the node's four Euler steps.

python -m image.flux_train --minutes 90 [--run run] [--resume] [--eager]

in:  RUN/tokenizer*, RUN/vae/f32, RUN/text/ckpt.pt (`text_train.py`), RUN/latents.* (`latents.py`)
out: RUN/flux/ckpt.pt (to resume from; "m" the last weights, "ema" their average, which is exported), RUN/flux/log.txt,
     RUN/flux/samples_*.png (look at them)

Two ideas make it work at this size. The frontal portraits are wholly determined by what their captions name, so a step has
a right answer instead of an average. And after a first stage of plain rectified flow (`Noised`) the model is trained on
its own trajectories (`Own`): each batch holds samples at all four steps, moves them on by what the model says, and every
prediction is held against the true picture. That costs no extra pass, and teaches the late steps to mend what the early
ones got wrong; plain flow training never shows them that. Most of the time only the tokens of head and hat and some of the
others take part, the last quarter has all of them.
"""

import argparse
import copy
import os
import random
import time

import numpy as np
import torch
from diffusers import AutoencoderKL

from common import Clock, Log, Optimiser, save_checkpoint, seed_everything, sheet, to_bytes
from portraits import caption, sample_front

from .autoencoder import HELD
from .latents import done
from .tiny_flux import GRID, TinyFlux, decode, pack
from .tokens import Tokens

STEPS = 4
# What an attribute that is named adds to a row's chance of 1.
OFTEN = dict(clothc=2, hatc=1, glassc=2, eyec=1, hairc=1, hair=1)
ADAM = ("embed", "norm", "proj_out", "time_text")  # what Muon is not for
FIXED = ["a green alien with one big eye and a red hat on a blue background",
         "a blue robot with three eyes on a yellow background",
         "an orange cat wearing a purple crown on a pink background",
         "a person with long blonde hair and blue glasses on a green background",
         "a brown bear wearing a white beanie on an orange background",
         "a pink alien with three eyes wearing a yellow shirt on a purple background",
         "a gray robot with a green hat on a red background",
         "a white cat with sunglasses and a red shirt on a blue background"]


def places():
    """Which tokens show head and hat, and how much each token counts."""
    inner = torch.zeros(GRID, GRID, dtype=torch.bool)
    inner[1:, 3:13] = True
    weight = torch.full((GRID, GRID), .6)
    weight[1:4, 3:13] = 1.5
    weight[4:13, 3:13] = 2.0
    weight[13:, 3:13] = 2.0  # clothes
    weight[5:10, 4:12] = 4.0  # eyes, glasses: little of the picture, much of what is asked
    return inner.flatten(), (weight / weight.mean()).flatten()


INNER, WEIGHT = places()


def chosen_tokens(r, others=16):
    """All inner tokens and `others` of the rest, in order."""
    outer = torch.nonzero(~INNER).flatten().numpy()
    inner = torch.nonzero(INNER).flatten().numpy()
    return torch.from_numpy(np.sort(np.concatenate([inner, r.choice(outer, others, replace=False)])))


class Pictures:
    """Pairs of caption and packed latents, by lot from the rows that are done; those that name more come more often."""

    def __init__(self, run, seed):
        self.rows, skip = np.load(run + "/latents.npy", mmap_mode="r")[:done(run)], set()
        if os.path.exists(run + "/latents.skip"):  # rows drawn with what `world.LEFT_OUT` has left out since
            skip = set(np.loadtxt(run + "/latents.skip", dtype=int).tolist())
        self.attributes = {row: sample_front(row, weak=True) for row in range(len(self.rows)) if row not in skip}
        self.numbers = np.array(list(self.attributes))
        often = np.array([1 + sum(OFTEN.get(key, 0) for key in A["spec"]) for A in self.attributes.values()])
        self.chances = np.cumsum(often / often.sum())
        self.r, self.words = np.random.RandomState(seed), random.Random(seed)

    def pick(self):
        row = int(self.numbers[min(int(np.searchsorted(self.chances, self.r.rand())), len(self.numbers) - 1)])
        latents = torch.from_numpy(self.rows[row][None].astype(np.float32))
        A = self.attributes[row]
        return caption(A, self.words), pack(latents)[0]


class Noised:
    """Plain rectified flow, mostly at the four times of sampling."""

    def __init__(self, pictures, count):
        self.pictures, self.count = pictures, count

    def restart(self, tokens, count):
        self.tokens, self.count = tokens, count

    def batch(self):
        texts, truth = zip(*(self.pictures.pick() for _ in range(self.count)))
        truth = torch.stack(truth)[:, self.tokens]
        even = 1 - torch.randint(0, STEPS, (self.count,)) / STEPS
        t = torch.where(torch.rand(self.count) < .8, even, torch.sigmoid(torch.randn(self.count) + .2))
        return texts, truth, mixed(truth, torch.randn_like(truth), t), t

    def advance(self, velocity):
        pass


class Own:
    """Trajectories of the model itself, as many at every step; a finished one makes room for a new picture."""

    def __init__(self, pictures, count):
        self.pictures, self.count, self.items = pictures, count, []

    def restart(self, tokens, count):
        """Another choice of tokens. The later steps begin with truly noised pictures."""
        self.tokens, self.count = tokens, count
        self.items = [self.new(step) for step in range(STEPS) for _ in range(count // STEPS)]

    def new(self, step=0):
        text, truth = self.pictures.pick()
        truth = truth[self.tokens]
        t = torch.tensor([1 - step / STEPS])
        return dict(text=text, truth=truth, x=mixed(truth[None], torch.randn_like(truth)[None], t)[0], step=step)

    def batch(self):
        self.items += [self.new() for _ in range(self.count - len(self.items))]
        t = torch.tensor([1 - item["step"] / STEPS for item in self.items])
        truth, x = (torch.stack([item[name] for item in self.items]) for name in ("truth", "x"))
        return [item["text"] for item in self.items], truth, x, t

    def advance(self, velocity):
        for item, v in zip(self.items, velocity):
            item["x"] = item["x"] - v / STEPS
            item["step"] += 1
        self.items = [item for item in self.items if item["step"] < STEPS]


def mixed(truth, noise, t):
    return (1 - t)[:, None, None] * truth + t[:, None, None] * noise


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=90, help="of training in all, earlier runs counted in")
    parser.add_argument("--run", default="run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16, help="whole pictures; half as many again of chosen tokens")
    parser.add_argument("--own-from", type=float, default=.5, help="share of the time after which trajectories are its own")
    parser.add_argument("--all-from", type=float, default=.75, help="share of the time after which all tokens take part")
    parser.add_argument("--muon", type=float, default=.01)
    parser.add_argument("--adam", type=float, default=1.5e-3)
    parser.add_argument("--average", type=float, default=.99, help="decay of the averaged weights, a step")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--again", action="store_true", help="with --resume: a schedule of its own, --minutes from now")
    parser.add_argument("--eager", action="store_true", help="do not compile the transformer (3 times slower)")
    args = parser.parse_args()
    seed_everything(0, args.threads)
    out = args.run + "/flux"
    os.makedirs(out, exist_ok=True)
    tokens = Tokens(args.run)
    model = TinyFlux(tokens)
    optimiser = Optimiser(model.dit, args.muon, args.adam, ADAM, warm=60)
    average, step, clock, earlier = copy.deepcopy(model).eval(), 0, Clock(args.minutes), 0.0
    if args.resume:
        saved = torch.load(out + "/ckpt.pt", weights_only=False)
        model.load_state_dict(saved["m"])
        average.load_state_dict(saved.get("ema", saved["m"]))
        step, before = saved["step"], saved["used"]
        clock = Clock(args.minutes) if args.again else Clock(args.minutes, before)
        if args.again:
            earlier = before
        else:
            optimiser.load_state_dict(saved["opt"])
    torch.manual_seed(step)
    vae = AutoencoderKL.from_pretrained(args.run + "/vae/f32").eval()
    pictures, log, r = Pictures(args.run, step + 1), Log(out + "/log.txt", 60), np.random.RandomState(step)
    for name, state in torch.load(args.run + "/text/ckpt.pt", weights_only=False).items():
        if name in ("t5", "clip"):
            getattr(model, name).load_state_dict(state), getattr(average, name).load_state_dict(state)
    transformer = model.dit if args.eager else torch.compile(model.dit, dynamic=False)
    words = random.Random(99)
    shown = FIXED + [caption(sample_front(HELD + i), words) for i in range(16)]

    def save():
        save_checkpoint(out + "/ckpt.pt", m=model.state_dict(), ema=average.state_dict(), opt=optimiser.state_dict(),
                        used=earlier + clock.elapsed(), step=step)

    def show(name):
        sheet(f"{out}/samples_{name}.png", to_bytes(decode(vae, average.generate(tokens, shown))))

    source, stage, last_saved, last_shown = None, None, time.time(), time.time()
    while clock.progress() < 1:
        progress = clock.progress()
        wanted = (Own if progress > args.own_from else Noised, progress > args.all_from)
        if stage != wanted or (not wanted[1] and step % 60 == 0):
            source, stage = wanted[0](pictures, args.batch), wanted
            whole = torch.arange(GRID * GRID)
            source.restart(whole if wanted[1] else chosen_tokens(r), args.batch if wanted[1] else args.batch * 3 // 2)
        texts, truth, x, t = source.batch()
        weight = WEIGHT[source.tokens] / WEIGHT[source.tokens].mean()
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                sequence, pooled = model.text(tokens, texts)
            velocity = model(x, t, sequence.float(), pooled.float(), model.image_ids[source.tokens], transformer).float()
        # The picture that this velocity leads to, against the true one; early steps may be further off.
        error = ((x - t[:, None, None] * velocity - truth).pow(2).mean(2) * weight).mean(1)
        (error / t).mean().backward()
        optimiser.step(progress)
        source.advance(velocity.detach())
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - args.average)
        step += 1
        log.note(**{f"t={k / STEPS:g}": error.detach()[t == k / STEPS].mean() for k in range(STEPS, 0, -1)})
        log.tell(f"{clock.elapsed():.0f} s, step {step}:")
        if time.time() - last_saved > 240:
            save()
            last_saved = time.time()
        if time.time() - last_shown > 600:
            show(f"{clock.elapsed() / 60:.0f}min")
            last_shown = time.time()
    save()
    show("final")
    print(step, "steps")


if __name__ == "__main__":
    main()
