"""The network: servers accept their configurations and sync as these promise, KEDA's question has an answer, and the demo runs."""
import contextlib
import json
import re
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from .live import free_port, wait
from .tools import DEPLOY, Failed, Missing, fail_if, load_yaml, node, output, run, tool

NETWORK = DEPLOY / "network"
SCALED = DEPLOY / "kubernetes/overlays/network-scaled/scaled-object.yaml"
SCRIPTS = ("run", "server")


def server() -> str:
    """The path of a nats-server that is new enough."""
    found = run(str(NETWORK / "server"))
    if found.returncode != 0:
        raise Missing("there is no nats-server of 2.15 or later (deploy/network/server says how to get one)")
    return found.stdout.strip()


def cluster(text: str, folder: Path, number: int, routes: list[int]) -> Path:
    """The example as the configuration of one of three servers on this machine."""
    here = {
        "server_name: nats-1": f"server_name: nats-{number}", "zone:a": f"zone:{number}", "/etc/nats/tls": str(folder),
        "/var/lib/nats": str(folder / f"store-{number}"), "0.0.0.0:6222": f"127.0.0.1:{routes[number]}",
        "0.0.0.0:4222": f"127.0.0.1:{free_port()}", "0.0.0.0:8222": f"127.0.0.1:{free_port()}",
        "nats-2.example:6222": f"127.0.0.1:{routes[(number + 1) % 3]}", "nats-3.example:6222": f"127.0.0.1:{routes[(number + 2) % 3]}",
    }
    for said, meant in here.items():
        if said not in text:
            raise Failed(f"cluster.conf has no {said}")
        text = text.replace(said, meant)
    path = folder / f"nats-{number}.conf"
    path.write_text(text)
    return path


def certificate(folder: Path) -> None:
    """One for this machine, which is its own authority."""
    output(tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=nats",
           "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt"))
    (folder / "ca.crt").write_bytes((folder / "server.crt").read_bytes())


@contextlib.contextmanager
def started(*commands: list[str], folder: Path):
    """Servers that run, and are stopped."""
    processes = []
    try:
        for number, command in enumerate(commands):
            with open(folder / f"{number}.log", "w") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def asked(address: str) -> dict:
    """What a monitor answers."""
    return json.loads(urllib.request.urlopen(address, timeout=5).read())


def three() -> None:
    """Three servers of the example find each other over TLS, and each syncs what it confirms."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        certificate(folder)
        routes = [free_port() for _ in range(3)]
        files = [cluster((NETWORK / "cluster.conf").read_text(), folder, number, routes) for number in range(3)]
        for file in files:
            output(server(), "-t", "-c", str(file))
        broken = folder / "broken.conf"
        broken.write_text(files[0].read_text().replace("sync_interval", "sync_intervall"))
        if run(server(), "-t", "-c", str(broken)).returncode == 0:
            raise Failed("a misspelt key goes unnoticed")
        monitors = [re.search(r'http: "(.*)"', file.read_text())[1] for file in files]
        with started(*([server(), "-c", str(file)] for file in files), folder=folder):
            logs = lambda: "\n".join((folder / f"{number}.log").read_text()[-700:] for number in range(3))
            wait(lambda: all(asked(f"http://{monitor}/jsz").get("meta_cluster", {}).get("leader") for monitor in monitors), "the servers choose no leader", logs)
            wait(lambda: all(asked(f"http://{monitor}/healthz")["status"] == "ok" for monitor in monitors), "the servers are not well", logs)
            for monitor in monitors:
                told = asked(f"http://{monitor}/varz")
                if not told["jetstream"]["config"].get("sync_always") or not told.get("tls_required") or told["cluster"].get("tls_verify") is False:
                    raise Failed(f"a server of cluster.conf does not sync every write, or lets somebody in without TLS: {told['cluster']}")


def spoken(port: int, lines: list[tuple[str, dict]]) -> None:
    """Says these on subjects to a server, and has it answer each."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        heard = stream.makefile("rb")
        stream.sendall(b'CONNECT {"verbose":false}\r\nSUB answer 1\r\n')
        for subject, told in lines:
            payload = json.dumps(told).encode()
            stream.sendall(b"PUB %s answer %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))
            while not (head := heard.readline()).startswith(b"MSG "):
                if not head or head.startswith(b"-ERR"):
                    raise Failed(f"nats-server says {head!r} to {subject}")
            answer = json.loads(heard.read(int(head.split()[-1])))
            if "error" in answer:
                raise Failed(f"nats-server says {answer['error']} to {subject}")


def located(answer, location: str):
    """What a path of GJSON leads to, of the kinds that the overlay uses: keys, and `#(name=="…")`."""
    for name, key in re.findall(r'#\(name=="([^"]+)"\)|([^.#]+)', location):
        answer = next((one for one in answer if one["name"] == name), None) if name else answer.get(key)
        if answer is None:
            raise Failed(f"{location} leads nowhere at {name or key}")
    return answer


def scaled() -> int:
    """The figure that KEDA scales by is how many slots wait or are rendered."""
    triggers = load_yaml(SCALED.read_text())[0]["spec"]["triggers"]
    trigger = next(one["metadata"] for one in triggers if one["type"] == "metrics-api")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        port, monitor = free_port(), free_port()
        command = [server(), "-c", str(NETWORK / "nats.conf"), "-a", "127.0.0.1", "-p", str(port), "-m", str(monitor), "-sd", str(folder / "store")]
        output(*command[:3], "-sd", str(folder / "store"), "-t")
        with started(command, folder=folder):
            wait(lambda: asked(f"http://127.0.0.1:{monitor}/healthz")["status"] == "ok", "the server is not well", lambda: (folder / "0.log").read_text())
            if not asked(f"http://127.0.0.1:{monitor}/varz")["jetstream"]["config"].get("sync_always"):
                raise Failed("nats.conf does not sync every write")
            stream = {"name": "vortex_work", "subjects": ["vortex.work.>"], "retention": "workqueue"}
            slots = [(f"vortex.work.any.normal.p512.any.free.open.{number}.1.1", {}) for number in range(3)]
            spoken(port, [("$JS.API.STREAM.CREATE.vortex_work", stream), *slots])
            address = re.sub(r"^http://[^/]+", f"http://127.0.0.1:{monitor}", trigger["url"])
            found = located(asked(address), trigger["valueLocation"])
            if found != len(slots):
                raise Failed(f"KEDA is told that {found} slots wait; {len(slots)} do")
            for wrong in (trigger["valueLocation"].replace("vortex_work", "vortex_works"), trigger["valueLocation"].replace("messages", "message")):
                try:
                    located(asked(address), wrong)
                except Failed:
                    continue
                raise Failed(f"{wrong} goes unnoticed")
    return found


def demo() -> float:
    """The demo comes up with played models, says what to try, and leaves nothing behind."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "demo"
        scenario = DEPLOY.parent / "config/rehearsals/steady.toml"
        done = run(str(NETWORK / "run"), "--nodes", "3", "--for", "1", "--dir", str(folder), "--", "--scripted", str(scenario), env={"NATS_SERVER": server(), "VORTEX_NODE": node()})
        if done.returncode != 0 or "3 nodes have joined" not in done.stdout:
            raise Failed(f"deploy/network/run ends with {done.returncode}:\n{done.stdout}{done.stderr}")
        return float(re.search(r"joined after (\d+) s", done.stdout)[1])


def check() -> str:
    linted = run(tool("shellcheck"), *(str(NETWORK / name) for name in SCRIPTS))
    fail_if([linted.stdout] if linted.returncode else [])
    three()
    waiting = scaled()
    took = demo()
    return f"three servers of cluster.conf, {waiting} slots that wait by KEDA's question, three demo nodes joined after {took:.0f} s"
