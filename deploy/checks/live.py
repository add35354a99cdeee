"""A node that serves, started with a manifest's settings, for the checks that ask it."""
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from .tools import ROOT, Failed, node, output, tool

# For the scripted models to load, and for the node to end, on a loaded machine.
PATIENCE = 60


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Node:
    """A running node: its addresses, its token, its folder."""

    def __init__(self, folder: Path, environment: dict):
        self.folder, self.environment = folder, environment
        self.management = environment["VORTEX_HTTP__MANAGEMENT"]
        self.api = environment["VORTEX_HTTP__LISTEN"]

    def probe(self, path: str) -> int:
        """What a kubelet is answered, which asks by the pod's address."""
        request = urllib.request.Request(f"http://{self.management}{path}", headers={"Host": "10.0.0.7:9101"})
        try:
            return urllib.request.urlopen(request, timeout=5).status
        except urllib.error.HTTPError as answer:
            return answer.code

    def metrics(self) -> str:
        """The text that Prometheus scrapes."""
        return urllib.request.urlopen(f"http://{self.management}/metrics", timeout=5).read().decode()

    def command(self, *arguments: str) -> str:
        """What a client on the same machine prints."""
        return output(node(), *arguments, "--cacert", "tls.crt", "--data-dir", str(self.folder), env={}, cwd=self.folder)

    def ask(self, path: str) -> bytes:
        """What the API answers to its local token."""
        token = (self.folder / "local.token").read_text().strip()
        request = urllib.request.Request(f"https://{self.api}{path}", headers={"Authorization": f"Bearer {token}"})
        return urllib.request.urlopen(request, timeout=10, context=ssl.create_default_context(cafile=str(self.folder / "tls.crt"))).read()

    def get(self, path: str) -> dict:
        """The same, in JSON."""
        return json.loads(self.ask(path))

    def events(self) -> list[dict]:
        """Everything that the node has told of itself."""
        last = self.get("/v1/node")["journal"]["sequence"]
        return [json.loads(line[5:]) for line in self.ask(f"/v1/events?after=oldest&limit={last}").decode().splitlines() if line.startswith("data:")]

    def hand_in(self, name: str, within: float, wait: bool = False) -> None:
        """Hands in a recipe with an id of its own and so many seconds to its deadline, and may wait for its end."""
        recipe = self.folder / name
        output(node(), "recipe", "new", str(recipe), env={}, cwd=self.folder)
        recipe.write_text(recipe.read_text().replace("{", f'{{ "deadline": {int(time.time() + within)},', 1))
        self.command("submit", str(recipe), *(["--wait"] if wait else []))


@contextlib.contextmanager
def serving(environment: dict, scenario: str):
    """A node with these settings that plays a rehearsal of config/rehearsals, or a file; ends as a service manager ends it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        output(tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=vortex-node",
               "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt"))
        output(node(), "token", "new", "--scope", "read", "--data-dir", place, env={}, cwd=folder)
        # What is a place in the pod is one in this folder; everything else stays as the manifest has it.
        environment = environment | {
            "VORTEX_DATA_DIR": place, "VORTEX_BUNDLE": str(ROOT / "config/bundles/demo"), "VORTEX_CONFIG_DIR": str(ROOT / "config"),
            "VORTEX_HTTP__TLS_CERTIFICATE": str(folder / "tls.crt"), "VORTEX_HTTP__TLS_KEY": str(folder / "tls.key"),
            "VORTEX_HTTP__LISTEN": f"127.0.0.1:{free_port()}", "VORTEX_HTTP__MANAGEMENT": f"127.0.0.1:{free_port()}",
            "PATH": os.environ["PATH"],
        }
        with open(folder / "log", "w") as log:
            process = subprocess.Popen([node(), "serve", "--scripted", str(ROOT / "config/rehearsals" / scenario)],
                                       env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            running = Node(folder, environment)
            wait(lambda: running.probe("/startupz") == 200, "the node is not ready", lambda: (folder / "log").read_text()[-2000:], process)
            yield running
            # Told again and again: nobody waits here for the farewell and for slots.
            until = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < until:
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            if code := process.wait(1):
                raise Failed(f"the node ends with {code}:\n{(folder / 'log').read_text()[-2000:]}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def wait(condition, what: str, details=lambda: "", process: subprocess.Popen | None = None, patience: float = PATIENCE) -> None:
    """Until something holds."""
    until = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError, ssl.SSLError, json.JSONDecodeError):
            if condition():
                return
        if time.monotonic() > until or process and process.poll() is not None:
            raise Failed(f"{what}: {details()}")
        time.sleep(0.1)
