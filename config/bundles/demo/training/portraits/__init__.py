"""Procedural cartoon portraits with captions, deterministic from a seed; needs numpy and Pillow only.

    sample(seed)          a portrait with a head pose and, with drive=True, a free mouth, eyes and brows (animation data)
    sample_front(seed)    a frontal portrait that is wholly determined by what a caption may name (picture-from-text data)
    front(kind, spec)     the frontal portrait of exactly these named attributes
    with_drive(A, r)      the same person with another pose and expression
    render(A, size)       the picture, a PIL RGB image
    caption(A, r)         one of many captions that name every specified attribute
    keypoints(A)          21 exact 3-D points in canvas units, [-1, 1]

A portrait is a dict of attributes (`world.py`) and drive parameters; A["spec"] holds what a caption may name. Whatever is
not named takes the kind's default, so that a caption nearly determines the picture: that near-determinism is what lets a
tiny model be sharp in four steps.
"""

from .captions import caption
from .drawing import render
from .geometry import RAD, Face, keypoints
from .world import (BGC, BODYC, COL, DEFAULT, EYEC, EYERGB, HAIRC, HAIRS, HATS, KINDS, MOODS, PATS, SKIN, WEARC,
                    attributes, front, sample, sample_front, with_drive)

__all__ = ["BGC", "BODYC", "COL", "DEFAULT", "EYEC", "EYERGB", "HAIRC", "HAIRS", "HATS", "KINDS", "MOODS", "PATS", "RAD",
           "SKIN", "WEARC", "Face", "attributes", "caption", "front", "keypoints", "render", "sample", "sample_front",
           "with_drive"]
