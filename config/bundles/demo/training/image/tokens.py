"""Two small tokenizers of the demo's captions: T5-like (Unigram) and CLIP-like (byte-level BPE with </w>).

python -m image.tokens --out run     writes run/tokenizer_2 (T5) and run/tokenizer (CLIP), each with its
tokenizer_config.json. Letters and digits are pieces of their own, so that unknown words still have tokens; both files load
with the `tokenizers` library and with transformers. T5's is the same every time. The library's BPE trainer numbers pieces of
equal rank differently in every run, so weights belong to the CLIP tokenizer that they were trained with: --mend rewrites
run/tokenizer from its own pieces instead of training anew.
"""

import argparse
import collections
import json
import math
import os
import random
import re
import string

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from common import write_json
from portraits import caption, sample

T5_LENGTH = 40  # tokens that T5 sees; the captions have 18 on average, 36 at most
CLIP_LENGTH = 77
START, END = "<|startoftext|>", "<|endoftext|>"
# Words that people write and captions do not have.
OTHER_WORDS = ("man woman boy girl guy lady dude kid face head portrait cute funny big small little nice photo drawing hair "
               "eyes light long dark gold golden cyclops monster cap ginger blond grey").split()

# Words that mean what a word of the captions means to the demo: at export they take over its embedding.
SYNONYMS = dict(man="person", woman="person", boy="person", girl="person", guy="person", lady="person", kid="person",
                monster="alien", blond="blonde", grey="gray", gold="yellow", golden="yellow")


def share_embeddings(weight, tokenizer, mark):
    """Gives every synonym its word's row of an embedding, in place. mark: how the tokenizer writes a whole word."""
    for synonym, word in SYNONYMS.items():
        to, of = (tokenizer.token_to_id(mark.format(w)) for w in (synonym, word))
        weight[to] = weight[of]


def corpus(count=20000):
    r = random.Random(5)
    for _ in range(count):
        yield caption(sample(r.randrange(10**6)), r)
    for _ in range(30):
        for c in string.ascii_lowercase + string.digits:
            yield f"{c} a{c} {c}e"
    for word in OTHER_WORDS:
        for _ in range(20):
            yield "a " + word


def build_t5(texts, folder):
    """Whole words by their frequency, single letters far below; <pad> 0, </s> 1, <unk> 2."""
    counts = collections.Counter(word for text in texts for word in re.findall(r"[a-z0-9]+", text.lower()))
    total = sum(counts.values())

    def is_word(word, n):
        filler = len(word) == 2 and word[0] == "a" and word not in ("an", "at", "as")
        return len(word) > 1 and n >= 5 and not filler

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + w, math.log((n + 1) / total)) for w, n in counts.most_common() if is_word(w, n)]
    for start in (False, True):
        for c in string.ascii_lowercase + string.digits + ",.'!?-":
            usual = c == "," or (c == "a" and start)
            pieces.append((("▁" if start else "") + c, -3.0 if usual else -14.0))
    pieces.append(("▁", -10.0))
    t = Tokenizer(models.Unigram(pieces, 2, False))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    t.decoder = decoders.Metaspace()
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    os.makedirs(folder, exist_ok=True)
    t.save(folder + "/tokenizer.json")
    write_json(folder + "/tokenizer_config.json",
               dict(tokenizer_class="T5Tokenizer", pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
                    model_max_length=T5_LENGTH))
    return t


def clip_shell(model):
    """CLIP's normaliser and pre-tokenizer around a BPE model."""
    t = Tokenizer(model)
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "),
                                         normalizers.Lowercase()])
    pattern = (r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    return t


def train_clip(texts):
    """The learnt part of a `tokenizer.json`: pieces and merges."""
    shell = clip_shell(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    shell.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), end_of_word_suffix="</w>",
        show_progress=False))
    return json.loads(shell.to_str())["model"]


def write_clip(learnt, folder):
    """A CLIP tokenizer with the marks of start and end in the vocabulary itself, as the published file has them."""
    vocabulary = {piece: n for piece, n in learnt["vocab"].items() if piece not in (START, END)}
    size = len(vocabulary)
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in learnt["merges"]]
    # No unknown token: a byte that has no piece at a word's end is left out. As END it would end the text where it stands.
    t = clip_shell(models.BPE(vocab=vocabulary | {START: size, END: size + 1}, merges=merges, end_of_word_suffix="</w>",
                              continuing_subword_prefix=""))
    t.add_special_tokens([START, END])
    t.post_processor = processors.RobertaProcessing((END, size + 1), (START, size), False, False)
    os.makedirs(folder, exist_ok=True)
    t.save(folder + "/tokenizer.json")
    write_json(folder + "/tokenizer_config.json",
               dict(tokenizer_class="CLIPTokenizer", bos_token=START, eos_token=END, pad_token=END, unk_token=END,
                    model_max_length=CLIP_LENGTH))
    return t


class Tokens:
    """Both tokenizers of a run, cutting and padding as the node does."""

    def __init__(self, run="run"):
        self.t5_tokenizer = Tokenizer.from_file(f"{run}/tokenizer_2/tokenizer.json")
        self.clip_tokenizer = Tokenizer.from_file(f"{run}/tokenizer/tokenizer.json")
        self.end = self.clip_tokenizer.token_to_id(END)

    def t5(self, texts, length=T5_LENGTH):
        return [fit(e.ids, length, 1, 0) for e in self.t5_tokenizer.encode_batch(texts)]

    def clip(self, texts, length=CLIP_LENGTH):
        return [fit(e.ids, length, self.end, self.end) for e in self.clip_tokenizer.encode_batch(texts)]


def fit(ids, length, end, pad):
    ids = ids if len(ids) <= length else ids[:length - 1] + [end]
    return ids + [pad] * (length - len(ids))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="run")
    parser.add_argument("--mend", action="store_true", help="keep the pieces of the CLIP tokenizer that is there")
    args = parser.parse_args()
    texts, folder = list(corpus()), args.out + "/tokenizer"
    if args.mend:
        with open(folder + "/tokenizer.json", encoding="utf-8") as file:
            learnt = json.load(file)["model"]
    else:
        learnt = train_clip(texts)
    for name, tokenizer in (("T5", build_t5(texts, args.out + "/tokenizer_2")), ("CLIP", write_clip(learnt, folder))):
        lengths = [len(tokenizer.encode(text).ids) for text in texts[:5000]]
        mean = sum(lengths) / len(lengths)
        print(f"{name}: {tokenizer.get_vocab_size()} pieces, captions of {mean:.1f} on average, {max(lengths)} at most")


if __name__ == "__main__":
    main()
