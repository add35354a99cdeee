"""The Dockerfiles: hadolint, and the promises that no linter knows."""
import os
import re
import shutil
import tempfile
from pathlib import Path

from .tools import DEPLOY, ROOT, Failed, fail_if, node, output, run, tool

IMAGES = DEPLOY / "images"


def last_stage(text: str) -> str:
    """What the final image is made of, with continued lines joined."""
    return re.sub(r"\\\n\s*", "", text).rpartition("\nFROM ")[2]


def problems_of(text: str) -> list[str]:
    """What is wrong with one Dockerfile beyond lint."""
    final = last_stage(text)
    found = []
    user = re.search(r"^USER (\S+)$", final, re.M)
    if not user or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[1]):
        found.append("the final image has no numeric USER other than root (Kubernetes cannot tell a name from root)")
    if not re.search(r'^HEALTHCHECK .* CMD \["vortex-node", "probe", "livez"\]$', final, re.M):
        found.append("the binary itself is not the HEALTHCHECK")
    if not re.search(r'^ENTRYPOINT \["vortex-node"\]$', final, re.M):
        found.append("ENTRYPOINT is not the binary by itself: signals would end at a shell")
    return found


def finds_its_configuration(text: str) -> list[str]:
    """Lays binary and configuration out as the image does and asks the node where it looks."""
    final = last_stage(text)
    binary = re.search(r"^COPY --from=\w+ \S+ (/\S+)$", final, re.M)
    config = re.search(r"^COPY config (/\S+)$", final, re.M)
    if not binary or not config:
        return ["COPY of the binary or of config/ is not there"]
    with tempfile.TemporaryDirectory() as root:
        place, folder = Path(root + binary[1]), Path(root + config[1])
        place.parent.mkdir(parents=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(node(), place)
        except OSError:
            shutil.copy(node(), place)
        folder.symlink_to(ROOT / "config")
        said = output(str(place), "config", "show", "--json", env={}, cwd=Path(root))
    expected = f'"config_dir": "{folder}"'
    return [] if expected in said else [f"the node does not find its configuration in {config[1]}"]


def check() -> str:
    files = sorted(IMAGES.glob("*.Dockerfile"))
    problems = []
    linted = run(tool("hadolint"), *map(str, files))
    if linted.returncode != 0:
        problems.append(linted.stdout + linted.stderr)
    for file in files:
        text = file.read_text()
        problems += [f"{file.name}: {problem}" for problem in problems_of(text) + finds_its_configuration(text)]
        if not file.with_name(file.name + ".dockerignore").exists():
            problems.append(f"{file.name}: target/ and .git would be sent to the builder")
    fail_if(problems)

    # The check itself: each promise, broken, is noticed.
    good = files[0].read_text()
    for what, broken in {
        "root": good.replace("USER 10001:10001", "USER 0:0"),
        "a shell": good.replace('ENTRYPOINT ["vortex-node"]', "ENTRYPOINT vortex-node"),
        "no health check": good.replace('"probe", "livez"', '"--version"'),
        "configuration elsewhere": good.replace("COPY config /usr/share/vortex-node", "COPY config /etc/vortex-node"),
    }.items():
        if broken == good or not problems_of(broken) + finds_its_configuration(broken):
            raise Failed(f"{what} in a Dockerfile goes unnoticed")
    unpinned = run(tool("hadolint"), "-", stdin="FROM debian\nRUN cd /tmp\n")
    if "DL3003" not in unpinned.stdout or "DL3006" not in unpinned.stdout:
        raise Failed("hadolint does not lint")
    return f"{len(files)} Dockerfiles"
