"""What all checks share: other programs, the node's own binary, and its settings in force."""
import functools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent
ROOT = DEPLOY.parent


class Missing(Exception):
    """Something that is not on this machine."""


class Failed(Exception):
    """What is wrong, a line each."""


def fail_if(problems: list[str]) -> None:
    """Fails with all of them, where there are any."""
    if problems:
        raise Failed("\n".join(problems))


def tool(name: str) -> str:
    """The program's path."""
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is not installed (deploy/check --install brings it)")
    return found


def load_yaml(text: str) -> list:
    """Every document of a file that is not empty."""
    try:
        import yaml
    except ImportError as error:
        raise Missing("PyYAML is not installed (deploy/check --install brings it)") from error
    return [document for document in yaml.safe_load_all(text) if document is not None]


@functools.cache
def node() -> str:
    """The node's binary."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    given = os.environ.get("VORTEX_NODE")
    for path in [Path(given)] if given else [target / "debug/vortex-node", target / "release/vortex-node"]:
        if path.is_file():
            return str(path.resolve())
    raise Missing("there is no vortex-node: build it, or name it in VORTEX_NODE")


def run(*command: str, env: dict | None = None, cwd: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess:
    """A finished command, whatever its end; `env` replaces the environment but for what programs need to run at all."""
    if env is not None:
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | env
    return subprocess.run(command, env=env, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=120)


def output(*command: str, **options) -> str:
    """What a command prints that must succeed."""
    done = run(*command, **options)
    if done.returncode != 0:
        raise Failed(f"{Path(command[0]).name} {' '.join(command[1:])} ends with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def settings(env: dict, cwd: Path) -> dict:
    """The settings that a node with these variables has; fails with its own words where it refuses them."""
    shown = json.loads(output(node(), "config", "show", "--json", env=env, cwd=cwd))
    return {row["key"]: row["value"] for row in shown["settings"]}


def seconds(text: str) -> float:
    """Of a duration as settings, units and manifests write it: 15s, 250ms, 2min, 2m0s, or a plain number."""
    parts = re.findall(r"([0-9.]+)(ms|s|min|m|h|)", text := str(text))
    if not text or "".join(number + unit for number, unit in parts) != text:
        raise Failed(f"{text!r} is no duration")
    factor = {"ms": 0.001, "s": 1, "": 1, "min": 60, "m": 60, "h": 3600}
    return sum(float(number) * factor[unit] for number, unit in parts)


def grace_problem(values: dict, grace: float) -> str | None:
    """Where a manifest gives another time to stop than it tells the node, which refuses one that is too short."""
    told = values["http.killed_after"]
    if told is None or told == "off" or seconds(told) != grace:
        return f"the node is told that it is killed after {told}, and it is killed after {grace:.0f} s"
    return None
