"""The Compose project: docker-compose's own verdict, the node's settings in it, and the files that it mounts."""
import json
import os
import re
import tempfile
from pathlib import Path

from .live import serving
from .manifests import settings_problems
from .tools import DEPLOY, Failed, fail_if, grace_problem, load_yaml, node, output, run, seconds, tool

PROJECT = DEPLOY / "compose/compose.yaml"
# Where the image sets what the project does not (images/*.Dockerfile).
IMAGE = {"VORTEX_DATA_DIR": "/var/lib/vortex-node"}


def resolved(text: str) -> dict:
    """The project as docker-compose understands it."""
    with tempfile.NamedTemporaryFile("w", dir=PROJECT.parent, suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return json.loads(output(tool("docker-compose"), "-f", file.name, "--profile", "network", "config", "--format", "json"))


def in_a_network(environment: dict) -> dict:
    """The node's variables once those that are commented out in its file count as well."""
    lines = re.findall(r"^#(VORTEX_\w+)=(.*)$", (PROJECT.parent / "node.env").read_text(), re.M)
    return environment | dict(lines)


def queue_problems(queue: dict, environment: dict) -> list[str]:
    """What is wrong with the queue's service, and with how the node is told to find it."""
    found, command = [], queue["command"]
    ports = {flag: value for flag, value in zip(command, command[1:]) if flag in ("-p", "-m", "-sd", "-c")}
    volumes = {volume["target"]: volume for volume in queue["volumes"]}
    if volumes.get(ports["-sd"], {}).get("type") != "volume":
        found.append(f"nats: {ports['-sd']} is on no volume")
    if Path(volumes.get(ports["-c"], {}).get("source", "")) != DEPLOY / "network/nats.conf":
        found.append(f"nats: {ports['-c']} is not deploy/network/nats.conf")
    if f"http://127.0.0.1:{ports['-m']}/healthz" not in queue["healthcheck"]["test"]:
        found.append("nats: its health is not asked where it tells it")
    for name, expected in (("SERVERS", f"nats://nats:{ports['-p']}"), ("MONITOR", f"http://nats:{ports['-m']}")):
        if json.loads(environment.get(f"VORTEX_NETWORK__{name}", "[]")) != [expected]:
            found.append(f"node.env: VORTEX_NETWORK__{name} is not [{expected!r}]")
    return found


def problems_of(project: dict) -> list[str]:
    """What is wrong beyond the form."""
    services = project["services"]
    main = services["vortex-node"]
    found, values = settings_problems("vortex-node", IMAGE | main["environment"])
    if values:
        if problem := grace_problem(values, seconds(main["stop_grace_period"])):
            found.append(f"vortex-node: {problem}")
        volumes = {volume["target"]: volume for volume in main["volumes"]}
        if volumes.get(values["data_dir"], {}).get("type") != "volume":
            found.append(f"vortex-node: {values['data_dir']} is on no volume")
    joined = in_a_network(main["environment"])
    found += settings_problems("vortex-node in a network", IMAGE | joined)[0] + queue_problems(services["nats"], joined)
    for name, service in services.items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind" and not Path(volume["source"]).exists():
                found.append(f"{name}: {volume['source']} does not exist")
        found += [f"{name}: port {port['target']} is open to the network" for port in service.get("ports", []) if port.get("host_ip") != "127.0.0.1"]
        if service["image"].startswith("vortex-node:") and not service.get("read_only"):
            found.append(f"{name}: its root may be written")
    return found


def prepared(project: dict) -> list[str]:
    """What the first container's command makes, once and for all."""
    prepare = project["services"]["prepare"]
    found = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "bin").mkdir()
        (folder / "bin/vortex-node").symlink_to(node())
        environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "VORTEX_DATA_DIR": place}
        script = prepare["command"][0].replace(IMAGE["VORTEX_DATA_DIR"], place)
        made = []
        for _ in range(2):
            output(*prepare["entrypoint"], script, env=environment, cwd=folder)
            made.append({name: (folder / name).read_bytes() for name in ("tls.crt", "tls.key", "token", "tokens.json")})
        if made[0] != made[1]:
            found.append("prepare: a second start makes another certificate or token")
        if (folder / "token").stat().st_mode & 0o077:
            found.append("prepare: others may read the token")
    return found


def check() -> str:
    text = PROJECT.read_text()
    project = resolved(text)
    fail_if(problems_of(project) + prepared(project))
    for file in sorted(PROJECT.parent.rglob("*.yaml")):
        load_yaml(file.read_text())
    # Prometheus' file names paths of its container; promtool reads it where they lie here.
    config = (PROJECT.parent / "prometheus.yaml").read_text().replace("/etc/prometheus/alerts.yaml", str(DEPLOY / "observability/alerts.yaml"))
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(config)
        file.flush()
        output(tool("promtool"), "check", "config", file.name)

    if run(tool("docker-compose"), "-f", "-", "config", stdin=text.replace("read_only:", "readonly:")).returncode == 0:
        raise Failed("a misspelt key goes unnoticed")
    for what, broken in {
        "a short stop": text.replace("stop_grace_period: 120s", "stop_grace_period: 60s"),
        "a missing file": text.replace("./prometheus.yaml:", "./prometheuss.yaml:"),
        "a port open to the network": text.replace("127.0.0.1:9090:9090", "9090:9090"),
        "a queue that is lost with its container": text.replace("- nats:/data", "- nats:/date"),
        "a queue that is asked elsewhere": text.replace("8222/healthz", "8223/healthz"),
        "a queue that the node does not find": text.replace('-p, "4222"', '-p, "4223"'),
        "settings that the node refuses": text.replace("env_file: node.env", "environment: {VORTEX_HTTP__LISTNE: x}"),
    }.items():
        if broken == text or not problems_of(resolved(broken)):
            raise Failed(f"{what} goes unnoticed")
    environment = IMAGE | project["services"]["vortex-node"]["environment"]
    with serving(environment, "steady.toml"):
        pass  # It starts with its variables, the collector or not.
    refused = run(node(), "serve", env=environment | {"VORTEX_DATA_DIR": "/nonexistent", "OTEL_EXPORTER_OTLP_PROTOCOL": "grcp"})
    if refused.returncode != 2 or "OTEL_EXPORTER_OTLP_PROTOCOL" not in refused.stderr:
        raise Failed(f"a wrong OTEL_ variable goes unnoticed: {refused.returncode} {refused.stderr}")
    if not prepared(resolved(text.replace("[ -e tls.crt ] || ", ""))):
        raise Failed("a certificate that is made anew at each start goes unnoticed")
    return f"{len(project['services'])} services"
