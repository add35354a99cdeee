"""Do the text encoders hear what a caption says? Linear heads read every attribute from what they hand to the transformer.

From CLIP's vector as it is; from T5's sequence at the tokens that an attribute's query attends to, as the transformer
does. The heads give text encoders a direct signal, from captions alone and without pictures; they are thrown away at export.
"""

import random

import torch
from torch import nn
from torch.nn import functional

from portraits import caption, sample_front

ASKED = ("kind", "skin", "bg", "clothc", "hat", "hatc", "glasses", "glassc", "eyes", "eyec", "hair", "hairc")


def values():
    """{attribute: its values}, as the samplers draw them."""
    drawn = [sample_front(seed, weak=True) for seed in range(4000)]
    return {name: sorted({str(A[name]) for A in drawn}) for name in ASKED}


class Hearing(nn.Module):
    def __init__(self, width_t5, width_clip):
        super().__init__()
        self.index = {name: {value: i for i, value in enumerate(found)} for name, found in values().items()}
        self.pooled = nn.ModuleDict({name: nn.Linear(width_clip, len(i)) for name, i in self.index.items()})
        self.sequence = nn.ModuleDict({name: nn.Linear(width_t5, len(i)) for name, i in self.index.items()})
        self.queries = nn.ParameterDict({name: nn.Parameter(torch.randn(width_t5) * width_t5**-.5) for name in ASKED})

    def answers(self, portraits):
        return {name: torch.tensor([index[str(A[name])] for A in portraits]) for name, index in self.index.items()}

    def forward(self, sequence, pooled, portraits, heard=None):
        """The loss of both readings; heard: {attribute: [shares read rightly from pooled, from T5]} to add to."""
        total, truth = 0.0, self.answers(portraits)
        sequence = sequence.float()
        for name, right in truth.items():
            attended = (sequence @ self.queries[name]).softmax(1)[:, None] @ sequence
            for heads, vector in ((self.pooled, pooled.float()), (self.sequence, attended[:, 0])):
                said = heads[name](vector)
                total = total + functional.cross_entropy(said, right)
                if heard is not None:
                    heard.setdefault(name, []).append(float((said.argmax(1) == right).float().mean()))
        return total / (2 * len(truth))


class Captions:
    """Captions without pictures, from seeds that neither the pictures nor the held-out ones use."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def batch(self, count):
        portraits = [sample_front(self.r.randrange(10**6, 9 * 10**6), weak=True) for _ in range(count)]
        return [caption(A, self.r) for A in portraits], portraits
