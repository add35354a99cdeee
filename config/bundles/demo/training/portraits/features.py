"""The face: nose or muzzle, mouth, eyes with brows, glasses."""

import math

import numpy as np

from .canvas import dark, light
from .geometry import MOUTH_Y, RAD, ell
from .world import COL, EYERGB

MOUTH_WIDTH = dict(human=.28, alien=.22, robot=.34, cat=.2, bear=.2)
CENTRE = 1  # the side of a middle eye; 0 is the left one in the picture, 2 the right one


def draw_nose(look):
    """Nose and muzzle; the height of the mouth."""
    canvas, face, base, outline = look.canvas, look.face, look.base, look.outline
    muzzle = light(base, .5) if look.A["skin"] != "white" else (226, 222, 220)
    if look.kind == "cat":
        pink = (236, 110, 136)
        canvas.poly(face.surf(ell(-.16, .38, .22, .17)), muzzle)
        canvas.poly(face.surf(ell(.16, .38, .22, .17)), muzzle)
        canvas.poly(face.surf([(-.1, .2), (.1, .2), (.03, .31), (-.03, .31)]), pink, dark(pink, .4), .012)
        for side in (-1, 1):
            for dy in (-.08, .05):
                near, far = face.rot(side * .36, .36 + dy * .5), face.rot(side * 1.02, .32 + dy * 2, .4)
                canvas.line([near[:2], far[:2]], outline, .012)
    elif look.kind == "bear":
        canvas.poly(face.surf(ell(0, .38, .4, .32)), muzzle)
        canvas.poly(face.surf(ell(0, .2, .14, .1)), (58, 40, 40))
        canvas.poly(face.surf(ell(-.04, .17, .04, .025, 12)), (150, 130, 130))
    elif look.kind == "human":
        canvas.line(face.surf([(0, .08), (.07, .24), (-.02, .27)]), dark(base, .3), .026)
    elif look.kind == "alien":
        for side in (-1, 1):
            canvas.poly(face.surf(ell(side * .05, .27, .02, .035, 10)), outline)
    return MOUTH_Y[look.kind]


def draw_mouth(look, my):
    """A line while it is closed; open, with tongue and a robot's teeth."""
    canvas, face, robot = look.canvas, look.face, look.kind == "robot"
    op, smile = look.A["mouth"], look.A["smile"]
    w = MOUTH_WIDTH[look.kind] * (1 - .35 * op) * look.A.get("mouth_width", 1.0)
    curve = .13 * smile * (1 - .5 * op)
    ts = np.linspace(-1, 1, 13)
    upper = [(w * t, my + curve * (1 - 1.7 * t * t) - .12 * op * (1 - t * t)) for t in ts]
    if op <= .06:
        canvas.line(face.surf(upper), look.outline if robot else (104, 36, 46), .032)
        return

    def round_edge(t):
        return math.sqrt(max(0, 1 - t * t))

    lower = [(w * t, my + curve * (1 - 1.7 * t * t) + .26 * op * round_edge(t)) for t in ts[::-1]]
    lips = face.surf(upper + lower)
    canvas.poly(lips, (112, 28, 44))
    if op > .2:
        tongue = [(.62 * w * t, my + curve + .26 * op * round_edge(t) * .96) for t in ts[::-1]]
        tongue += [(.62 * w * t, my + curve + .26 * op * (1 - .55 * (1 - t * t))) for t in ts]
        canvas.poly(face.surf(tongue), (232, 96, 104))
    if robot and op > .1:
        teeth = [(-w * .8, my - .1 * op), (w * .8, my - .1 * op), (w * .8, my - .02), (-w * .8, my - .02)]
        canvas.poly(face.surf(teeth), (240, 240, 240))
    canvas.poly(lips, None, look.outline, .02)


def eye_places(kind, count):
    """Each eye's x, y, radius and side."""
    if count == 1:
        return [(0, -.14, .4, CENTRE)]
    if count == 3:
        return [(-.46, -.08, .21, 0), (0, -.34, .21, CENTRE), (.46, -.08, .21, 2)]
    x, y, r = dict(human=(.31, -.06, .19), alien=(.4, -.08, .3)).get(kind, (.34, -.08, .26))
    return [(-x, y, r, 0), (x, y, r, 2)]


def draw_eyes(look):
    """Eyes and brows; where the eyes are."""
    A = look.A
    places = eye_places(look.kind, A["eyes"])
    for x, y, r, side in places:
        opening = {0: A["eye_l"], 2: A["eye_r"]}.get(side, (A["eye_l"] + A["eye_r"]) / 2)
        ry = r * (1.12 if look.kind in ("human", "alien") else 1.0)
        draw_eye(look, x, y, r, ry, max(0.0, min(1.0, opening)), side)
        if side != CENTRE or A["eyes"] == 1:
            draw_brow(look, x, y, r, ry, side)
    return places


def draw_eye(look, x, y, r, ry, opening, side):
    canvas, face, A, outline = look.canvas, look.face, look.A, look.outline
    if opening < .12:
        lid = [(x + r * t, y + ry * .25 * (1 - t * t)) for t in np.linspace(-1, 1, 9)]
        canvas.line(face.surf(lid), outline, .034)
        return
    top = y - ry + 2 * ry * (1 - opening) * .8  # the upper lid comes down to here

    def below_lid(points):
        return [(a, max(b, top)) for a, b in points]

    whole = face.surf(ell(x, y, r, ry, 40))
    canvas.poly(whole, dark(look.base, .12) if opening < .95 else (255, 255, 255))
    white = (228, 246, 255) if look.kind == "robot" else (255, 255, 255)
    canvas.poly(face.surf(below_lid(ell(x, y, r, ry, 40))), white)
    left, right, down = A.get("gaze", (0.0, 0.0, 0.0))  # of the pupils, head units
    gx = A["yaw"] / 300 + (left, (left + right) / 2, right)[side]
    gy = -A["pitch"] / 300 + down
    cat = look.kind == "cat"
    canvas.poly(face.surf(below_lid(ell(x + gx, y + .03 + gy, r * .62, r * .62, 30))), EYERGB[A["eyec"]])
    pupil = ell(x + gx, y + .03 + gy, r * (.2 if cat else .34), r * (.46 if cat else .34), 24)
    canvas.poly(face.surf(below_lid(pupil)), (28, 22, 34))
    if top < y - r * .1:
        canvas.poly(face.surf(ell(x + gx - r * .2, y + gy - r * .2, r * .17, r * .17, 14)), (255, 255, 255))
    canvas.poly(whole, None, outline, .02)
    if opening < .95:
        half = r * .96 * math.sqrt(max(.05, 1 - ((top - y) / ry) ** 2))
        canvas.line(face.surf([(a, top) for a in np.linspace(x - half, x + half, 7)]), outline, .026)


def draw_brow(look, x, y, r, ry, side):
    inner = -1 if side == 0 else 1 if side == 2 else 0
    height = y - ry - .1 - .1 * look.A["brow"]
    colour = look.hair_outline if look.kind == "human" else look.outline
    if look.A["hair"] == "bald" and look.kind == "human":
        colour = dark(look.base, .5)
    if look.A["mood"] == "sad":
        points = [(x - r * .8, height + (.1 if inner <= 0 else -.06)), (x, height),
                  (x + r * .8, height + (.1 if inner >= 0 else -.06))]
    else:
        tilt = .06
        points = [(x - r * .8, height + tilt * (inner < 0) + (.02 if inner == 0 else 0)), (x, height - .04),
                  (x + r * .8, height + tilt * (inner > 0))]
    look.canvas.line(look.face.surf(points), colour, .036)


def draw_glasses(look, eyes):
    canvas, face = look.canvas, look.face
    frame, width, sun = COL[look.A["glassc"]], .045, look.A["glasses"] == "sunglasses"
    if len(eyes) == 1:
        lenses = [(0, -.14, .48)]
    elif len(eyes) == 3:
        lenses = [(x, y, .29) for x, y, _, side in eyes if side != CENTRE]
    else:
        lenses = [(x, y, r + .09) for x, y, r, _ in eyes]
    for x, y, r in lenses:
        depth = .9 * face.z(x, y) + .12
        rim = face.surf(ell(x, y, r, r, 36), depth)
        if sun:
            canvas.poly(rim, (36, 34, 46))
            gleam = [(x - r * .5, y - r * .15), (x - r * .1, y - r * .6), (x + r * .1, y - r * .55), (x - r * .38, y)]
            canvas.poly(face.surf(gleam, depth), (104, 104, 128))
        canvas.poly(rim, None, dark(frame, .1) if sun else frame, width)
    if len(lenses) == 2:
        (x1, y1, r1), (x2, y2, r2) = lenses
        depth = .9 * face.z(0, y1) + .14
        bridge = [face.rot(x1 + r1, y1 - .04, depth)[:2], face.rot(x2 - r2, y2 - .04, depth)[:2]]
        canvas.line(bridge, frame, width)
    temple_x = RAD[look.kind][0] * .97
    for x, y, r in (lenses[0], lenses[-1]):
        side = -1 if x < 0 else 1
        hinge = face.rot(x + side * r, y - .05, .9 * face.z(x, y) + .1)
        canvas.line([hinge[:2], face.rot(side * temple_x, y - .1, 0)[:2]], frame, width * .8)
    if len(lenses) == 1:  # worn like a monocle, with a second thread
        canvas.line([face.rot(.48, -.19, .8)[:2], face.rot(temple_x, -.24, 0)[:2]], frame, width * .8)
