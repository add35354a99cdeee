"""The runbook and the READMEs: every command, flag, setting and event that they name is one that there is."""
import functools
import json
import re

from .tools import DEPLOY, ROOT, Failed, fail_if, load_yaml, node, output, run

DOCUMENTS = ("RUNBOOK.md", "README.md", "network/README.md")
COMMAND = re.compile(r"(?<!install )\bvortex-node((?: (?!vortex-node)[a-z]+(?:-[a-z]+)*)+)([^\n`|;)]*)")
DOTTED = re.compile(r"`([a-z][a-z0-9_]*(?:\.(?:[a-z][a-z0-9_]*|\*))+)`")
FILE = re.compile(r"\.(?:conf|crt|env|json|md|sh|toml|yaml)$")


@functools.cache
def settings() -> set[str]:
    """Every setting's name, and every table's."""
    names = {row["key"] for row in json.loads(output(node(), "config", "show", "--json", env={}, cwd=ROOT))["settings"]}
    return names | {name[:place.start()] for name in names for place in re.finditer(r"\.", name)}


@functools.cache
def events() -> set[str]:
    """Every name that an event has in the log."""
    return set(re.findall(r'pub const \w+: &str = "([a-z_.]+)";', (ROOT / "src/telemetry/names.rs").read_text()))


@functools.cache
def chart() -> set[str]:
    """Every value of the chart that is below another."""
    values = load_yaml((DEPLOY / "helm/vortex-node/values.yaml").read_text())[0]
    return {f"{name}.{inner}" for name, value in values.items() if isinstance(value, dict) for inner in value}


@functools.cache
def help_of(words: tuple[str, ...]) -> str | None:
    """What a command says of itself; nothing where there is no such command."""
    asked = run(node(), *words, "--help", env={}, cwd=ROOT)
    return asked.stdout if asked.returncode == 0 else None


def mistakes(text: str) -> list[str]:
    """What the text names and the node does not have."""
    found = []
    for words, rest in COMMAND.findall(text):
        told = help_of(tuple(words.split()))
        if told is None:
            found.append(f"there is no command `vortex-node{words}`")
            continue
        flags = re.findall(r"(?<= )--[a-z][a-z-]*", re.sub(r"  +#.*", "", rest))
        found += [f"`vortex-node{words}` has no {flag}" for flag in flags if flag not in re.findall(r"--[a-z][a-z-]*", told)]
    for name in DOTTED.findall(text):
        pattern = re.compile(re.escape(name).replace(r"\*", "[a-z0-9_]+") + "$")
        if not FILE.search(name) and not any(pattern.match(known) for known in settings() | events() | chart()):
            found.append(f"`{name}` is no setting, event or value of the chart")
    return found


def check() -> str:
    texts = {name: (DEPLOY / name).read_text() for name in DOCUMENTS}
    fail_if([f"{name}: {mistake}" for name, text in texts.items() for mistake in mistakes(text)])
    for wrong in ("vortex-node slotz --state failed", "vortex-node webhooks lst", "vortex-node slots --stat failed", "`memory.remedi`", "`slots.quue`", "`stages.*.timout`"):
        if len(mistakes(wrong)) != 1:
            raise Failed(f"{wrong} goes unnoticed: {mistakes(wrong)}")
    commands = {words for text in texts.values() for words, _ in COMMAND.findall(text)}
    return f"{len(commands)} commands, {len({name for text in texts.values() for name in DOTTED.findall(text)})} names"
