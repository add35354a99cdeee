#!/usr/bin/env python3
"""Checks the links of every tracked Markdown file, offline; Python's standard library only.

    .ci/links.py               # this repository; exit code 1 where something is wrong, a line each: file:line: link: why
    .ci/links.py --self-test   # what must be found is found, and nothing else

- A relative link must lead to a tracked file or folder, its anchor to a heading (or an `id`) there.
- A reference `[text][label]` must have its definition.
- A path in backticks that begins like one of this repository's, or names a source file (.rs, .py, .sh), must be tracked.
  The changelog's are left out: it tells of files that are gone.
- A page that rustdoc includes may link by reference only, and the including file must say where the reference leads in
  rustdoc (`//! [label]: crate::part`): a relative link would be dead there.
- README.md holds at most 8192 bytes.

Web addresses are not looked at.
"""
import argparse
import posixpath
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

README_LIMIT = 8192
SOURCES = (".rs", ".py", ".sh")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
DEFINITION = re.compile(r" {0,3}\[([^\]]+)\]:\s*(?:<([^>]*)>|(\S+))")
# The destination may be in angle brackets or hold one level of parentheses; a title may follow.
INLINE = re.compile(r"\]\(\s*(?:<([^>]*)>|((?:[^()\s]|\([^()\s]*\))*))(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
REFERENCE = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\[([^\]]*)\]")
CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
HTML = re.compile(r"<(?:a|img|source|video)\b[^>]*?\b(?:href|src)=\"([^\"]*)\"")
ID = re.compile(r"<[a-z]+\b[^>]*?\b(?:id|name)=\"([^\"]*)\"")
LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
PATH = re.compile(r"\.?[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*/?")
INCLUDED = re.compile(r"doc = include_str!\(\"([^\"]+\.md)\"\)")


def prose(text):
    """Its lines as (number, line), without code blocks."""
    fence, after_blank, in_list = None, True, False
    for number, line in enumerate(text.splitlines(), 1):
        marker = FENCE.match(line)
        if fence:
            if marker and marker[1].startswith(fence) and not line.strip(" `~"):
                fence = None
            continue
        if marker:
            fence = marker[1]
            after_blank = False
            continue
        if not line.strip():
            after_blank = True
            continue
        if LIST_ITEM.match(line):
            in_list = True
        elif not line.startswith((" ", "\t")):
            in_list = False
        if line.startswith(("    ", "\t")) and not in_list and after_blank:
            continue  # an indented block: after_blank stays, its next line belongs to it
        after_blank = False
        yield number, line


def without_code(line):
    """The line with its code spans blanked out, so that nothing in them is a link."""
    return CODE.sub(lambda span: " " * len(span[0]), line)


def slug(heading):
    """A heading's anchor, as code hosts make it."""
    text = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])?", r"\1", heading).replace("`", "")
    text = re.sub(r"(?<!\w)[*_]+|[*_]+(?!\w)", "", text).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(text):
    """Every anchor of a page; a heading that comes again gets a number."""
    found, before = set(), None
    for _, line in prose(text):
        heading = HEADING.match(line)
        if heading:
            title = heading[2]
        elif before and re.fullmatch(r" {0,3}(=+|-+)\s*", line):
            title = before
        else:
            title = None
        if title is not None:
            name, count = slug(title), 0
            while (name if not count else f"{name}-{count}") in found:
                count += 1
            found.add(name if not count else f"{name}-{count}")
        found.update(ID.findall(line))
        before = line
    return found


class Tree:
    """The tracked files: their names, and the text of those that are asked for."""

    def __init__(self, names, read):
        self.names, self.read = set(names), read
        self.folders = {"."}
        for name in names:
            while name := posixpath.dirname(name):
                self.folders.add(name)
        self.roots = {name.split("/")[0] for name in self.folders} - {"."}
        self.known_anchors = {}

    def has(self, path):
        return path in self.names or path in self.folders

    def anchors(self, page):
        if page not in self.known_anchors:
            self.known_anchors[page] = anchors(self.read(page))
        return self.known_anchors[page]


def wrong_link(tree, page, link):
    """Why a link of `page` leads nowhere; None where it leads somewhere."""
    if SCHEME.match(link) or link.startswith("//"):
        return None  # a web address
    path, _, anchor = link.partition("#")
    path, anchor = unquote(path), unquote(anchor)
    base = "" if path.startswith("/") else posixpath.dirname(page)
    target = posixpath.normpath(posixpath.join(base, path.lstrip("/"))) if path else page
    if target.startswith(".."):
        return f"{target} is outside the repository"
    if not tree.has(target):
        return f"there is no tracked {target}"
    if path.endswith("/") and target not in tree.folders:
        return f"{target} is no folder"
    if not anchor:
        return None
    if target in tree.folders:
        return f"{target} is a folder, and #{anchor} needs a page"
    if target.endswith(".md"):
        return None if anchor in tree.anchors(target) else f"{target} has no heading #{anchor}"
    lines = re.fullmatch(r"L(\d+)(?:-L(\d+))?", anchor)
    last = len(tree.read(target).splitlines()) if lines else 0
    if lines and int(lines[2] or lines[1]) <= last:
        return None
    return f"{target} has no #{anchor}"


def wrong_path(tree, page, path):
    """Why a path in backticks names nothing; None where it names something, or is no path of ours."""
    if not PATH.fullmatch(path):
        return None
    plain, first = path.rstrip("/"), path.split("/")[0]
    if "/" in path and first in tree.roots and not path.endswith(SOURCES):
        return None if tree.has(plain) else f"there is no tracked {plain}"
    if not path.endswith(SOURCES):
        return None
    # A source file may be named from the page's folder, or from any around it.
    folder = posixpath.dirname(page)
    while True:
        if posixpath.normpath(posixpath.join(folder, plain)) in tree.names:
            return None
        if not folder:
            return f"there is no tracked {plain}, seen from {posixpath.dirname(page) or 'the root'} or a folder around it"
        folder = posixpath.dirname(folder)


def is_relative(link):
    return not SCHEME.match(link) and not link.startswith(("#", "//"))


def check_page(tree, page, includers):
    """What is wrong on one page, which rustdoc gets by `includers`: (line, link, why)."""
    text = tree.read(page)
    definitions, uses, links, paths = {}, [], [], []
    for number, line in prose(text):
        definition = DEFINITION.match(line)
        if definition:
            link = definition[2] if definition[2] is not None else definition[3]
            definitions.setdefault(definition[1].lower(), (number, link))
            continue
        if page != "CHANGELOG.md":
            paths += [(number, span[2]) for span in CODE.finditer(line)]
        bare = without_code(line)
        links += [(number, match[1] if match[1] is not None else match[2]) for match in INLINE.finditer(bare)]
        links += [(number, match[1]) for match in HTML.finditer(bare)]
        # The label is looked for in the line itself: a text in backticks is a link's text all the same.
        uses += [(number, match[2] or match[1]) for match in REFERENCE.finditer(line) if bare[match.end() - 1] == "]"]
    for number, link in links + list(definitions.values()):
        if why := wrong_link(tree, page, link):
            yield number, link, why
    for number, label in uses:
        if label.lower() not in definitions:
            yield number, f"[{label}]", "has no definition on this page"
    for number, path in paths:
        if why := wrong_path(tree, page, path):
            yield number, f"`{path}`", why
    for includer in sorted(includers):
        code = tree.read(includer)
        for number, link in links:
            if is_relative(link):
                yield number, link, f"is dead in rustdoc, which includes this page by {includer}: link by reference"
        for label, (number, link) in definitions.items():
            if is_relative(link) and not re.search(rf"^//[!/] \[{re.escape(label)}\]: \S", code, re.M | re.I):
                yield number, link, f"is dead in rustdoc: {includer} has no line //! [{label}]: crate::…"


def check(tree):
    """Everything that is wrong, a line each, in the order of the files."""
    includers = {}
    for name in tree.names:
        if name.endswith(".rs"):
            for page in INCLUDED.findall(tree.read(name)):
                page = posixpath.normpath(posixpath.join(posixpath.dirname(name), page))
                includers.setdefault(page, set()).add(name)
    wrong = []
    for page in sorted(name for name in tree.names if name.endswith(".md")):
        found = sorted(check_page(tree, page, includers.get(page, ())))
        wrong += [f"{page}:{number}: {link}: {why}" for number, link, why in found]
    size = len(tree.read("README.md").encode()) if "README.md" in tree.names else 0
    if size > README_LIMIT:
        wrong.append(f"README.md:1: it holds {size} bytes, {README_LIMIT} are allowed: what is more belongs beside its part")
    return wrong


def of_repository():
    root = Path(__file__).resolve().parent.parent
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True).stdout
    names = [name for name in listed.decode().split("\0") if name and (root / name).exists()]
    return Tree(names, lambda name: (root / name).read_text(encoding="utf-8"))


def self_test():
    sound = {
        "README.md": "# One two\n\n[a](docs/a.md#why-not-now) ![p](p.png) [d](docs/) [w](https://x.y/z) [h](#one-two)\n"
        "`src/x.rs` `config/none/<name>` `x/y` `[no](link.md)`\n\n    [code](none.md)\n\n```\n[code](none.md)\n```\n",
        "docs/a.md": "# Why *not*, `now`?\n\n## Again\n\n## Again\n\n[up](../README.md \"title\") [2](#again-1) [ref][r] [r][]\n"
        "[line](../src/x.rs#L2) <a href=\"../p.png\">p</a> `x.rs`\n\n[r]: <../p.png>\n",
        "src/x.rs": "//! [y]: crate::y\n//!\n#![doc = include_str!(\"x/README.md\")]\n",
        "src/x/README.md": "See [y] and `x.rs`.\n\n[y]: ../y/README.md\n",
        "src/y/README.md": "# Y\n",
        "p.png": "",
        "docs/x.rs": "",
        "CHANGELOG.md": "`src/gone.rs`\n",
    }
    broken = [
        ("docs/a.md", "[x](none.md)\n", "docs/a.md:1: none.md: there is no tracked docs/none.md"),
        ("docs/a.md", "\n![x](../q.png)\n", "docs/a.md:2: ../q.png: there is no tracked q.png"),
        ("docs/a.md", "[x](../readme.md)\n", "docs/a.md:1: ../readme.md: there is no tracked readme.md"),
        ("docs/a.md", "[x](../../z.md)\n", "docs/a.md:1: ../../z.md: ../z.md is outside the repository"),
        ("docs/a.md", "[x](../README.md#three)\n", "docs/a.md:1: ../README.md#three: README.md has no heading #three"),
        ("docs/a.md", "[x](#three)\n", "docs/a.md:1: #three: docs/a.md has no heading #three"),
        ("docs/a.md", "[x](../src/x.rs#L9)\n", "docs/a.md:1: ../src/x.rs#L9: src/x.rs has no #L9"),
        ("docs/a.md", "[`x`][none]\n", "docs/a.md:1: [none]: has no definition on this page"),
        ("docs/a.md", "[r]\n\n[r]: none.md\n", "docs/a.md:3: none.md: there is no tracked docs/none.md"),
        ("docs/a.md", "<img src=\"q.png\">\n", "docs/a.md:1: q.png: there is no tracked docs/q.png"),
        ("docs/a.md", "- [x](y.md)\n\n    [z](z.md)\n", "docs/a.md:3: z.md: there is no tracked docs/z.md"),
        ("docs/a.md", "`src/none/`\n", "docs/a.md:1: `src/none/`: there is no tracked src/none"),
        ("docs/a.md", "`y.rs`\n", "docs/a.md:1: `y.rs`: there is no tracked y.rs, seen from docs or a folder around it"),
        ("src/x/README.md", "[y](../y/README.md)\n", "src/x/README.md:1: ../y/README.md: is dead in rustdoc"),
        ("src/x/README.md", "[p]\n\n[p]: ../../p.png\n", "src/x/README.md:3: ../../p.png: is dead in rustdoc"),
        ("README.md", "x" * 8193, "README.md:1: it holds 8193 bytes"),
    ]

    def found(files):
        return check(Tree(files, files.__getitem__))

    faults = [f"nothing is wrong here, but: {line}" for line in found(sound)]
    for page, text, wanted in broken:
        # Anchors that other pages link to are not what this case is about.
        lines = [line for line in found(sound | {page: text}) if line.startswith(f"{page}:")]
        if not any(line.startswith(wanted) for line in lines):
            faults.append(f"{wanted!r} was not found in {text!r}, but {lines}")
    for fault in faults:
        print(f"self-test: {fault}", file=sys.stderr)
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true", help="check the checker")
    if parser.parse_args().self_test:
        return self_test()
    wrong = check(of_repository())
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
