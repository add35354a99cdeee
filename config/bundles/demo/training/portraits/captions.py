"""Captions: every specified attribute in one of many wordings."""

NOUN = dict(human=["person", "human", "person"], alien=["alien", "alien", "martian"], robot=["robot", "robot", "android"],
            cat=["cat", "cat", "kitty"], bear=["bear", "bear", "teddy bear"])
NUMBER = {1: ["one big eye", "one eye", "a single big eye"], 2: ["two eyes"], 3: ["three eyes"]}
# Each mood as an adjective and as something that one has.
MOOD = dict(happy=(["happy", "smiling", "cheerful"], ["a smile", "a happy smile"]),
            surprised=(["surprised", "shocked"], ["an open mouth"]),
            sad=(["sad", "unhappy"], ["a frown", "a sad face"]),
            sleepy=(["sleepy", "tired"], ["half closed eyes", "sleepy eyes"]))
PATTERN = dict(striped=["striped ", "stripy "], dotted=["dotted ", "polka dot "])


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def join(items):
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def named(A, r, drop):
    """What this caption names: the specified attributes, less some, and nothing that has lost what it belongs to."""
    spec = {key: value for key, value in A["spec"].items() if r.random() >= drop}
    for owner, owned in (("hat", "hatc"), ("hair", "hairc"), ("glasses", "glassc"), ("bg", "pattern")):
        if owner not in spec:
            spec.pop(owned, None)
    return spec


def describe(A, s, r):
    """Adjectives before the noun, and what follows it: texts, or (article, colour, garment)."""
    choose, adjectives, withs, kind = r.choice, [], [], A["kind"]
    mood = s.get("mood")
    mood_adjective = mood and r.random() < .6
    if mood_adjective:
        adjectives.append(choose(MOOD[mood][0]))
    skin = s.get("skin")
    if kind == "human":
        if skin:
            if r.random() < .6:
                withs.append(f"{skin} skin")
            else:
                adjectives.append(f"{skin} skinned")
    elif skin:
        adjectives.append(choose([skin, skin, skin + " colored"]) if r.random() > .08 else skin)
    if s.get("hair") == "bald":
        if kind == "human":
            if r.random() < .6:
                adjectives.insert(0, "bald")
            else:
                withs.append("no hair")
    elif "hair" in s:
        style, colour = s["hair"], s.get("hairc")
        colour = colour + " " if colour else ""
        if style == "mohawk":
            withs.append(f"a {colour}mohawk")
        elif style == "bun":
            withs.append(f"{colour}hair in a bun")
        else:
            withs.append(choose([f"{style} {colour}hair", f"{colour}{style} hair"]))
    if "eyes" in s and "eyec" in s and s["eyes"] != 2:
        withs.append(f"one big {s['eyec']} eye" if s["eyes"] == 1 else f"three {s['eyec']} eyes")
    else:
        if "eyes" in s:
            withs.append(choose(NUMBER[s["eyes"]]))
        if "eyec" in s:
            withs.append(f"{s['eyec']} eyes" if A["eyes"] != 1 else f"a {s['eyec']} eye")
    if "hat" in s:
        withs.append(("a", s.get("hatc", ""), s["hat"]))
    if "glasses" in s:
        withs.append(("", "" if s["glasses"] == "sunglasses" else s.get("glassc", ""), s["glasses"]))
    if "clothc" in s:
        withs.append(("a", s["clothc"], choose(["shirt", "shirt", "sweater"])))
    if mood and not mood_adjective:
        withs.append(choose(MOOD[mood][1]))
    return adjectives, withs


def caption(A, r, drop=0.0):
    """A caption of `A` by `r`, a random.Random. drop: chance of leaving out a specified attribute.

    A["used"] tells afterwards what it names.
    """
    s = A["used"] = named(A, r, drop)
    adjectives, withs = describe(A, s, r)
    r.shuffle(withs)
    worn, had = [], []
    for item in withs:
        if isinstance(item, tuple):
            a, colour, garment = item
            words = [article(colour or garment) if a else "", colour, garment]
            (worn if r.random() < .6 else had).append(" ".join(word for word in words if word))
        else:
            had.append(item)
    choose = r.choice
    head = " ".join(adjectives + [choose(NOUN[A["kind"]])])
    parts = [article(head) + " " + head]
    if had:
        parts.append("with " + join(had))
    if worn:
        parts.append(choose(["wearing ", "in ", "and wearing " if had else "wearing "]) + join(worn))
    if "bg" in s:
        # Both wordings are drawn whatever the pattern, so that the sequence depends on it as little as possible.
        pattern = {key: choose(words) for key, words in PATTERN.items()}.get(s.get("pattern"), "")
        ground = s["bg"] + " " + pattern if r.random() < .5 else pattern + s["bg"] + " "
        ground = " ".join(ground.split())
        a = article(ground)
        parts.append(choose([f"on {a} {ground} background", f"on {a} {ground} background",
                             f"against {a} {ground} background", f"in front of {a} {ground} wall"]))
    text = " ".join(parts)
    x = r.random()
    for most, opening in ((.10, "a portrait of "), (.18, "a cartoon of "), (.24, "a picture of ")):
        if x < most:
            return opening + text
    return text.split(" ", 1)[1] if x < .34 else text
