"""Sentences for the demo voice, written as Kokoro's phoneme symbols.

Role: the text side of the speech data. Input: the folder of the PyPI package `misaki` (its dictionaries,
the same that the node's grapheme-to-phoneme holds) in `MISAKI_SRC`. Output: `corpus()`, a list of `Line`s, the same
for the same seed, and `HELD_OUT`, sentences that no training line repeats, for the report.
"""

import json
import os
import random
import re
from dataclasses import dataclass
from pathlib import Path

VOWELS = set("AIOQWYaiouæɑɔəɛɜɪʊʌᵻɐᵊ")

NAMES = "Adam Sarah Rick Morty Summer Jerry Beth Anna Peter David Mary John Emma Lucy Henry Nora".split()
KINDS = "alien robot human cat dog bear frog monster ghost girl boy wizard pirate king queen doctor".split()
COLOURS = "red green blue yellow orange purple pink brown black white gray golden".split()
ADJECTIVES = (
    "big small tall short young old happy sad angry calm bright dark warm cold quick slow strange funny gentle brave "
    "clever quiet loud heavy empty lovely perfect terrible wonderful tiny huge friendly clean").split()
NOUNS = (
    "hat eye head house garden river ocean mountain picture window door table chair bridge street city village machine "
    "engine planet star moon sun ship train bicycle letter book story question answer music voice song dream button "
    "water coffee apple cheese bread orange sugar pleasure treasure measure vision bird fish horse sheep tree flower "
    "thing world year month week day night morning evening weather thunder winter summer friend mother father brother "
    "teacher children people village judge journey bath path tooth mouth north south earth truth toy boy noise choice "
    "cow town ground sound cloud foot wood hook cook pool school room jacket shirt shoe glove camera computer").split()
VERBS = (
    "see find make take give keep hold bring build paint draw push pull open close wash watch catch teach reach touch "
    "break fix show know want need like love hate help call tell ask remember forget choose use move turn carry follow "
    "enjoy destroy measure imagine change judge").split()
PAST = (
    "saw found made took gave kept held brought built painted pushed pulled opened closed washed watched caught broke "
    "fixed showed wanted needed liked loved helped called asked remembered forgot chose used moved turned carried").split()
ADVERBS = "today tomorrow again soon always never slowly quickly together outside tonight everywhere now here there".split()
NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty thirty forty fifty sixty "
    "seventy eighty ninety hundred thousand million").split()
PLACES = "on in under over behind near beside above below from with without into through around between".split()

TEMPLATES = (
    "{n} has {u} {c} {s}.", "the {a} {k} {p} the {o}.", "I {v} the {a} {o} {d}.", "can you {v} a {c} {o}?",
    "{n}, please {v} the {o} {l} the {o2}!", "where is the {a} {o} {l} my {o2}?", "they {p} it {d}.",
    "we have to {v} {u} {c} {o2} and the {a} {k}.", "a {a} {k} {l} a {c} {o}.", "what a {a} {o} this is!",
    "{u} and {u2} make {u3}.", "my {o} is {a}, but your {o2} is {a2}.", "hello {n}, I am a {k}.", "she {p} his {o} {d}, you know.",
    "why did the {k} {v} her {o}?", "this is {n}, and that is {n2}.", "did {n} {v} it {d}?", "the {o} {l} the {o2} was {a}.",
    "oh no, the {c} {k} {p} {u} {a} {o}!", "it will be {a} {d}.", "our {k} would never {v} such a {a} {o}.",
    "{d} I {p} the {k}; it was {a}.", "he said: {v} the {o}!", "there are {u} hundred {u2} of them.",
)

OWN = """hello there! I have come a long way to say this.
the node is ready to speak.
good morning, everybody.
I am so happy to see you.
thank you very much.
how are you today?
what is your name?
my name is a secret.
welcome to the show.
this is only a test.
come with me if you want to live.
nobody expects a green alien.
I never said that.
we are all made of stars.
look at that thing over there!
yes, of course it is.
no, I do not think so.
please be quiet.
listen to me.
the quick brown fox jumps over the lazy dog.
a big black bug bit a big black bear.
she sells sea shells by the sea shore.
peter piper picked a peck of pickled pepper.
how much wood would a wood chuck chuck?
the weather is wonderful.
it is usually a pleasure to measure the treasure.
both of them bathe in the bath.
the judge enjoys a large orange.
which witch watched the church?
sing a long song, young king.
he who laughs last laughs best.
I would like a cup of coffee.
put your foot on the wood.
the boy points at the noisy toy.
how now, brown cow?
every evening I eat three eggs.
zoom in on the zebra at the zoo.
the first bird heard the early worm.
better late than never.
a little water in the bottle of butter.
you can do it!
one, two, three, four, five, six, seven, eight, nine, ten.
eleven, twelve, thirteen, fourteen, fifteen.
I will be back in a minute.
what happened to the other one?
it is a very good day.
this could be the beginning of a beautiful story.
are you serious?
that is not funny at all.
my hat is red, my eye is blue.
here we go again.
stop it, right now!
we should leave before the storm comes.
nothing is ever easy.
everything will be fine.
I have got a bad feeling about this.
let me tell you something.
open the window and close the door.
there is no place like home.
who is there?""".split("\n")

HELD_OUT = """the little girl went to the store to buy some milk.
he lives in a small house near the river.
my brother has a new car.
please close the door when you leave.
it was raining all day yesterday.
what time does the train leave?
she gave him a book for his birthday.
I do not know where they are going.
the children are playing in the garden.
we had dinner at eight o'clock.
can you tell me the way to the station?
the old man was sitting under a tree.
they bought a house in the country.
I think it is going to be a good year.
his father works for the government.
the dog ran after the cat.
there were many people at the party.
she put the flowers on the table.
do you want a cup of tea?
the sun is shining today.
I have never been to new york.
he told me a very strange story.
most of the people in this town know each other.
the teacher asked a difficult question.
we can see the mountains from here.
it is too late to change anything.
two men walked into the room.
you should talk to your mother about it.
the president will speak tonight.
she has been waiting for an hour.
I would like to go home now.
the bank is closed on sunday.
five hundred dollars is a lot of money.
he looked at his hands and said nothing.
this is the best day of my life.
the ship sailed across the ocean.
my friends live on the other side of the city.
is there anything else that you need?
the company lost four million dollars last year.
nobody knows what happened to him.
I heard a strange noise in the kitchen.
the water in the lake was very cold.
they want to build a bridge over the river.
her voice was soft and clear.
the new school opened in september.
he was born in a village in the north.
we must find the answer before tomorrow.
the doctor said that she was healthy.
black clouds covered the sky.
thank you for your help.""".split("\n")


@dataclass(frozen=True)
class Line:
    """A sentence and its symbols."""

    text: str
    symbols: str


class Phonemes:
    """Words to Misaki's symbols by its dictionary, with its rules for the commonest short words."""

    def __init__(self, folder=None):
        folder = Path(folder or os.environ["MISAKI_SRC"])
        self.words = {}
        for name in ("us_silver.json", "us_gold.json"):
            with open(folder / "data" / name, encoding="utf-8") as file:
                found = json.load(file)
            self.words.update({word.lower(): value for word, value in found.items()})
            self.words.update({word: value for word, value in found.items() if word == word.lower()})
            self.common = {word for word in found if word.isalpha() and word.isascii() and word == word.lower()}
        self.words.update(beth="bˈɛθ", morty="mˈɔɹti", jerry="ʤˈɛɹi", nora="nˈɔɹə")

    def known(self, word):
        """Whether the dictionary or a plural rule has it."""
        return self.find(word, False) is not None

    def find(self, word, last):
        """Symbols of one lower-case word; `last` chooses the form before a pause."""
        value = self.words.get(word)
        if isinstance(value, dict):
            value = value.get("None" if last and "None" in value else "DEFAULT")
        if value is None and word.endswith("s") and len(word) > 2:
            stem = self.find(word[:-1], last)
            if stem:
                value = stem + ("s" if stem[-1] in "ptkfθ" else "ᵻz" if stem[-1] in "szʃʒʧʤ" else "z")
        if value is None and word.endswith("ed"):
            stem = self.find(word[:-2], last) or self.find(word[:-1], last)
            if stem:
                value = stem + ("t" if stem[-1] in "pkfθʃsʧ" else "ᵻd" if stem[-1] in "td" else "d")
        return value

    def line(self, text):
        """A sentence as symbols, as the node writes them; raises KeyError for an unknown word."""
        tokens = re.findall(r"[A-Za-z']+|[.,!?;:]", text)
        out = []
        for place in range(len(tokens) - 1, -1, -1):
            token, word = tokens[place], tokens[place].lower()
            after = out[-1] if out else ""
            if not word[0].isalpha():
                out.append(token)
                continue
            last = not after or after[0] in ".,!?;:"
            sounds = [c for c in after if c not in "ˈˌ"]
            vowel = bool(sounds) and sounds[0] in VOWELS
            special = {"a": "ɐ", "an": "ɐn", "i": "ˌI", "the": "ði" if vowel else "ðə",
                       "to": "tu" if last else "tʊ" if vowel else "tə",
                       "in": "ˈɪn" if last else "ɪn", "am": "ˈæm" if last else "ɐm"}
            found = special.get(word) or self.find(word, last)
            if found is None:
                raise KeyError(word)
            out.append(found)
        out.reverse()
        symbols = ""
        for piece in out:
            symbols += piece if piece in list(".,!?;:") or not symbols else " " + piece
        return Line(text, symbols)


def texts(draw, templates=520):
    """The sentences above and the templates, filled by the generator `draw`."""
    out = list(OWN)
    while len(out) < len(OWN) + templates:
        pick = lambda words: draw.choice(words)
        out.append(pick(TEMPLATES).format(
            n=pick(NAMES), n2=pick(NAMES), k=pick(KINDS), c=pick(COLOURS), a=pick(ADJECTIVES), a2=pick(ADJECTIVES),
            o=pick(NOUNS), o2=pick(NOUNS), s=pick(NOUNS) + "s", v=pick(VERBS), p=pick(PAST), d=pick(ADVERBS),
            l=pick(PLACES), u=pick(NUMBERS), u2=pick(NUMBERS), u3=pick(NUMBERS)))
    return out


def corpus(seed=1, templates=520, words=240):
    """Every training line: the templates filled, strings of dictionary words, and the sentences above."""
    draw = random.Random(seed)
    phonemes = Phonemes()
    plain = sorted(word for word in phonemes.common if 3 <= len(word) <= 9)
    made = texts(draw, templates)
    for _ in range(words):
        made.append(" ".join(draw.choice(plain) for _ in range(draw.randint(3, 5))) + draw.choice("....!?"))
    lines, missing = [], set()
    for text in made:
        try:
            lines.append(phonemes.line(text))
        except KeyError as error:
            missing.add(str(error))
    if missing:
        print("words without a pronunciation, their sentences left out:", sorted(missing))
    return lines


def held_out():
    """The report's sentences."""
    phonemes = Phonemes()
    return [phonemes.line(text) for text in HELD_OUT]


if __name__ == "__main__":
    from collections import Counter
    lines = corpus()
    print(len(lines), "lines;", Counter("".join(line.symbols for line in lines)))
    for line in lines[:4] + lines[100:103] + lines[-3:] + held_out()[:3]:
        print(line)
