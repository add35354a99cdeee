"""Writes vocabulary.json: the words that the demo's captions use, for telling when a prompt lies outside its world.

python vocabulary.py [--out vocabulary.json]

Known words come from the captions themselves (20,000 of them), sorted into what they are by `portraits/world.py`; function
words are those that remain, and a few more that ask for nothing; synonyms stand with what they mean. A prompt is outside
the demo's world where it has a word that is in none of the lists.
"""

import argparse
import random
import re

from common import write_json
from image.tokens import SYNONYMS
from portraits import BGC, BODYC, EYEC, HAIRC, HAIRS, HATS, SKIN, WEARC, caption, sample
from portraits.captions import NOUN

# Words that ask for nothing, though no caption has them.
HARMLESS = "the this that is are has have who which his her its their very to at by from for it some wears".split()


def words(texts):
    return sorted({word for text in texts for word in re.findall(r"[a-z]+", text.lower())})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="vocabulary.json")
    r = random.Random(5)
    used = words(caption(sample(r.randrange(10**6)), r) for _ in range(20000))
    lists = dict(
        kinds=words(noun for nouns in NOUN.values() for noun in nouns),
        colours=words([*BODYC, *WEARC, *BGC, *EYEC, *HAIRC]), skin=words(SKIN), hair=words([*HAIRS, "hair"]),
        hats=words(HATS), glasses=["glasses", "sunglasses"], clothes=["shirt", "sweater"],
        eyes=words(["eye", "eyes", "one", "two", "three", "single", "big"]),
        places=["background", "wall"])
    known = {word for group in lists.values() for word in group}
    lists["function"] = sorted({word for word in used if word not in known} | set(HARMLESS))
    unused = sorted(known - set(used))
    if unused:
        raise ValueError(f"listed, and in no caption: {unused}")
    for group in lists.values():
        group += sorted(synonym for synonym, word in SYNONYMS.items() if word in group)
    write_json(parser.parse_args().out, lists)


if __name__ == "__main__":
    main()
