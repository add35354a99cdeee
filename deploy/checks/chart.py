"""The Helm chart: the same objects as Kustomize builds, and values that change what they say and nothing else."""
import subprocess
import sys

from .manifests import overlays, validate, VERSIONS
from .tools import DEPLOY, Failed, fail_if, load_yaml, output, run, tool

CHART = str(DEPLOY / "helm/vortex-node")


def rendered(*arguments: str) -> list:
    """What the chart makes of values."""
    return load_yaml(output(tool("helm"), "template", "release", CHART, *arguments))


def by_name(objects: list) -> dict:
    """Objects by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def paths(before, after, path=""):
    """Where two objects differ."""
    if type(before) is type(after) and isinstance(before, dict):
        for key in before.keys() | after.keys():
            yield from paths(before.get(key), after.get(key), f"{path}.{key}")
    elif type(before) is type(after) and isinstance(before, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after)):
            yield from paths(*pair, f"{path}[{index}]")
    elif before != after:
        yield path


def check() -> str:
    tool("kubectl")
    stale = subprocess.run([sys.executable, DEPLOY / "generate", "--check"], capture_output=True, text=True)
    fail_if([stale.stdout + stale.stderr] if stale.returncode else [])
    output(tool("helm"), "lint", "--strict", CHART)

    compared, problems = 0, []
    for name, built in overlays().items():
        expected, made = by_name(built), by_name(rendered("--set", f"overlay={name}"))
        compared += len(expected)
        problems += [f"{name}: {'/'.join(key)} is made by one of Kustomize and Helm only" for key in expected.keys() ^ made.keys()]
        for key in expected.keys() & made.keys():
            problems += [f"{name}: {'/'.join(key)} differs at {path}" for path in paths(expected[key], made[key])]
    fail_if(problems)

    plain = by_name(rendered("--set", "overlay=queue-scaled"))
    changed = by_name(rendered("--set", "overlay=queue-scaled", "--set", "image.repository=registry.example:5000/vortex-node", "--set", "image.tag=7",
                               "--set", "settings.VORTEX_SLOTS__QUEUE=64", "--set", "storage.data=1Ti", "--set", "maxReplicas=20", "--set", "terminationGracePeriodSeconds=180",
                               "--set", "monitoring.labels.release=prometheus", "--set", "monitoring.runbook=https://wiki.example/runbook", "--set-json", 'resources={"limits":{"memory":"96Gi"}}'))
    different = {f"{key[0]}{path}" for key in plain for path in paths(plain[key], changed[key])}
    pod = "StatefulSet.spec.template.spec"
    expected = {
        "ConfigMap.data.VORTEX_SLOTS__QUEUE", "ConfigMap.data.VORTEX_HTTP__KILLED_AFTER", f"{pod}.terminationGracePeriodSeconds", "StatefulSet.spec.template.metadata.annotations.vortex-node/settings",
        f"{pod}.containers[0].image", f"{pod}.initContainers[0].image", f"{pod}.initContainers[1].image",
        f"{pod}.containers[0].resources.limits.memory", "StatefulSet.spec.volumeClaimTemplates[0].spec.resources.requests.storage",
        "ScaledObject.spec.maxReplicaCount", "ServiceMonitor.metadata.labels.release", "PrometheusRule.metadata.labels.release",
    }
    alerts = [(f"PrometheusRule.spec.groups[{number}].rules[{place}].annotations.runbook_url", rule["annotations"]["runbook_url"])
              for number, group in enumerate(changed["PrometheusRule", "vortex-node"]["spec"]["groups"]) for place, rule in enumerate(group["rules"])]
    expected |= {path for path, _ in alerts}
    if wrong := [url for _, url in alerts if not url.startswith("https://wiki.example/runbook#vortex")]:
        raise Failed(f"alerts lead to {wrong}")
    if different != expected:
        raise Failed(f"values change {sorted(different ^ expected)} as well, or not at all")
    told = next(one["data"] for (kind, _), one in changed.items() if kind == "ConfigMap" and "VORTEX_PROFILE" in one["data"])
    if told["VORTEX_HTTP__KILLED_AFTER"] != "180s":
        raise Failed("the node is not told of another grace")
    image = changed["StatefulSet", "vortex-node"]["spec"]["template"]["spec"]["containers"][0]["image"]
    if image != "registry.example:5000/vortex-node:7":
        raise Failed(f"the image is {image}")
    fail_if([said for one in changed.values() for version in VERSIONS if (said := validate(one, version))])
    if any(kind in ("ServiceMonitor", "PrometheusRule") for kind, _ in by_name(rendered("--set", "monitoring.enabled=false"))):
        raise Failed("monitoring.enabled=false leaves custom resources")
    for wrong in ("overlya=single-node", "overlay=double-node", "settings.VORTX_A=1", "image.tags=7"):
        if run(tool("helm"), "template", "release", CHART, "--set", wrong).returncode == 0:
            raise Failed(f"the chart takes {wrong}")
    return f"{compared} objects of {len(overlays())} overlays are Kustomize's"
