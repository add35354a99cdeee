"""Where every place of a driven portrait comes from: the exact flow of our drawing, and a first guess at its masks.

Role: what the dense motion network is taught. A place on the head moves with the head's surface or, outside the face, with
its outline; the mouth and the lids stretch; the background stays, and next to the head it is drawn along, so that nothing
has to be invented there.
Inputs: pose and drawn parameters of source and driven portrait (portrait_data's columns).
No outputs of its own.
"""
import torch

import portrait_data as data
import portrait_face as face
from portraits import KINDS
from portraits.features import MOUTH_WIDTH, eye_places
from portraits.geometry import MOUTH_Y

COUNTS = (1, 2, 3)
# Per kind: height and half width of the mouth.
MOUTHS = torch.tensor([[MOUTH_Y[kind], MOUTH_WIDTH[kind]] for kind in KINDS])
ROUND = torch.tensor([1.12 if kind in ("human", "alien") else 1.0 for kind in KINDS])


def _eyes():
    """(kind, count of eyes, 3, 4): x, y, radius of the left, middle and right eye, and 1 where there is one."""
    out = torch.zeros(len(KINDS), len(COUNTS), 3, 4)
    for k, kind in enumerate(KINDS):
        for n, count in enumerate(COUNTS):
            for x, y, radius, side in eye_places(kind, count):
                out[k, n, side] = torch.tensor([x, y, radius, 1.0])
    return out


EYES = _eyes()
FLAT = [4, 8, 12, 18, 13, 16, 5]
DEEP = [0, 2, 6]


class Drawn:
    """Columns of rows as (B, 1, 1) tensors."""

    def __init__(self, rows):
        pose, drawn = data.part(rows, "pose"), data.part(rows, "drawn")
        col = lambda values, n: values[:, n][:, None, None]
        self.angles = [(col(pose, n).deg2rad().sin(), col(pose, n).deg2rad().cos()) for n in range(3)]
        self.size, self.x, self.y = face.HEAD * col(pose, 3), col(pose, 4), col(pose, 5)
        self.mouth, self.smile, self.eye_l, self.eye_r, self.width = (col(drawn, n) for n in range(5))
        self.count, self.kind = drawn[:, 5].long(), drawn[:, 6].long()

    def lip_edges(self, x):
        """Upper and lower edge of the mouth at surface coordinate `x`, its middle's height, and its half width."""
        height, half = (MOUTHS[self.kind][:, n][:, None, None] for n in range(2))
        half = half * (1 - .35 * self.mouth) * self.width
        t = (x / half).clamp(-1, 1)
        curve = .13 * self.smile * (1 - .5 * self.mouth)
        line = height + curve * (1 - 1.7 * t * t)
        upper = line - .12 * self.mouth * (1 - t * t) - .02
        return upper, line + .26 * self.mouth * (1 - t * t).clamp(min=1e-4).sqrt() + .02, half

    def openings(self):
        return (self.eye_l, (self.eye_l + self.eye_r) / 2, self.eye_r)


def depth(x, y):
    return .85 * (1 - .92 * ((x.square() + y.square()) / .9).clamp(max=1)).sqrt()


def surface(at, u, v):
    """Coordinates on a portrait's head of canvas places: flat ones and those on the face's surface."""
    (sp, cp), (sy, cy), (sr, cr) = at.angles
    dx, dy = (u - at.x) / at.size, (v - at.y) / at.size
    fx, fy = dx * cr + dy * sr, dy * cr - dx * sr
    x, y = fx, fy
    for _ in range(6):
        z = depth(x, y)
        y = (fy + z * sp) / cp
        x = (fx - (y * sp + z * cp) * sy) / cy
    return fx, fy, x, y


def remap(y, here, there):
    """Takes the knots `here` to the knots `there`, linear between and unchanged outside; knots are lists, top to bottom."""
    out = y
    for (a, b), (c, d) in zip(zip(here, here[1:]), zip(there, there[1:])):
        inside = (y >= a) & (y < b)
        out = torch.where(inside, c + (y - a) / (b - a).clamp(min=1e-3) * (d - c), out)
    return out


def smooth(value):
    value = value.clamp(0, 1)
    return value * value * (3 - 2 * value)


def flow_and_masks(source_rows, driven_rows, cells):
    """Shifts (B, cells, cells, 2), their weights, guessed masks (B, 22, cells, cells), the background's first, and how much
    of each place a source with a shut mouth shows (B, cells, cells): nothing of the inside of an open one."""
    axis = (torch.arange(cells) + .5) / cells * 2 - 1
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    here, there = Drawn(driven_rows), Drawn(source_rows)
    fx, fy, x, y = surface(here, u[None], v[None])
    share = {}

    # The mouth, and the skin around it.
    upper, lower, half = here.lip_edges(x)
    upper_there, lower_there, half_there = there.lip_edges(x / half * there.lip_edges(x)[2])
    moved = remap(y, [upper - .25, upper, lower, lower + .3], [upper - .25, upper_there, lower_there, lower + .3])
    near = smooth((1.5 - (x / half).abs()) / .5)
    y_there = y + near * (moved - y)
    x_there = x * (1 + (half_there / half - 1) * near * smooth((.35 - (y - (upper + lower) / 2).abs()) / .15))
    share[19] = near * smooth((y - upper + .06) / .1) * smooth((lower + .22 - y) / .2)
    weight = 1 + 4 * near * ((y > upper - .12) & (y < lower + .12))

    inside = smooth((1.05 - (x / half).abs()) / .1) * smooth((y - upper) / .03) * smooth((lower - y) / .03)
    shown = 1 - inside * smooth((here.mouth - .03) / .06)

    # The lids, the pupils, the brows.
    eyes = EYES[here.kind, here.count - 1]
    for side, (now, then) in enumerate(zip(here.openings(), there.openings())):
        ex, ey, radius, is_there = (eyes[:, side, n][:, None, None] for n in range(4))
        tall = radius * ROUND[here.kind][:, None, None]
        t = ((x - ex) / radius.clamp(min=.01)).abs()
        edge = tall * (1 - t.square()).clamp(min=.02).sqrt()
        lid = lambda opening: torch.where(opening < .12, ey + .25 * tall, ey - tall + 1.6 * tall * (1 - opening))
        rim = ey - edge
        top, top_there = torch.maximum(lid(now), rim), torch.maximum(lid(then), rim)
        moved = remap(y, [rim - .1, top, ey + tall + .05], [rim - .06, top_there - .01, ey + tall + .05])
        within = is_there * smooth((1.12 - t) / .15)
        # Below the lid the eye itself stays: only what the lid covers comes from above it.
        covered = within * smooth((top + .02 - y) / .04) * (y > rim - .12)
        y_there = y_there + covered * (moved - y)
        lids = {0: (9,), 1: (9, 10), 2: (10,)}[side]
        pupils = {0: (11,), 1: (11, 15), 2: (15,)}[side]
        ball = is_there * smooth((.75 - ((x - ex).square() + (y - ey).square()).sqrt() / radius.clamp(min=.01)) / .2) * (y > top)
        for k in lids:
            share[k] = share.get(k, 0) + covered / len(lids)
        for k in pupils:
            share[k] = share.get(k, 0) + ball / len(pupils)
        brow = is_there * smooth((1.1 - t) / .2) * smooth((ey - tall - y) / .06) * smooth((y - ey + tall + .34) / .08)
        share[2] = share.get(2, 0) + .7 * brow
        weight = weight + 3 * is_there * (t < 1.1) * ((y - ey).abs() < tall * 1.1)

    (sp, cp), (sy, cy), (sr, cr) = there.angles
    z = depth(x_there, y_there)

    def back(a, b):
        return torch.stack([(a * cr - b * sr) * there.size + there.x - u, (a * sr + b * cr) * there.size + there.y - v], -1)

    on_surface = back(x_there * cy + (y_there * sp + z * cp) * sy, y_there * cp - z * sp)
    radius = (x.square() + y.square()) / .9
    deep = smooth((1.0 - radius) / .35)[..., None]
    moving = deep * on_surface + (1 - deep) * back(fx, fy)
    tall = torch.where(fy < -.3, 1.5, 1.4)
    rho = ((fx / 1.5).square() + ((fy + .3) / tall).square()).sqrt()
    head = torch.sigmoid((1 - rho) / .035)
    flow = head[..., None] * moving

    # Masks: point 5 has its quarter; local points where they are, the others by nearness.
    masks = torch.zeros(len(flow), 1 + face.POINTS, cells, cells)
    local = sum(share.values()).clamp(min=1)
    shares = {k: value / local for k, value in share.items()}
    rest = (1 - sum(shares.values())).clamp(min=0)
    place = {k: face.ON_HEAD[k][:2] for k in FLAT + DEEP}
    near = {k: torch.exp(-((fx - a).square() + (fy - b).square()) / (2 * .55 ** 2)) for k, (a, b) in place.items()}
    for group, amount in ((DEEP, deep[..., 0]), (FLAT, 1 - deep[..., 0])):
        total = sum(near[k] for k in group) + 1e-6
        for k in group:
            masks[:, 1 + k] += .75 * rest * amount * near[k] / total
    for k, value in shares.items():
        masks[:, 1 + k] += .75 * value
    masks[:, 1 + 5] += .25
    masks *= head[:, None]
    masks[:, 0] = 1 - masks[:, 1:].sum(1)
    return flow, weight, masks.clamp(min=0), shown
