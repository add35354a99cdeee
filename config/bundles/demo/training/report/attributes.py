"""Reads a portrait's attributes back from its pixels, knowing the drawing but not the caption.

Where a thing has a known place its colour is measured there; where shapes tell it, the picture is compared with drawings
that differ in nothing else (the nearest wins). A shape counts only where the picture resembles the winning drawing
(`LIKENESS`): a smear is nearest to something too.

    Reader().read(picture) -> {attribute: value or None where the pixels are unlike every drawing}
"""

import numpy as np
from PIL import Image

from portraits import BGC, BODYC, COL, EYEC, HAIRC, HAIRS, HATS, KINDS, MOODS, SKIN, WEARC, Face, front, render
from portraits.drawing import HAT_TOP

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
        best = self.refine(seen, starts[0])
        if self.distance(seen, starts[1]) < 1.25 * self.distance(seen, starts[0]):  # no clear winner yet
            best = min(best, self.refine(seen, starts[1]), key=lambda A: self.distance(seen, A))
        drawn = self.drawing(best)
        found = {}
        for name, where in MASKS.items():
            alike = name in ("bg", "clothc", "pattern", "skin") or likeness(seen, drawn, where) >= LIKENESS
            found[name] = best[name] if alike else None
        return found

    def start(self, seen, kind):
        """Ground, cloth and skin by their colours, then which hat there is; all of it on drawings that come again."""
        ground = self.choose(seen, front("cat", {}), GROUNDS, "bg")
        A = front(kind, {})
        cloth = self.choose(seen, A, [dict(clothc=c) for c in CLOTHS], "clothc")
        skin = self.choose(seen, A, [dict(skin=c) for c in skins(kind)], "skin")
        A = A | {name: ground[name] for name in ("bg", "pattern")} | dict(clothc=cloth["clothc"], skin=skin["skin"])
        return self.choose(seen, A, hats(hat_colours(seen, A)), "kind")

    def refine(self, seen, A):
        """One attribute after the other, twice: what is found later helps what came before."""
        for _ in range(2):
            A = self.choose(seen, A, hats(hat_colours(seen, A)), "hat")
            A = self.choose(seen, A, hairstyles(A), "hair")
            A = self.choose(seen, A, glasses(), "eyes")
            if A["glasses"] != "sunglasses":
                A = self.choose(seen, A, [dict(eyec=c) for c in EYEC], "eyec")
            A = self.choose(seen, A, [drive(m) for m in MOODS], "mood")
            A = self.choose(seen, A, [dict(skin=c) for c in skins(A["kind"])], "skin")
        return A

    def choose(self, seen, A, options, attribute):
        """`A` with the option whose drawing is nearest in the part of the picture that shows `attribute`."""
        where = MASKS[attribute]
        return min((A | option for option in options), key=lambda B: self.distance(seen, B, where))


GROUNDS = [dict(bg=bg, pattern=pattern) for bg in BGC for pattern in ("plain", "striped", "dotted")]


def skins(kind):
    return list(SKIN) if kind == "human" else BODYC


def hat_colours(seen, A, most=2):
    """The colours nearest to what lies where this kind's hats are, in the middle of the crown."""
    face, top = Face(A), HAT_TOP[A["kind"]]
    x, y = face.flat([(0, top - .12)], .1)[0]
    row, column = int((y + 1) * SIDE / 2), int((x + 1) * SIDE / 2)
    colour = np.median(seen[max(0, row - 2):row + 3, column - 3:column + 4].reshape(-1, 3), axis=0)
    return sorted(WEARC, key=lambda c: float(np.abs(colour - COL[c]).sum()))[:most]


def hairstyles(A):
    """Every style that goes with A's hat, in every colour."""
    styles = [s for s in (HAIRS if A["kind"] == "human" else ["mohawk", "spiky"]) if s != "bald"]
    styles = [s for s in styles if not (A["hat"] and s in ("mohawk", "bun"))]
    return [dict(hair="bald", hairc="brown")] + [dict(hair=s, hairc=c) for s in styles for c in HAIRC]


def hats(colours):
    return [dict(hat=None, hatc="red")] + [dict(hat=h, hatc=c) for h in HATS for c in colours]


def glasses():
    """How many eyes, without and with every kind of glasses."""
    options = [dict(glasses=None, glassc="black"), dict(glasses="sunglasses", glassc="black")]
    options += [dict(glasses="glasses", glassc=c) for c in WEARC]
    return [option | dict(eyes=count) for option in options for count in (1, 2, 3)]


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
