"""What there is in the demo's world, and how a portrait is drawn by lot from it.

Colours, kinds, hats and the rest; every kind's defaults; the samplers. All randomness comes from `random.Random(seed)`,
whose sequence is the same on every platform.
"""

import random

COL = dict(red=(222, 62, 66), orange=(245, 146, 50), yellow=(250, 209, 66), green=(96, 186, 84), blue=(70, 132, 226),
           purple=(150, 92, 206), pink=(246, 146, 188), gray=(160, 168, 180), white=(244, 243, 240), black=(48, 46, 58),
           brown=(146, 96, 62), teal=(62, 182, 178))
SKIN = dict(pale=(255, 224, 200), tan=(236, 186, 140), brown=(178, 118, 78), dark=(120, 76, 52))
HAIRC = dict(black=(50, 44, 52), brown=(118, 74, 44), blonde=(246, 210, 110), red=(204, 84, 42), blue=(72, 118, 220),
             pink=(244, 128, 178), white=(238, 236, 232), green=(88, 176, 90))
EYERGB = dict(brown=(122, 78, 44), blue=(58, 128, 226), green=(66, 166, 84), purple=(140, 84, 206), red=(214, 56, 56),
              yellow=(240, 190, 40))
BODYC = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "gray", "white", "brown", "teal"]
WEARC = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black"]
BGC = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "gray", "white", "teal"]
EYEC = list(EYERGB)
KINDS = ["human", "alien", "robot", "cat", "bear"]
HAIRS = ["short", "long", "curly", "spiky", "bald", "mohawk", "bun"]
HATS = ["hat", "beanie", "crown"]
PATS = ["plain", "striped", "dotted"]
MOODS = ["happy", "surprised", "sad", "sleepy"]

COMMON = dict(eyes=2, hat=None, hatc="red", glasses=None, glassc="black", pattern="plain", mood="happy", hair="bald",
              hairc="brown")
DEFAULT = dict(
    human=COMMON | dict(skin="tan", hair="short", hairc="brown", eyec="brown", clothc="blue", bg="teal"),
    alien=COMMON | dict(skin="green", eyec="purple", clothc="purple", bg="pink"),
    robot=COMMON | dict(skin="gray", eyec="blue", clothc="gray", bg="orange"),
    cat=COMMON | dict(skin="orange", eyec="green", clothc="red", bg="blue"),
    bear=COMMON | dict(skin="brown", eyec="brown", clothc="green", bg="yellow"))

# How often a caption may name each attribute. NATURAL is the world; WEAK has more of what is hard to learn (people, their
# hair, one and three eyes, glasses). `hair` and `eyes` are those of people, and of aliens and robots; `_other` the rest's.
NATURAL = dict(skin=.8, hair=.75, hair_other=.15, eyes=.5, eyes_other=.15, eyec=.35, hat=.5, glasses=.25, clothc=.5, bg=.8,
               pattern=.25, mood=.4)
WEAK = NATURAL | dict(hair=.9, hair_other=.12, eyes=.65, eyes_other=.25, eyec=.4, hat=.45, glasses=.33)


# Drawn, so that every seed keeps its other attributes, and left out of captions and pictures: the demo's Flux has not learnt
# them.
LEFT_OUT = ("pattern", "mood")


def draw(r, key, kind):
    """A random value of attribute `key`."""
    many_eyed = kind in ("alien", "robot")
    choices = dict(
        skin=list(SKIN) if kind == "human" else BODYC,
        hair=HAIRS if kind == "human" else ["bald", "bald", "mohawk", "spiky"],
        hairc=list(HAIRC), eyes=[1, 2, 3] if many_eyed else [1, 2, 2, 2, 3], eyec=EYEC, hat=HATS + ["hat"],
        hatc=WEARC, glassc=WEARC, clothc=WEARC, glasses=["glasses", "glasses", "sunglasses"], bg=BGC,
        pattern=["plain", "plain", "striped", "dotted"], mood=MOODS)
    return r.choice(choices[key])


def draw_spec(r, weak=False):
    """A kind, and the attributes that its caption may name."""
    chances = WEAK if weak else NATURAL
    kind = r.choice(KINDS + ["human", "human", "alien", "robot"]) if weak else r.choice(KINDS)
    many_eyed = kind in ("alien", "robot")
    # The colour of hair belongs to the hair; its draw at chance 0 keeps the sequence of the first version.
    chance = dict(skin=chances["skin"], hair=chances["hair" if kind == "human" else "hair_other"], hairc=0.0,
                  eyes=chances["eyes" if many_eyed else "eyes_other"])
    chance |= {key: chances[key] for key in ("eyec", "hat", "glasses", "clothc", "bg", "pattern", "mood")}
    spec = {}
    for key, probability in chance.items():
        if r.random() >= probability:
            continue
        spec[key] = r.choice([1, 1, 2, 3]) if weak and key == "eyes" else draw(r, key, kind)
        if key == "hat":
            spec["hatc"] = draw(r, "hatc", kind)
        if key == "glasses":
            spec["glassc"] = "black" if spec[key] == "sunglasses" else draw(r, "glassc", kind)
        if key == "hair" and spec[key] != "bald" and r.random() < .85:
            spec["hairc"] = draw(r, "hairc", kind)
    # What cannot be seen is not named.
    if spec.get("glasses") == "sunglasses":
        spec.pop("eyec", None)
        spec.pop("eyes", None)
    if spec.get("pattern") == "plain":
        spec.pop("pattern")
    if "pattern" in spec and "bg" not in spec:
        spec["bg"] = draw(r, "bg", kind)
    if spec.get("mood") == "sleepy" and "glasses" in spec:
        spec.pop("mood")
    for key in LEFT_OUT:
        spec.pop(key, None)
    return kind, spec


def attributes(kind, spec, r, stray=0.06):
    """All attributes: those of `spec`, else the kind's default, or with probability `stray` a random value."""
    A = dict(DEFAULT[kind])
    A["kind"] = kind
    for key in ("skin", "hairc", "eyec", "clothc", "bg"):
        if key not in spec and r.random() < stray:
            A[key] = draw(r, key, kind)
    if kind == "human" and "skin" not in spec:
        A["skin"] = r.choice(list(SKIN))
    A.update(spec)
    A["spec"] = dict(spec)
    if A["hat"] and A["hair"] in ("mohawk", "bun"):  # no hat fits on these
        A["hair"] = "short" if kind == "human" else "bald"
        A["spec"].pop("hair", None)
        A["spec"].pop("hairc", None)
    return A


def sample(seed, pose=0.25, drive=False):
    """A portrait. pose: spread of the head pose, 1 = all of it. drive: free mouth, eyes and brows as well."""
    r = random.Random(seed * 7919 + 13)
    kind, spec = draw_spec(r)
    return with_drive(attributes(kind, spec, r), r, pose, drive)


def sample_front(seed, weak=False):
    """A frontal portrait without any attribute that its caption cannot name. weak: see WEAK."""
    return front(*draw_spec(random.Random(seed * 7919 + 13), weak))


def front(kind, spec):
    """The frontal portrait of exactly these named attributes."""
    A = attributes(kind, spec, random.Random(0), stray=0)
    if kind == "human" and "skin" not in spec:
        A["skin"] = DEFAULT["human"]["skin"]
    return with_drive(A, random.Random(0), 0.0)


def with_drive(A, r, pose=0.25, drive=False):
    """Sets head pose (degrees), place, size, mouth (0 closed, 1 open), smile (-1..1), eyes (0 shut, 1 open), brow (-1..1)."""
    def spread(most=1.0):
        return (r.random() * 2 - 1) * most

    A.update(yaw=spread(32) * pose, pitch=spread(20) * pose, roll=spread(16) * pose, tx=spread(.05) * pose,
             ty=spread(.05) * pose, scale=1 + spread(.06) * pose)
    mood = A["mood"]
    A.update(mouth=dict(happy=.0, surprised=.75, sad=.0, sleepy=.0)[mood],
             smile=dict(happy=.9, surprised=.1, sad=-.8, sleepy=.2)[mood], eye_l=.42 if mood == "sleepy" else 1.0,
             brow=dict(happy=.2, surprised=.9, sad=-.3, sleepy=-.1)[mood])
    A["eye_r"] = A["eye_l"]
    if mood == "surprised" and pose:
        A["mouth"] = max(0.0, A["mouth"] + spread(.1))
    if drive:
        A.update(mouth=max(0.0, r.random() * 1.3 - .3), smile=spread(1), eye_l=min(1.0, r.random() * 1.4), brow=spread(1))
        A["eye_r"] = A["eye_l"] if r.random() < .8 else min(1.0, r.random() * 1.4)
    return A
