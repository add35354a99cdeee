"""Reads a portrait's attributes back from its pixels, knowing the drawing but not the caption.

Where a thing has a known place its colour is measured there; where shapes tell it, the picture is compared with drawings
that differ in nothing else (the nearest wins). A shape counts only where the picture resembles the winning drawing
(`LIKENESS`): a smear is nearest to something too.

    Reader().read(picture) -> {attribute: value or None where the pixels are unlike every drawing}
"""

import numpy as np
from PIL import Image

from portraits import BGC, BODYC, EYEC, HAIRC, HAIRS, HATS, KINDS, MOODS, SKIN, WEARC, front, render

SIDE = 96  # pictures are compared at this size: lines survive, single pixels do not matter
LIKENESS = .55  # least correlation of brightness with the winning drawing, in the part that shows the attribute
CLOTHS = [c for c in BODYC if c in WEARC or c == "gray"] + ["black"]

# Parts of the picture, in canvas units: left, top, right, bottom.
SIDES = [(-1, -1, -.72, .45), (.72, -1, 1, .45)]
SHIRT = [(-.55, .82, .55, 1)]
FACE = [(-.62, -.62, .62, .66)]
EYES = [(-.42, -.36, .42, .2)]
MOUTH = [(-.3, .14, .3, .52)]
TOP = [(-.7, -1, .7, -.2)]
ALL = [(-1, -1, 1, 1)]
HEAD = [(-.72, -1, .72, .68)]
LOOKED_AT = dict(kind=HEAD, skin=FACE, bg=SIDES, pattern=SIDES, clothc=SHIRT, hat=TOP, hatc=TOP, hair=HEAD, hairc=HEAD,
                 eyes=EYES, eyec=EYES, glasses=EYES, glassc=EYES, mood=FACE)


def mask(boxes):
    """Pixels in any of `boxes`."""
    out = np.zeros((SIDE, SIDE), bool)
    for box in boxes:
        left, top, right, bottom = (int(round((v + 1) * SIDE / 2)) for v in box)
        out[max(0, top):bottom, max(0, left):right] = True
    return out


MASKS = {name: mask(boxes) for name, boxes in LOOKED_AT.items()}
WHOLE = mask(ALL)


def small(picture):
    """(SIDE, SIDE, 3) floats of a PIL picture or an array."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return np.asarray(image.resize((SIDE, SIDE), Image.BOX), dtype=np.float32)


def likeness(a, b, where):
    """Correlation of brightness in a part of two pictures; 1 where both are flat."""
    x, y = (picture.mean(2)[where] for picture in (a, b))
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x * x).mean() * (y * y).mean())
    return 1.0 if spread < 4 else float((x * y).mean() / spread)


class Reader:
    """Keeps drawings that it has made: the search comes by the same ones again and again."""

    def __init__(self):
        self.drawn = {}

    def drawing(self, A):
        key = tuple(A[name] for name in ("kind", *LOOKED_AT)[1:]) + (A["kind"],)
        if key not in self.drawn:
            if len(self.drawn) > 20000:
                self.drawn.clear()
            self.drawn[key] = small(render(A, size=SIDE, ss=2))
        return self.drawn[key]

    def distance(self, seen, A, where=WHOLE):
        return float(np.abs(seen - self.drawing(A))[where].mean())

    def read(self, picture):
        seen = small(picture)
        starts = sorted((self.start(seen, kind) for kind in KINDS), key=lambda A: self.distance(seen, A))
        best = min((self.refine(seen, A) for A in starts[:2]), key=lambda A: self.distance(seen, A))
        drawn = self.drawing(best)
        found = {}
        for name, where in MASKS.items():
            alike = name in ("bg", "clothc", "pattern", "skin") or likeness(seen, drawn, where) >= LIKENESS
            found[name] = best[name] if alike else None
        return found

    def start(self, seen, kind):
        """Ground, cloth and skin by their colours, then the hat and whether there is hair."""
        A = front(kind, {})
        options = [dict(bg=bg, pattern=pattern) for bg in BGC for pattern in ("plain", "striped", "dotted")]
        A = self.choose(seen, A, options, "bg")
        A = self.choose(seen, A, [dict(clothc=c) for c in CLOTHS], "clothc")
        skins = list(SKIN) if kind == "human" else BODYC
        A = self.choose(seen, A, [dict(skin=c) for c in skins], "skin")
        return self.choose(seen, A, hats(), "kind")

    def refine(self, seen, A):
        """One attribute after the other, twice: what is found later helps what came before."""
        for _ in range(2):
            human = A["kind"] == "human"
            A = self.choose(seen, A, [dict(skin=c) for c in (SKIN if human else BODYC)], "skin")
            A = self.choose(seen, A, hats(), "hat")
            styles = HAIRS if human else ["bald", "mohawk", "spiky"]
            styles = [s for s in styles if not (A["hat"] and s in ("mohawk", "bun"))]
            bald = [dict(hair="bald", hairc="brown")]
            A = self.choose(seen, A, bald + [dict(hair=s, hairc=c) for s in styles if s != "bald" for c in HAIRC], "hair")
            A = self.choose(seen, A, [dict(eyes=n, glasses=None) for n in (1, 2, 3)] + glasses((1, 2, 3)), "eyes")
            A = self.choose(seen, A, [dict(eyec=c) for c in EYEC], "eyec")
            A = self.choose(seen, A, [drive(m) for m in MOODS], "mood")
        return A

    def choose(self, seen, A, options, attribute):
        """`A` with the option whose drawing is nearest in the part of the picture that shows `attribute`."""
        where = MASKS[attribute]
        return min((A | option for option in options), key=lambda B: self.distance(seen, B, where))


def hats():
    none = [dict(hat=None, hatc="red")]
    return none + [dict(hat=h, hatc=c) for h in HATS for c in WEARC]


def glasses(counts):
    clear = [dict(glasses="glasses", glassc=c, eyes=n) for c in WEARC for n in counts]
    return clear + [dict(glasses="sunglasses", glassc="black", eyes=n) for n in counts]


def drive(mood):
    """What `mood` does to the face of a frontal portrait."""
    A = front("cat", dict(mood=mood))
    return {name: A[name] for name in ("mood", "mouth", "smile", "eye_l", "eye_r", "brow")}


def agrees(found, spec, kind):
    """{attribute: whether it is as asked}, for the kind, everything that `spec` names, and a hat that nobody asked for."""
    out = {name: found[name] == value for name, value in spec.items()} | dict(kind=found["kind"] == kind)
    if "hat" not in spec:
        out["no hat"] = found["hat"] is None
    if spec.get("glasses") == "sunglasses":  # whose frames are always black
        out.pop("glassc", None)
    return out
