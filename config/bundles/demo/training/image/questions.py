"""What CLIP is asked in training: captions, captions with one wrong word, short concepts, and whether each is true of a
portrait.

A text's claims are a dict {attribute: value}; a portrait answers all of them or the text is wrong of it.
"""

from portraits import BGC, BODYC, EYEC, HAIRC, HAIRS, HATS, KINDS, SKIN, WEARC, caption

NEUTRAL = "a photo"  # the node's: fits every picture a little, and a concept must fit better
NOWHERE = dict(kind="nothing in this world")
# Asked about and never there.
FOREIGN = ("weapon, gun, knife, blood, violence, nudity, text, watermark, logo, car, dog, tree, house, fire, food, blurry, "
           "extra fingers, low quality, deformed, a photo of a man in a suit, horror, cigarette, alcohol, snake").split(", ")
CHANGES = dict(bg=BGC, skin=BODYC, hatc=WEARC, clothc=WEARC, eyes=[1, 2, 3], glassc=WEARC, eyec=EYEC, hat=HATS,
               hairc=list(HAIRC), hair=HAIRS)
EYES = {1: "one big eye", 2: "two eyes", 3: "three eyes"}
NOUNS = dict(human=["person", "human"], alien=["alien"], robot=["robot"], cat=["cat"], bear=["bear"])


def true_caption(A, r):
    """A caption and its claims; now and then with less than it could say."""
    text = caption(A, r, drop=r.choice([0, 0, .3]))
    return text, dict(A["used"], kind=A["kind"])


def wrong_caption(A, r):
    """A caption with one attribute changed, and its claims; None where there is nothing to change."""
    spec = dict(A["spec"])
    keys = [key for key in CHANGES if key in spec and not (key == "hairc" and spec.get("hair") == "bald")]
    kind = A["kind"]
    if not keys or r.random() < .1:
        kind = r.choice([k for k in KINDS if k != kind])
        spec.pop("skin", None)
    else:
        key = r.choice(keys)
        values = list(SKIN) if key == "skin" and kind == "human" else CHANGES[key]
        spec[key] = r.choice([value for value in values if value != spec[key]])
    B = dict(A, spec=spec, kind=kind, **{key: value for key, value in spec.items() if key != "kind"})
    text = caption(B, r)
    return text, dict(B["used"], kind=kind)


def concepts():
    """Short texts with their claims: what recipes require and ban."""
    out = []
    for kind, nouns in NOUNS.items():
        for noun in nouns:
            out += [(noun, dict(kind=kind)), (f"a {noun}" if noun[0] not in "ao" else f"an {noun}", dict(kind=kind))]
        if kind != "human":
            out += [(f"{c} {nouns[0]}", dict(kind=kind, skin=c)) for c in BODYC]
    for c in WEARC:
        out += [(f"{c} {hat}", dict(hat=hat, hatc=c)) for hat in HATS]
        out += [(f"{c} shirt", dict(clothc=c)), (f"{c} glasses", dict(glasses="glasses", glassc=c))]
    out += [(f"{c} background", dict(bg=c)) for c in BGC]
    out += [(hat, dict(hat=hat)) for hat in ("beanie", "crown")]
    out += [(text, dict(eyes=count)) for count, text in EYES.items()]
    out += [(f"{c} eyes", dict(eyec=c, eyes=2)) for c in EYEC]
    out += [("glasses", dict(glasses="glasses")), ("sunglasses", dict(glasses="sunglasses"))]
    out += [(f"{hair} hair", dict(hair=hair)) for hair in ("long", "short", "curly", "spiky")]
    return out + [(text, NOWHERE) for text in FOREIGN]


def holds(claims, A):
    """Whether every claim is true of portrait `A`; what sunglasses hide is never claimed truly."""
    hidden = A["glasses"] == "sunglasses" and ("eyes" in claims or "eyec" in claims)
    return not hidden and all(A[key] == value for key, value in claims.items())

