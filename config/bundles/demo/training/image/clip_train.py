"""Trains one of the two CLIPs: contrastive with several right answers, and around the node's thresholds.

python -m image.clip_train --kind b --minutes 12 [--run run] [--resume] [--text-only]     (or --kind l)

in:  RUN/tokenizer; pictures are drawn once into RUN/clip_pictures.npy, every other one turned and with a free mouth, eyes
     and brows, because the node also scores animated frames
out: RUN/clip-KIND/ckpt.pt (to resume from, and what is exported), RUN/clip-KIND/eval.json

The contrastive loss alone orders texts; the node compares 2.5·cos with a threshold, asks whether a concept fits better than
"a photo", and people change one word. So every pair is also pushed to its side of the threshold, wrong captions are made by
changing one attribute of the picture's own, and short concepts are held against the neutral text. At the end `settle` puts
the node's threshold between right and wrong. With --text-only the picture tower stays as it is and sees every picture
once: the texts' side of all that in a tenth of the time.
"""

import argparse
import os
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from common import Clock, Log, Optimiser, save_checkpoint, seed_everything, write_json
from portraits import caption, render, sample_front, with_drive

from .autoencoder import HELD
from .questions import NEUTRAL, concepts, holds, true_caption, wrong_caption
from .tiny_clip import SIDE, THRESHOLD, build, embed_pictures, embed_texts, features, prepare
from .tokens import Tokens

NEUTRAL_BELOW = .08  # the neutral text's cosine with everything, below the threshold
SHARPNESS = 14.0  # of the push around the threshold
UNSEEN = 20_000_000  # seeds of portraits that neither training nor the held-out figures have
ABOVE = .08  # where right pairs are to be, above the threshold: half of them on either side would not do


def portrait(seed):
    """Frontal, or turned and talking if `seed` is odd."""
    A = sample_front(seed, weak=True)
    if seed % 2:
        r = random.Random(seed)
        with_drive(A, r, .5, drive=True)
    return A


def draw(seeds):
    """At CLIP's own size, by the node's resizing."""
    pictures = [render(portrait(seed)).resize((SIDE, SIDE), Image.BICUBIC) for seed in seeds]
    return np.stack([np.asarray(picture) for picture in pictures])


def drawn(run, count):
    """The training pictures; row i is portrait(i)."""
    path = run + "/clip_pictures.npy"
    if not os.path.exists(path):
        rows = np.lib.format.open_memmap(path + ".new", "w+", np.uint8, (count, SIDE, SIDE, 3))
        for i in range(0, count, 50):
            rows[i:i + 50] = draw(range(i, min(i + 50, count)))
        rows.flush()
        os.replace(path + ".new", path)
    return np.load(path, mmap_mode="r")


def disturbed(x, r):
    """What stands between a drawing and a frame: softness, noise, mirror, light."""
    if r.random() < .5:
        size = int(SIDE * r.choice([.35, .5, .7]))
        x = F.interpolate(F.interpolate(x, (size, size), mode="bilinear", antialias=True), (SIDE, SIDE), mode="bilinear")
    if r.random() < .5:
        x = x + torch.randn_like(x) * .15 * r.random()
    if r.random() < .5:
        x = x.flip(3)
    if r.random() < .5:
        x = x * (1 + .1 * (r.random() * 2 - 1)) + .1 * (r.random() * 2 - 1)
    return x


def loss_of(model, tokens, pictures, portraits, asked, kind, r):
    """Contrastive both ways, the threshold, one wrong word, concepts against the neutral text. pictures: unit vectors."""
    count = len(portraits)
    own = [true_caption(A, r) for A in portraits]
    wrong = [wrong_caption(A, r) for A in portraits]
    texts = own + wrong + asked
    with torch.autocast("cpu", torch.bfloat16):
        words = embed_texts(model, tokens, [text for text, _ in texts] + [NEUTRAL])
    cosines = words @ pictures.T
    neutral, cosines = cosines[-1], cosines[:-1]
    right = torch.tensor([[holds(claims, A) for A in portraits] for _, claims in texts])
    right[:count] |= torch.eye(count, dtype=torch.bool)
    # Contrastive: a caption among the pictures, a picture among the captions.
    logits = cosines * model.logit_scale.exp().clamp(max=60)
    fits = right.float()
    by_text = -(fits[:count] / fits[:count].sum(1, keepdim=True) * logits[:count].log_softmax(1)).sum(1).mean()
    whole = fits[:2 * count]
    by_picture = -(whole / whole.sum(0, keepdim=True) * logits[:2 * count].log_softmax(0)).sum(0).mean()
    # Every pair on its side of the threshold, right and wrong ones alike in weight.
    least = THRESHOLD[kind] + ABOVE * fits
    push = F.binary_cross_entropy_with_logits(SHARPNESS * (cosines - least), fits, reduction="none")
    sides = (push * fits).sum() / fits.sum() + (push * (1 - fits)).sum() / (1 - fits).sum()
    # The picture's own caption with one wrong word.
    mistaken = cosines[count:2 * count].diagonal()[~right[count:2 * count].diagonal()]
    one_word = F.softplus(SHARPNESS * (mistaken - THRESHOLD[kind] + .04)).mean()
    # Concepts above or below the neutral text, which stays where it is put.
    about = cosines[2 * count:] - neutral
    concept = F.softplus(-SHARPNESS * about * (2 * fits[2 * count:] - 1))
    some = fits[2 * count:]
    concept = (concept * some).sum() / some.sum().clamp(min=1) + (concept * (1 - some)).sum() / (1 - some).sum()
    still = (neutral - (THRESHOLD[kind] - NEUTRAL_BELOW)).pow(2).mean() * 20
    parts = dict(text=by_text, picture=by_picture, sides=sides, one_word=one_word, concepts=concept, neutral=still)
    return (by_text + by_picture) / 2 + 2 * sides + one_word + concept + still, parts


@torch.no_grad()
def seen_once(model, pictures, r):
    """The unit vectors of all pictures, each disturbed in its own way."""
    parts = [disturbed(prepare(pictures[i:i + 20]), r) for i in range(0, len(pictures), 20)]
    with torch.autocast("cpu", torch.bfloat16):
        return torch.cat([embed_pictures(model, part) for part in parts])


@torch.no_grad()
def settle(model, tokens, kind, r, count=600, passing=.99):
    """Lifts all cosines together until `passing` of pictures' own captions pass, pictures not trained on; the lift.

    Both towers' last biases get a component along the direction that embeddings use least. That orders nothing anew: it says
    where the node's threshold lies between right and wrong, which training leaves within some hundredths.
    """
    seeds = range(UNSEEN, UNSEEN + count)
    seen = [prepare(draw(seeds[i:i + 20])) for i in range(0, count, 20)]
    seen = torch.cat([features(model.get_image_features(pixel_values=disturbed(part, r))).float() for part in seen])
    texts = [caption(portrait(seed), r) for seed in seeds]
    said = features(model.get_text_features(input_ids=torch.tensor(tokens.clip(texts, 36)))).float()
    used = sum(x.T @ x for x in (F.normalize(seen, dim=1), F.normalize(said, dim=1)))
    reach = torch.linalg.qr(model.visual_projection.weight)[0]  # what the picture tower's bias can reach
    along = reach @ torch.linalg.eigh(reach.T @ used @ reach)[1][:, 0]
    for lift in torch.arange(0, .8, .01):
        shifts = [lift * x.norm(dim=1).mean() * along for x in (seen, said)]
        if (F.cosine_similarity(seen + shifts[0], said + shifts[1]) >= THRESHOLD[kind]).float().mean() >= passing:
            break
    ends = ((model.visual_projection, model.vision_model.post_layernorm),
            (model.text_projection, model.text_model.final_layer_norm))
    for (projection, norm), shift in zip(ends, shifts):
        norm.bias += torch.linalg.lstsq(projection.weight, shift[:, None]).solution[:, 0]
    return float(lift)


@torch.no_grad()
def evaluate(model, tokens, kind, count=200):
    """On held-out portraits, every other one moving."""
    r = random.Random(3)
    people = [portrait(HELD + i) for i in range(count)]
    pictures = torch.cat([embed_pictures(model, prepare(draw(range(HELD + i, HELD + i + 20)))) for i in range(0, count, 20)])
    claims = []
    for A in people:
        text = caption(A, r)
        claims.append((text, dict(A["used"], kind=A["kind"])))
    wrong, every = [wrong_caption(A, r) for A in people], concepts()
    scores = embed_texts(model, tokens, [text for text, _ in claims]) @ pictures.T
    fits = torch.tensor([[holds(c, A) for A in people] for _, c in claims]) | torch.eye(count, dtype=torch.bool)
    mistaken = (embed_texts(model, tokens, [text for text, _ in wrong]) * pictures).sum(1)
    truly = torch.tensor([not holds(c, A) for (_, c), A in zip(wrong, people)])
    about = embed_texts(model, tokens, [text for text, _ in every]) @ pictures.T
    about = about - embed_texts(model, tokens, [NEUTRAL]) @ pictures.T
    there = torch.tensor([[holds(c, A) for A in people] for _, c in every])
    least, own = THRESHOLD[kind], scores.diagonal()
    return dict(matched_pass=share(own >= least), matched_pass_still=share(own[::2] >= least),
                matched_pass_moving=share(own[1::2] >= least), mismatched_fail=share(scores[~fits] < least),
                one_wrong_word_fail=share(mistaken[truly] < least), one_wrong_word_lower=share((mistaken < own)[truly]),
                concept_seen_where_it_is=share(about[there] >= 0), concept_unseen_where_it_is_not=share(about[~there] < 0),
                text_to_picture_of_200=share(scores.argmax(1) == torch.arange(count)))


def share(truths):
    return round(float(truths.float().mean()), 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", choices=("b", "l"), default="b")
    parser.add_argument("--minutes", type=float, default=12, help="of training in all, earlier runs counted in")
    parser.add_argument("--run", default="run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--muon", type=float, default=.01)
    parser.add_argument("--adam", type=float, default=1.5e-3)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--text-only", action="store_true")
    args = parser.parse_args()
    out = f"{args.run}/clip-{args.kind}"
    os.makedirs(out, exist_ok=True)
    seed_everything(0, args.threads)
    tokens = Tokens(args.run)
    model = build(args.kind, tokens)
    if args.text_only:
        for part in (model.vision_model, model.visual_projection):
            part.requires_grad_(False)
    optimiser = Optimiser(model, args.muon, args.adam, ("embedding", "logit_scale"), warm=30)
    pictures = drawn(args.run, args.pictures)
    step, clock = 0, Clock(args.minutes)
    if args.resume:
        saved = torch.load(out + "/ckpt.pt", weights_only=False)
        model.load_state_dict(saved["m"])
        step, clock = saved["step"], Clock(args.minutes, saved["used"])
        if saved.get("text_only", False) == args.text_only:
            optimiser.load_state_dict(saved["opt"])
    rows, r, log, every = np.random.RandomState(step + 1), random.Random(step), Log(out + "/log.txt"), concepts()
    seen = seen_once(model, pictures, r) if args.text_only else None

    def save():
        save_checkpoint(out + "/ckpt.pt", m=model.state_dict(), opt=optimiser.state_dict(), used=clock.elapsed(), step=step,
                        text_only=args.text_only)

    while clock.progress() < 1:
        picked = np.sort(rows.choice(len(pictures), args.batch, replace=False))
        if seen is None:
            with torch.autocast("cpu", torch.bfloat16):
                vectors = embed_pictures(model, disturbed(prepare(pictures[picked]), r))
        else:
            vectors = seen[torch.from_numpy(picked)]
        people = [portrait(int(row)) for row in picked]
        loss, parts = loss_of(model, tokens, vectors, people, r.sample(every, 24), args.kind, r)
        loss.backward()
        optimiser.step(clock.progress())
        step += 1
        log.note(**{name: part.detach() for name, part in parts.items()})
        if log.tell(f"{clock.elapsed():.0f} s, step {step}:"):
            save()
    model.eval()
    lift = settle(model, tokens, args.kind, r)
    save()
    result = evaluate(model, tokens, args.kind) | dict(lift=round(lift, 2), steps=step, minutes=round(clock.elapsed() / 60, 1))
    write_json(out + "/eval.json", result)
    print(result)


if __name__ == "__main__":
    main()
