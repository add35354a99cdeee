"""Where things are on a head: outlines, the turned head, and the 21 key points.

Canvas units are [-1, 1] in both directions, y down. Head units have the head's outline at about 1.
"""

import math

import numpy as np

# Half width and half height of each kind's face, for its depth.
RAD = dict(human=(.80, 1.0), alien=(1.0, 1.0), robot=(.95, .95), cat=(1.0, .86), bear=(.98, .92))
# Height of the mouth in head units.
MOUTH_Y = dict(human=.56, alien=.56, robot=.56, cat=.46, bear=.48)


def ell(cx, cy, rx, ry, n=36, a0=0.0, a1=2 * math.pi):
    """Points of an ellipse, or of an arc of it."""
    count = n + (a1 - a0 < 6.28)
    angles = [a0 + (a1 - a0) * i / n for i in range(count)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def head_outline(kind, n=72):
    """The head's outline in head units."""
    points = []
    for i in range(n):
        a = 2 * math.pi * i / n
        c, s = math.cos(a), math.sin(a)
        if kind == "human":
            x, y = .80 * c, s * (1.0 if s > 0 else .95)
            x *= 1 - .17 * max(0, s) ** 2
        elif kind == "alien":
            x, y = 1.0 * c, s
            x *= 1 - .42 * max(0, s) ** 1.3
        elif kind == "robot":
            power = .28
            x, y = .86 * math.copysign(abs(c) ** power, c), .86 * math.copysign(abs(s) ** power, s)
        elif kind == "cat":
            x, y = 1.0 * c, .84 * s
            x *= 1 + .05 * max(0, s)
            y = y + .03
        else:
            x, y = .98 * c, .92 * s
        points.append((x, y))
    return points


class Face:
    """A head in its place: maps head units to canvas units."""

    def __init__(self, A):
        self.A = A
        self.h = .54 * A["scale"]
        self.cx, self.cy = A["tx"], .04 + A["ty"]
        yaw, pitch, roll = (math.radians(A[key]) for key in ("yaw", "pitch", "roll"))
        self.cyw, self.syw = math.cos(yaw), math.sin(yaw)
        self.cp, self.sp = math.cos(pitch), math.sin(pitch)
        self.cr, self.sr = math.cos(roll), math.sin(roll)
        self.rx, self.ry = RAD[A["kind"]]

    def z(self, x, y):
        """Depth of the face's surface."""
        u = (x / self.rx) ** 2 + (y / self.ry) ** 2
        if self.A["kind"] == "robot":
            return .75 - .15 * min(u, 1.5)
        return .85 * math.sqrt(max(0.0, 1 - .92 * min(u, 1.0)))

    def rot(self, x, y, z=None):
        """Head units to canvas units (x, y) and depth; order and signs of LivePortrait: pitch, then yaw, then roll."""
        if z is None:
            z = self.z(x, y)
        y, z = y * self.cp - z * self.sp, y * self.sp + z * self.cp
        x, z = x * self.cyw + z * self.syw, -x * self.syw + z * self.cyw
        x, y = x * self.cr - y * self.sr, x * self.sr + y * self.cr
        return self.cx + x * self.h, self.cy + y * self.h, z * self.h

    def flat(self, points, z=0.0):
        """A shape at one depth that keeps its outline (head, hats, ears): shifted and rolled, not foreshortened."""
        ox, oy = z * self.syw, -z * self.sp
        return [(self.cx + ((x + ox) * self.cr - (y + oy) * self.sr) * self.h,
                 self.cy + ((x + ox) * self.sr + (y + oy) * self.cr) * self.h) for x, y in points]

    def surf(self, points, z=None):
        """A shape on the face's surface, or at depth `z`."""
        return [self.rot(x, y, z)[:2] for x, y in points]


def keypoints(A):
    """21 points, (x, y, depth) in canvas units: of each eye its corners, lids and brow; nose; mouth corners, upper and
    lower lip; cheeks, forehead, chin, ears."""
    face = Face(A)
    my, op, sm = MOUTH_Y[A["kind"]], A["mouth"], A["smile"]
    w = .26 * (1 - .35 * op)
    cur = .13 * sm * (1 - .5 * op)
    points = []
    for side, o in ((-1, A["eye_l"]), (1, A["eye_r"])):
        x, y, r = side * .34, -.08, .24
        points += [(x - r, y), (x + r, y), (x, y - r + 2 * r * (1 - o) * .8), (x, y + r),
                   (x, y - r - .1 - .1 * A["brow"])]
    points += [(0, .2), (-w, my - .7 * cur), (w, my - .7 * cur), (0, my + cur - .12 * op), (0, my + cur + .26 * op),
               (-.5, .36), (.5, .36), (0, -.6)]
    placed = [face.rot(x, y) for x, y in points]
    placed += [face.rot(0, face.ry * .98, .1), face.rot(-face.rx, 0, 0), face.rot(face.rx, 0, 0)]
    return np.array(placed, dtype=np.float32)
