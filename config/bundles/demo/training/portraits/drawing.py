"""A portrait as a picture: background, body, head, hair and hat, back to front. The face itself is in `features.py`."""

import math

import numpy as np

from .canvas import OUTLINE, Canvas, dark, light, mix
from .features import draw_eyes, draw_glasses, draw_mouth, draw_nose
from .geometry import Face, ell, head_outline
from .world import COL, HAIRC, SKIN

METAL = (120, 126, 142)


class Look:
    """What every part needs: the canvas, the placed face, and the colours that follow from the attributes."""

    def __init__(self, A, canvas):
        self.A, self.canvas, self.face, self.kind = A, canvas, Face(A), A["kind"]
        self.base = SKIN[A["skin"]] if self.kind == "human" else COL[A["skin"]]
        self.outline, self.shadow = dark(self.base, .55), dark(self.base, .16)
        self.hair = HAIRC[A["hairc"]]
        self.hair_outline = dark(self.hair, .5)


def render(A, size=256, ss=3):
    """The picture of portrait `A`; ss: oversampling."""
    white = A["bg"] == "white"
    background = (246, 245, 242) if white else light(COL[A["bg"]], .25)
    canvas = Canvas(size, ss, background)
    draw_background(canvas, A["pattern"], background, (222, 222, 228) if white else light(background, .28))
    look = Look(A, canvas)
    draw_hair_behind(look)
    draw_body(look)
    draw_ears(look)
    draw_head(look)
    my = draw_nose(look)
    draw_mouth(look, my)
    eyes = draw_eyes(look)
    draw_hair(look)
    if A["glasses"]:
        draw_glasses(look, eyes)
    if A["hat"]:
        draw_hat(look)
    return canvas.finished()


def draw_background(canvas, pattern, background, paler):
    if pattern == "striped":
        for i in range(-4, 5):
            x = i * .5
            canvas.poly([(x - .12, -1), (x + .13, -1), (x + .13, 1), (x - .12, 1)], paler)
    elif pattern == "dotted":
        for i in range(-4, 5):
            for j in range(-4, 5):
                if (i + j) % 2 == 0:
                    canvas.poly(ell(i * .26, j * .26, .075, .075, 20), paler)
    else:
        canvas.poly(ell(0, -.05, .86, .86, 60), mix(background, paler, .55))


def draw_hair_behind(look):
    face, hair, outline, style = look.face, look.hair, look.hair_outline, look.A["hair"]
    if style == "long":
        right = [(0, -1.2), (.5, -1.12), (.9, -.75), (.98, -.2), (1.04, .6), (.92, 1.12), (.5, 1.2)]
        left = [(-.5, 1.2), (-.92, 1.12), (-1.04, .6)]
        points = [(-.98, -.2), (-.9, -.75), (-.5, -1.12)] + right + left
        look.canvas.poly(face.flat(points, -.25), dark(hair, .12), outline)
    elif style == "curly":
        for a in range(0, 360, 24):
            c, s = math.cos(math.radians(a)), math.sin(math.radians(a))
            if s < .62:
                curl = face.flat(ell(.88 * c, -.12 + .92 * s, .3, .3, 20), -.15)
                look.canvas.poly(curl, dark(hair, .1), outline, .016)
    elif style == "bun" and not look.A["hat"]:
        look.canvas.poly(face.flat(ell(0, -1.2, .34, .32), -.3), hair, outline)


def draw_body(look):
    A, canvas, robot = look.A, look.canvas, look.kind == "robot"
    cloth = (128, 138, 154) if robot and A["clothc"] == "gray" else COL[A["clothc"]]
    outline = dark(cloth, .5)
    sx, drop = A["tx"] * .5, .07
    neck = (110, 116, 130) if robot else look.shadow
    canvas.poly([(-.15 + sx, .3), (.15 + sx, .3), (.17 + sx, .79), (-.17 + sx, .79)], neck, look.outline)
    if robot:
        for y in (.58, .64, .69):
            canvas.line([(-.14 + sx, y), (.14 + sx, y)], dark(neck, .4), .014)
        shoulders = [(-.62, 1.1), (-.62, .74), (-.54, .64), (.54, .64), (.62, .74), (.62, 1.1)]
    else:
        collar = [(.2 * math.sin(t), .6 + .11 * math.cos(t)) for t in np.linspace(-1.4, 1.4, 9)]
        shoulders = [(-.78, 1.1), (-.72, .86), (-.58, .73), (-.36, .66), (-.2, .6)] + collar
        shoulders += [(.2, .6), (.36, .66), (.58, .73), (.72, .86), (.78, 1.1)]
    shoulders = [(x + sx * .6, y + drop) for x, y in shoulders]
    canvas.poly(shoulders, cloth)
    canvas.shade(shoulders, dark(cloth, .15), -.09, -.03)
    canvas.poly(shoulders, None, outline)
    if robot:
        canvas.poly(ell(sx, .84 + drop * .5, .08, .08, 24), light(cloth, .5), outline, .016)
    else:
        hem = [(.21 * math.sin(t) + sx * .6, .605 + drop + .14 * math.cos(t)) for t in np.linspace(-1.35, 1.35, 13)]
        canvas.line(hem, light(cloth, .45), .04)


def draw_ears(look):
    """Ears and antennae: what the head covers."""
    canvas, face, base, outline = look.canvas, look.face, look.base, look.outline
    hat = look.A["hat"]
    for side in (-1, 1):
        if look.kind == "human":
            canvas.poly(face.flat(ell(side * .8, .06, .15, .2), -.05), base, outline)
            canvas.poly(face.flat(ell(side * .82, .07, .07, .11), -.05), look.shadow)
        elif look.kind == "cat":
            ear = [(side * .95, -.28), (side * .9, -1.02), (side * .84, -1.06), (side * .3, -.72)]
            inner = [(side * .84, -.44), (side * .82, -.84), (side * .5, -.68)]
            canvas.poly(face.flat(ear, -.1), base, outline)
            canvas.poly(face.flat(inner, -.05), light((246, 150, 170), .15))
        elif look.kind == "bear":
            canvas.poly(face.flat(ell(side * .72, -.72, .32, .32), -.1), base, outline)
            canvas.poly(face.flat(ell(side * .72, -.7, .18, .18), -.05), light(base, .4))
        elif look.kind == "alien":
            if not hat:
                stalk = face.flat([(side * .4, -.8), (side * .62, -1.32)], -.1)
                canvas.line(stalk, outline, .045)
                canvas.line(stalk, base, .02)
                canvas.poly(face.flat(ell(side * .63, -1.38, .14, .14, 24), -.1), light(base, .35), outline)
            ear = [(side * .8, -.1), (side * 1.22, -.32), (side * 1.12, .05), (side * .8, .22)]
            canvas.poly(face.flat(ear, -.1), base, outline)
        else:
            x, end = side * .88, side * .88 + side * .2
            canvas.poly(face.flat([(x, -.2), (end, -.2), (end, .22), (x, .22)], 0), METAL, dark(METAL, .5))
    if look.kind == "robot" and not hat:
        canvas.line(face.flat([(0, -.8), (0, -1.22)], 0), (84, 88, 104), .04)
        canvas.poly(face.flat(ell(0, -1.26, .12, .12, 24), 0), COL["red"], dark(COL["red"], .5), .016)


def draw_head(look):
    canvas, face, base, outline = look.canvas, look.face, look.base, look.outline
    head = face.flat(head_outline(look.kind), 0)
    canvas.poly(head, base)
    canvas.shade(head, look.shadow, -.055, -.05)
    canvas.poly(head, None, outline, OUTLINE * 1.15)
    if look.kind == "robot":
        canvas.poly(face.surf([(-.68, -.62), (.68, -.62), (.68, .68), (-.68, .68)]), light(base, .22))
        for x, y in ((-.76, -.74), (.76, -.74), (-.76, .76), (.76, .76)):
            canvas.poly(face.surf(ell(x, y, .05, .05, 12)), outline)
    elif look.kind == "alien":
        for x, y, r in ((-.5, -.62, .1), (-.3, -.74, .06), (.56, -.55, .08)):
            canvas.poly(face.surf(ell(x, y, r, r, 18)), look.shadow)
    elif look.kind == "cat":
        for x in (-.22, 0, .22):
            canvas.line(face.surf([(x, -.78), (x * .9, -.5)]), dark(base, .35), .045)
    if look.kind != "robot":
        cheek, x = mix(base, (250, 110, 120), .38), .42 if look.kind == "alien" else .5
        for side in (-1, 1):
            canvas.poly(face.surf(ell(side * x, .36, .13, .09, 20)), cheek)


# Where the hair ends on the forehead, from one temple to the other.
FRINGES = dict(short=[(.8, -.3), (.5, -.56), (.1, -.62), (-.35, -.5), (-.8, -.3)],
               long=[(.84, -.1), (.7, -.5), (.3, -.66), (0, -.72), (-.3, -.66), (-.7, -.5), (-.84, -.1)],
               bun=[(.78, -.26), (.5, -.6), (0, -.7), (-.5, -.6), (-.78, -.26)],
               curly=[(.78, -.3), (.5, -.55), (.1, -.6), (-.3, -.55), (-.78, -.3)])
SPIKY_FRINGE = [(.72, -.34), (.45, -.6), (.2, -.5), (0, -.64), (-.22, -.5), (-.45, -.6), (-.72, -.34)]
MOHAWK = [(-.2, -.7), (-.3, -1.1), (-.18, -1.3), (-.06, -1.22), (.02, -1.44), (.12, -1.24), (.24, -1.34), (.3, -1.08),
          (.2, -.66), (0, -.56)]


def draw_hair(look):
    canvas, face, hair, outline = look.canvas, look.face, look.hair, look.hair_outline
    style, hat = look.A["hair"], look.A["hat"]
    if style in FRINGES and look.kind == "human":
        top = [(x * 1.05, y * 1.05) for x, y in head_outline("human") if y < -.28]
        top.sort(key=lambda point: math.atan2(point[1], point[0]))
        canvas.poly(face.flat(top, 0) + face.surf(FRINGES[style]), hair, outline)
        if style == "curly":
            for x in (-.62, -.32, 0, .32, .62):
                canvas.poly(face.surf(ell(x, -.68 + .22 * x * x, .22, .2, 20)), hair, outline, .014)
        elif not hat:
            canvas.line(face.surf([(-.42, -.8), (-.1, -.86)]), light(hair, .35), .03)
    elif style == "spiky":
        xs, spikes = np.linspace(-.78, .78, 8), []
        for i in range(7):
            middle = (xs[i] + xs[i + 1]) / 2
            spikes += [(xs[i], -.62 - .3 * (1 - xs[i] ** 2)), (middle * 1.22, -1.0 - .34 * (1 - middle ** 2))]
        canvas.poly(face.flat(spikes + [(.78, -.62)], 0) + face.surf(SPIKY_FRINGE), hair, outline)
    elif style == "mohawk" and not hat:
        canvas.poly(face.flat(MOHAWK, .1), hair, outline)


HAT_TOP = dict(human=-.95, alien=-.98, robot=-.84, cat=-.8, bear=-.88)
HAT_WIDTH = dict(human=.72, alien=.82, robot=.84, cat=.74, bear=.76)


def draw_hat(look):
    canvas, face, colour = look.canvas, look.face, look.A["hatc"]
    fill, top, wd = COL[colour], HAT_TOP[look.kind], HAT_WIDTH[look.kind]
    outline = dark(fill, .5)

    def shaded(points, depth, shadow, dx):
        shape = face.flat(points, depth)
        canvas.poly(shape, fill)
        canvas.shade(shape, shadow, dx, 0)
        canvas.poly(shape, None, outline)

    if look.A["hat"] == "hat":
        shaded([(-.62 * wd, top + .26), (-.6 * wd, top - .5), (-.3 * wd, top - .58), (.3 * wd, top - .58),
                (.6 * wd, top - .5), (.62 * wd, top + .26)], .1, dark(fill, .2), -.05)
        band = [(-.62 * wd, top + .2), (-.615 * wd, top - .06), (.615 * wd, top - .06), (.62 * wd, top + .2)]
        canvas.poly(face.flat(band, .1), dark(fill, .5) if colour != "black" else (200, 60, 70))
        canvas.poly(face.flat(ell(0, top + .26, 1.18 * wd, .17, 40), .2), fill, outline)
    elif look.A["hat"] == "beanie":
        white = colour == "white"
        dome = [(1.06 * wd * math.cos(t), top + .42 + .72 * math.sin(t)) for t in np.linspace(math.pi, 2 * math.pi, 25)]
        shaded(dome, .05, dark(fill, .18), -.06)
        upper = [(-1.1 * wd, top + .3), (-wd, top + .22), (0, top + .18), (wd, top + .22), (1.1 * wd, top + .3)]
        lower = [(1.12 * wd, top + .5), (.6 * wd, top + .44), (0, top + .42), (-.6 * wd, top + .44), (-1.12 * wd, top + .5)]
        canvas.poly(face.flat(upper + lower, .12), (214, 214, 222) if white else light(fill, .3), outline)
        bobble = (226, 226, 232) if white else light(fill, .45)
        canvas.poly(face.flat(ell(0, top - .36, .17, .17, 24), .05), bobble, outline)
    else:
        cw = .8 * wd
        shaded([(-cw, top + .3), (-cw * 1.12, top - .36), (-cw * .55, top - .02), (0, top - .5), (cw * .55, top - .02),
                (cw * 1.12, top - .36), (cw, top + .3), (0, top + .36)], .12, dark(fill, .2), -.05)
        for x, y in ((-cw * 1.12, top - .38), (0, top - .53), (cw * 1.12, top - .38)):
            canvas.poly(face.flat(ell(x, y, .08, .08, 16), .12), light(fill, .5), outline, .014)
        for x in (-.5 * cw, 0, .5 * cw):
            canvas.poly(face.flat(ell(x, top + .17, .07, .07, 16), .14), (255, 250, 240), outline, .012)
