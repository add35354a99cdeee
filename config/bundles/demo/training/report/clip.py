"""The CLIP pair as exported, on pictures and captions: which pairs pass the node's thresholds."""

import json

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel

from image.questions import NEUTRAL, concepts, holds
from image.tiny_clip import embed_pictures, embed_texts, prepare

from .generate import exported_tokens, floats, load_all_but

LEAST = dict(clip_b=.70, clip_l=.72)  # the node's default thresholds of 2.5 · cos


class Judge:
    """One CLIP, f16 weights in float32."""

    def __init__(self, folder):
        with open(folder + "/config.json", encoding="utf-8") as file:
            self.model = CLIPModel(CLIPConfig.from_dict(json.load(file))).eval()
        load_all_but(self.model, floats(folder + "/model.safetensors"), "position_ids")
        self.tokens = exported_tokens(folder, None)

    @torch.no_grad()
    def scores(self, texts, pictures):
        """(texts, pictures): 2.5 · max(cos, 0)."""
        return 2.5 * self.cosines(texts, pictures).clamp(min=0).numpy()

    @torch.no_grad()
    def cosines(self, texts, pictures):
        seen = [embed_pictures(self.model, prepare(pictures[i:i + 20])) for i in range(0, len(pictures), 20)]
        return embed_texts(self.model, self.tokens, texts, 77) @ torch.cat(seen).T


def judge(folder, portraits, texts, claims, pictures):
    """Shares that pass and fail, for each of the pair and for both together (as the node asks)."""
    # A caption with few claims may be true of another portrait too: such pairs are no mismatches.
    fits = np.array([[holds(c, A) for A in portraits] for c in claims]) | np.eye(len(texts), dtype=bool)
    own = np.eye(len(texts), dtype=bool)
    out, passed = {}, {}
    every = concepts()
    there = np.array([[holds(c, A) for A in portraits] for _, c in every])
    for name, least in LEAST.items():
        one = Judge(f"{folder}/{name}")
        scores = one.scores(texts, pictures)
        passed[name] = scores >= least
        about = one.cosines([text for text, _ in every] + [NEUTRAL], pictures).numpy()
        seen = about[:-1] >= about[-1]
        out[name] = rates(passed[name], own, fits) | dict(
            mean_matching=figure(scores[own].mean()), concept_seen_where_it_is=figure(seen[there].mean()),
            concept_unseen_where_it_is_not=figure(1 - seen[~there].mean()))
    out["both"] = rates(passed["clip_b"] & passed["clip_l"], own, fits)
    return out


def rates(passed, own, fits):
    return dict(matching_pass=figure(passed[own].mean()), mismatched_fail=figure(1 - passed[~fits].mean()))


def figure(value):
    return round(float(value), 4)
