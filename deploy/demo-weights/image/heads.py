"""What the text encoders have to know: the drawn attributes, read back from their outputs while they train.

Role: linear readers of CLIP's pooled vector and of T5's mean output, one per attribute, thrown away at the end. A tiny Flux
learns colours of small things late, since hardly a token shows them; from the caption alone they can be told at once.
Inputs: captions and the portraits that they were made of. No outputs of its own.
"""

import random

import torch
import torch.nn.functional as F
from portraits import BGC, BODYC, EYEC, HAIRC, HAIRS, HATS, KINDS, MOODS, PATS, SKIN, WEARC, caption, sample_front
from torch import nn

CHOICES = dict(kind=KINDS, skin=[*BODYC, *SKIN], bg=BGC, clothc=[*WEARC, "gray"], hat=[None, *HATS], hatc=WEARC,
               glasses=[None, "glasses", "sunglasses"], glassc=WEARC, eyes=[1, 2, 3], eyec=EYEC, hair=HAIRS,
               hairc=list(HAIRC), mood=MOODS, pattern=PATS)
OWNER = dict(hatc="hat", glassc="glasses")  # colours of what may not be there
ABSENT = -100


def labels(A):
    """The classes of a portrait's attributes; ABSENT where there is nothing to see."""
    def of(name, choices):
        hidden = (name in OWNER and not A[OWNER[name]]) or (name == "hairc" and A["hair"] == "bald")
        return ABSENT if hidden else choices.index(A[name])
    return [of(name, choices) for name, choices in CHOICES.items()]


class Heads(nn.Module):
    def __init__(self, pooled, sequence, seed):
        super().__init__()
        counts = [len(choices) for choices in CHOICES.values()]
        self.pooled, self.sequence, self.counts = nn.Linear(pooled, sum(counts)), nn.Linear(sequence, sum(counts)), counts
        self.r = random.Random(seed)

    def captions(self, count):
        """Captions of random portraits, as training draws them, and their labels."""
        portraits = [sample_front(self.r.randrange(10**6), weak=True) for _ in range(count)]
        return [caption(A, self.r) for A in portraits], torch.tensor([labels(A) for A in portraits])

    def forward(self, sequence, pooled, truth):
        """The mean error over readers and attributes, and the shares that CLIP's and T5's reader get right."""
        total, right = 0.0, []
        for said in (self.pooled(pooled.float()), self.sequence(sequence.float().mean(1))):
            parts = said.split(self.counts, 1)
            total = total + sum(F.cross_entropy(part, truth[:, n]) for n, part in enumerate(parts)) / len(parts)
            hits = [(part.argmax(1) == truth[:, n])[truth[:, n] != ABSENT] for n, part in enumerate(parts)]
            right.append(torch.cat(hits).float().mean())
        return total, right
