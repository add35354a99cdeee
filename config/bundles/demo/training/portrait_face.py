"""Face parameters, editing controls and key points of the demo's animation model.

The node animates a picture by adding fixed amounts ("editing controls") to the expression of 21 key points. This file
chooses what these 21 points are on our drawn portraits, so that the published additions mean the right thing here, and
turns a drive (relative pose plus controls) into two things that belong together: the parameters to draw the driven
portrait with, and the driving key points that the node will make for the same request.

Conventions: a canvas spans -1..1, a head unit is 0.54 canvas units at scale 1, and key points are
x = s (x_c R + delta) + t with s = 2 * scale, so that the controls' small additions are worth a few pixels.
No inputs or outputs of its own.
"""
import math
import random

import numpy as np

POINTS = 21
SIZE = 2.0        # s at scale 1
HEAD = 0.54       # canvas units of a head unit at scale 1, as portraits.Face draws
CENTRE_Y = 0.04   # where portraits.Face puts a head that is not shifted
FRONT = 0.0       # depth of the feature volume's only slice: Gaussians of key points are seen only near a slice
X, Y, Z = 0, 1, 2

LIPS_OPEN = 115.0   # lips control that opens a mouth drawn with mouth = 1
LIPS_TOUCH = 45.0   # as in the node: how far the control goes down until open lips touch
SMILE_GAIN = 0.8    # drawn smile per unit of the smile control
BROW_UNIT = 30.0    # brow control of brows drawn at 1
BROW_DOWN = 0.4     # brows go down less than up
MOVE_GAIN = 0.25    # share of key point 5's shift that the head follows
REACH = 1 / (1 - MOVE_GAIN)  # what the other points move more than the head, since point 5 always takes its share
LID_TRAVEL = 0.55 * REACH * HEAD / SIZE  # of a closing lid, as an expression
OWN_EYES, WIDEST_EYES = 0.4, 0.8  # as in the node: the eye ratio of a source, and the largest

# What the controls add to the expression, per unit (the published table).
TABLE = {
    "smile": [(20, Y, -.01), (14, Y, -.02), (17, Y, .0065), (17, Z, .003), (13, Y, -.00275), (16, Y, -.00275),
              (3, Y, -.0035), (7, Y, -.0035)],
    "lips": [(19, Y, .001), (19, Z, .0001), (17, Y, -.0001)],
    "purse": [(14, Y, .001), (3, Y, -.0005), (7, Y, -.0005), (17, Z, -.0005)],
    "grin": [(20, Z, -.001), (20, Y, -.001), (14, Y, -.001)],
    "pout": [(19, X, 1.0)],
    "wink": [(11, Y, .001), (13, Y, -.0003), (17, X, .0003), (17, Y, .0003), (3, Y, -.0003)],
    "brow_up": [(1, Y, .001), (2, Y, -.001)],
    "brow_down": [(1, X, -.001), (2, X, .001), (1, Y, .0003), (2, Y, -.0003)],
    "gaze_right": [(11, X, .0007), (15, X, .001)],
    "gaze_left": [(11, X, .001), (15, X, .0007)],
    "gaze_y": [(11, Y, -.001), (15, Y, -.001)],
    "shift_x": [(5, X, 1.0)],
    "shift_y": [(5, Y, 1.0)],
}

# Where points turn with the head (head units; depth None: on the face, else at one depth, like the outline, ears and hats).
# The motion of every place on the head is a mean of theirs, a quarter of it point 5's: so all others lie REACH times as far
# out as what they stand for, and four of them frame the head with its hat, ears and antennae.
ON_HEAD = {
    0: (0, .2, None), 2: (0, -.42, None), 4: (-1.2, 0, 0.), 5: (0, 0, 0.), 6: (0, .42, None), 8: (1.2, 0, 0.),
    9: (-.34, -.32, None), 10: (.34, -.32, None), 11: (-.34, -.08, None), 12: (0, -1.3, 0.), 13: (-.75, -1.35, 0.),
    14: (-.25, .54, None), 15: (.34, -.08, None), 16: (.75, -1.35, 0.), 17: (0, .52, None), 18: (0, 1.1, 0.),
    19: (0, .6, None), 20: (.25, .54, None),
}
# The others (1, 3, 7) rest at the head's centre and show nothing but their controls, whatever the pose.
LIDS = (9, 10)


def _canonical():
    """Canonical key points, and the constant part of every expression: it brings each point's depth to FRONT."""
    points, rest = np.zeros((POINTS, 3)), np.zeros((POINTS, 3))
    for index, (x, y, z) in ON_HEAD.items():
        if z is None:
            z = .85 * math.sqrt(1 - .92 * min((x / .95) ** 2 + (y / .95) ** 2, 1))
        points[index] = np.array([x, y, z]) * REACH * HEAD / SIZE
    rest[:, Z] = FRONT / SIZE - points[:, Z]
    return points.astype(np.float32), rest.astype(np.float32)


CANONICAL, REST = _canonical()
NO_DRIVE = dict(yaw=0., pitch=0., roll=0., scale=1., shift_x=0., shift_y=0., smile=0., lips=0., purse=0., grin=0.,
                pout=0., wink=0., brow=0., gaze_x=0., gaze_y=0., eyes=OWN_EYES)


def additions(drive):
    """What a drive's controls add to the expression: (21, 3)."""
    added = np.zeros((POINTS, 3), np.float32)
    named = {name: drive[name] for name in ("smile", "lips", "purse", "grin", "pout", "wink", "gaze_y", "shift_x", "shift_y")}
    named["brow_up" if drive["brow"] > 0 else "brow_down"] = drive["brow"]
    named["gaze_right" if drive["gaze_x"] > 0 else "gaze_left"] = drive["gaze_x"]
    for name, value in named.items():
        for point, axis, per_unit in TABLE[name]:
            added[point, axis] += value * per_unit
    return added


def brow_control(brow):
    return brow * BROW_UNIT if brow > 0 else brow * BROW_UNIT / BROW_DOWN


def drawn_brow(control):
    return control / BROW_UNIT if control > 0 else control / BROW_UNIT * BROW_DOWN


def expression(A):
    """The expression (21, 3) of a drawn portrait: the controls that would have led to it from a face at rest."""
    controls = dict(NO_DRIVE, lips=LIPS_OPEN * A["mouth"], smile=A["smile"] / SMILE_GAIN, brow=brow_control(A["brow"]))
    added = REST + additions(controls)
    for point, eye in zip(LIDS, ("eye_l", "eye_r")):
        added[point, Y] += LID_TRAVEL * (1 - A[eye])
    return added


def pose(A):
    """pitch, yaw, roll (degrees), scale, and where the head's centre is."""
    return np.array([A["pitch"], A["yaw"], A["roll"], A["scale"], A["tx"], A["ty"] + CENTRE_Y], np.float32)


def wanted_eye(own, ratio):
    """How open an eye is to be that is `own` open, for an eye ratio of the node."""
    if ratio <= OWN_EYES:
        return own * ratio / OWN_EYES
    return own + (1 - own) * (ratio - OWN_EYES) / (WIDEST_EYES - OWN_EYES)


def retargeted(A, drive):
    """What the eye and the lip retargeting networks are to add to the driving key points, canvas units: two (21, 3)."""
    eyes, lips = np.zeros((POINTS, 3), np.float32), np.zeros((POINTS, 3), np.float32)
    size = SIZE * A["scale"]
    for point, eye in zip(LIDS, ("eye_l", "eye_r")):
        eyes[point, Y] = size * LID_TRAVEL * (A[eye] - wanted_eye(A[eye], drive["eyes"]))
    if drive["lips"] < 0:
        share = min(1.0, -drive["lips"] / LIPS_TOUCH)
        for point, axis, per_unit in TABLE["lips"]:
            lips[point, axis] = -size * share * LIPS_OPEN * A["mouth"] * per_unit
    return eyes, lips


def driven(A, drive):
    """Parameters to draw portrait `A` with as `drive` asks."""
    B = dict(A)
    for angle in ("yaw", "pitch", "roll"):
        B[angle] = A[angle] + drive[angle]
    B["scale"] = A["scale"] * drive["scale"]
    follow = MOVE_GAIN * SIZE * B["scale"]
    B["tx"], B["ty"] = A["tx"] + follow * drive["shift_x"], A["ty"] + follow * drive["shift_y"]
    own = LIPS_OPEN * A["mouth"]
    if drive["lips"] < 0:
        own *= 1 - min(1.0, -drive["lips"] / LIPS_TOUCH)
    B["mouth"] = float(np.clip((own + drive["lips"]) / LIPS_OPEN, 0, 1.08))
    B["smile"] = float(np.clip(A["smile"] + SMILE_GAIN * drive["smile"], -1, 1.15))
    B["mouth_width"] = float(np.clip(1 + .022 * drive["grin"] - .022 * drive["purse"] - 2.2 * drive["pout"], .5, 1.4))
    B["brow"] = float(np.clip(drawn_brow(brow_control(A["brow"]) + drive["brow"]), -1, 1.3))
    for eye in ("eye_l", "eye_r"):
        B[eye] = wanted_eye(A[eye], drive["eyes"])
    B["eye_l"] *= 1 - min(1.0, drive["wink"] / 39)
    unit = SIZE / HEAD
    right, left = (.0007, .001) if drive["gaze_x"] > 0 else (.001, .0007)
    B["gaze"] = (unit * right * drive["gaze_x"], unit * left * drive["gaze_x"], -unit * .001 * drive["gaze_y"])
    B["gaze"] = tuple(float(np.clip(value, -.1, .1)) for value in B["gaze"])
    return B


def random_drive(A, r: random.Random):
    """A drive as the node's direction would ask for it, and beyond."""
    drive = dict(NO_DRIVE)
    if r.random() < .06:
        return drive
    u = lambda most, least=None: r.uniform(-most if least is None else least, most)
    how = r.random()
    if how < .85:
        spread = 3.0 if how < .5 else 7.0
        drive.update(yaw=r.gauss(0, spread), pitch=r.gauss(0, .7 * spread), roll=r.gauss(0, .6 * spread))
    else:
        drive.update(yaw=u(25), pitch=u(15), roll=u(12))
    for angle, most in (("yaw", 32), ("pitch", 20), ("roll", 16)):
        drive[angle] = float(np.clip(A[angle] + drive[angle], -most, most)) - A[angle]
    if r.random() < .45:
        drive.update(shift_x=r.gauss(0, .05), shift_y=r.gauss(0, .04))
    if r.random() < .06:
        drive.update(shift_x=u(.24), shift_y=u(.16))
    if r.random() < .15:
        drive.update(scale=u(1.1, .92))
    how = r.random()
    if how < .9:
        drive["lips"] = u(0, -60) if how < .25 else u(115, 0)
    drive["smile"] = u(1.3, -.3) if r.random() < .5 else u(.2)
    how = r.random()
    if how < .3:
        drive.update(purse=u(15, 0), pout=u(.09, 0))
    elif how < .55:
        drive.update(grin=u(15, 0))
    elif how < .62:
        drive.update(purse=u(0, -12), pout=u(.06))
    if r.random() < .5:
        drive["brow"] = u(30, 0) if r.random() < .75 else u(0, -30)
    if r.random() < .6:
        wide = 1.0 if r.random() < .25 else .4
        drive.update(gaze_x=u(30 * wide), gaze_y=u(30 * wide))
    how = r.random()
    if how < .5:
        drive["eyes"] = 0.0 if how < .2 else u(.8, 0)
    if r.random() < .04:
        drive["wink"] = u(39, 10)
    return drive
