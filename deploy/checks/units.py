"""The systemd unit: systemd's own verdict, and that it agrees with the node's settings and exit codes."""
import re
import socket
import tempfile
import threading
from pathlib import Path

from .live import serving, wait
from .tools import DEPLOY, ROOT, Failed, fail_if, grace_problem, run, seconds, settings, tool

UNIT = DEPLOY / "systemd/vortex-node.service"
# The exposure that `systemd-analyze security` gives out of 10; a GPU and the network are what is left.
EXPOSURE = 2.0


def values(text: str, key: str) -> list[str]:
    """Every value of a key."""
    return re.findall(rf"^{key}=(.*)$", text, re.M)


def verify(text: str) -> str:
    """What systemd says about a unit; nothing where all is well. The binary need not be installed for it."""
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder) / UNIT.name
        unit.write_text(text.replace("/usr/bin/vortex-node", "/bin/true"))
        done = run(tool("systemd-analyze"), "verify", "--recursive-errors=no", str(unit))
        return done.stdout + done.stderr


def exposure() -> float:
    """How much of the system the service can reach, as systemd counts it."""
    done = run(tool("systemd-analyze"), "security", "--no-pager", "--offline=true", str(UNIT))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if not found:
        raise Failed(f"systemd-analyze security gives no level:\n{done.stdout}{done.stderr}")
    return float(found[1])


def disagreements(text: str) -> list[str]:
    """Where the unit and the node differ."""
    found = []
    readme = (ROOT / "README.md").read_text()
    restarts = re.findall(r"^\| (\d+) \| .*start the process again \|$", readme, re.M)
    if values(text, "RestartForceExitStatus") != [" ".join(restarts)]:
        found.append(f"RestartForceExitStatus= is not {' '.join(restarts)}, the exit codes that ask for a new start")
    if values(text, "RestartPreventExitStatus") != ["2"]:
        found.append("RestartPreventExitStatus= is not 2")
    variables = dict(pair.split("=", 1) for line in values(text, "Environment") for pair in line.split())
    with tempfile.TemporaryDirectory() as folder:
        try:
            accepted = settings(variables | {"VORTEX_CONFIG_DIR": folder}, Path(folder))
        except Failed as refused:
            return [*found, str(refused)]
    problem = grace_problem(accepted, seconds(values(text, "TimeoutStopSec")[0]))
    return found + ([problem] if problem else [])


def told(environment: dict, watchdog: float) -> list[str]:
    """What a node that systemd had started tells it, from ready to the end."""
    messages: list[str] = []

    def listen(receiver: socket.socket) -> None:
        while message := receiver.recv(4096).decode():
            messages.extend(message.splitlines())

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        path = f"{folder}/notify"
        receiver.bind(path)
        reader = threading.Thread(target=listen, args=(receiver,))
        reader.start()
        try:
            loopback = {"VORTEX_HTTP__LISTEN": "127.0.0.1:9100", "VORTEX_HTTP__MANAGEMENT": "127.0.0.1:9101"}
            systemd = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(int(watchdog * 1e6))}
            with serving(environment | loopback | systemd, "steady.toml"):
                wait(lambda: messages.count("WATCHDOG=1") >= 3, "the watchdog hears nothing")
        finally:
            receiver_end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            receiver_end.sendto(b"", path)
            receiver_end.close()
            reader.join()
    return messages


def check() -> str:
    text = UNIT.read_text()
    said = verify(text)
    fail_if(([said] if said else []) + disagreements(text))
    level = exposure()
    if level > EXPOSURE:
        raise Failed(f"the exposure level is {level}, more than {EXPOSURE}")
    if "Unknown key" not in verify(text.replace("WatchdogSec=", "WatchdogSecs=")):
        raise Failed("a misspelt key goes unnoticed")
    for what, broken in {
        "a short stop": text.replace("TimeoutStopSec=120s", "TimeoutStopSec=90s"),
        "a stop shorter than the node's": text.replace("=120s", "=60s"),
        "an exit code less": text.replace("70 71", "70"),
    }.items():
        if not disagreements(broken):
            raise Failed(f"{what} goes unnoticed")
    variables = dict(pair.split("=", 1) for line in values(text, "Environment") for pair in line.split())
    messages = told(variables, seconds(values(text, "WatchdogSec")[0]))
    order = [messages.index(word) for word in ("READY=1", "STOPPING=1") if word in messages]
    if len(order) != 2 or order != sorted(order):
        raise Failed(f"systemd is not told ready and then stopping: {messages}")
    return f"exposure level {level} of 10, told {len(messages)} times"
