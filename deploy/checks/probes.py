"""Every probe of every manifest, asked of a node that serves with that manifest's settings."""
from .live import serving
from .manifests import pods, variables
from .tools import Failed, fail_if, node as binary, run


def check() -> str:
    asked, problems = 0, []
    for name, objects, _, _, container in pods():
        ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        environment = variables(objects, container)
        probes = {kind: container[kind]["httpGet"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        for kind, get in probes.items():
            if ports.get(get["port"]) != environment["VORTEX_HTTP__MANAGEMENT"].rpartition(":")[2]:
                problems.append(f"{name}: {kind} does not ask the management address")
        for monitor in (one for one in objects if one["kind"] == "ServiceMonitor"):
            for endpoint in monitor["spec"]["endpoints"]:
                probes[f"ServiceMonitor {endpoint['port']}"] = endpoint
        # Profiles choose devices and models; a rehearsal brings its own.
        with serving(environment | {"VORTEX_PROFILE": "cpu"}, "steady.toml") as node:
            for kind, get in probes.items():
                asked += 1
                if (status := node.probe(get["path"])) != 200:
                    problems.append(f"{name}: {kind} is answered {status} at {get['path']}")
            # The images' health check, as Docker runs it: the binary with the container's variables.
            for which in ("livez", "readyz", "startupz"):
                if (asking := run(binary(), "probe", which, env=node.environment, cwd=node.folder)).returncode != 0:
                    problems.append(f"{name}: `vortex-node probe {which}` ends with {asking.returncode}: {asking.stderr}")
            if node.probe("/healthz") != 404:
                raise Failed("a path that there is not goes unnoticed")
            # The host names that clients use, through TLS, with a token on the same machine.
            node.command("slots")
            gone = node
        if run(binary(), "probe", "livez", env=gone.environment).returncode != 1:
            raise Failed("`vortex-node probe livez` finds a node that has ended alive")
    fail_if(problems)
    return f"{asked} probes"
