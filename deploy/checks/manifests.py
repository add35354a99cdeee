"""Kubernetes manifests: their schemas, the node's settings in them, and what the node needs to keep its promises."""
import copy
import functools
import re
import tempfile
from pathlib import Path

from .tools import DEPLOY, Failed, Missing, fail_if, grace_problem, load_yaml, output, seconds, settings, tool

OVERLAYS = DEPLOY / "kubernetes/overlays"
# Kubernetes supports about a year of minor versions: an old one and the newest that has schemas.
VERSIONS = ("1.31", "1.37")
# Maps whose keys are the operator's own: no schema knows a misspelt one.
FREE = {"annotations", "data", "labels", "limits", "matchLabels", "nodeSelector", "requests"}
# From the start of loading until ready, per profile: the demo takes 3 s on two busy cores; 34 GB of weights from a volume
# that reads 200 MB/s take 170 s, and canaries up to 60 s each at once.
LOADING = {"cpu": 60, "h200": 300, "rtx3060-12gb": 300}


@functools.cache
def overlays() -> dict[str, list]:
    """Every overlay as Kustomize builds it."""
    names = sorted(folder.name for folder in OVERLAYS.iterdir())
    return {name: load_yaml(output(tool("kubectl"), "kustomize", str(OVERLAYS / name))) for name in names}


@functools.cache
def custom_schema(kind: str) -> dict:
    """The published schema of an operator's kind; what it does not name is not allowed."""
    try:
        from cloudcoil.models.keda import v1alpha1 as keda
        from cloudcoil.models.prometheus_operator import v1 as prometheus
    except ImportError as error:
        raise Missing("the custom resources' schemas are not installed (deploy/check --install)") from error
    schema = getattr(keda if kind == "ScaledObject" else prometheus, kind).model_json_schema(by_alias=True)

    def close(part):
        if isinstance(part, dict):
            if "properties" in part and part.get("type") == "object":
                part.setdefault("additionalProperties", False)
            for inner in part.values():
                close(inner)
        elif isinstance(part, list):
            for inner in part:
                close(inner)

    close(schema)
    return schema


def validate(thing: dict, version: str) -> str | None:
    """What is wrong with an object, in the words of its schema."""
    try:
        import jsonschema
        import kubernetes_validate
    except ImportError as error:
        raise Missing("kubernetes-validate is not installed (deploy/check --install brings it)") from error
    if thing["apiVersion"].split("/")[0] in ("monitoring.coreos.com", "keda.sh"):
        found = jsonschema.Draft202012Validator(custom_schema(thing["kind"])).iter_errors(thing)
        return "; ".join(error.message for error in found) or None
    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return str(error)
    return None


def misspelt(thing: dict):
    """The object again and again, each time with another of its keys misspelt."""
    free = FREE | {"selector"} if thing["kind"] == "Service" else FREE

    def keys(part, path):
        if isinstance(part, dict):
            for key, inner in part.items():
                if not (path and path[-1] in free or "triggers" in path and path[-1] == "metadata"):
                    yield [*path, key]
                yield from keys(inner, [*path, key])
        elif isinstance(part, list):
            for index, inner in enumerate(part):
                yield from keys(inner, [*path, index])

    for path in keys(thing, []):
        broken = copy.deepcopy(thing)
        part = broken
        for step in path[:-1]:
            part = part[step]
        part[f"{path[-1]}x"] = part.pop(path[-1])
        yield ".".join(map(str, path)), broken


def schemas() -> str:
    """Every object is what its kind's schema allows, and no misspelt key passes."""
    problems, checked, spelling = [], 0, 0
    for name, objects in overlays().items():
        for thing in objects:
            for version in VERSIONS:
                checked += 1
                if said := validate(thing, version):
                    problems.append(f"{name}: {thing['kind']} {thing['metadata']['name']} in Kubernetes {version}: {said}")
    fail_if(problems)
    seen = set()
    for thing in overlays()["queue-scaled"]:
        if thing["kind"] in seen:
            continue
        seen.add(thing["kind"])
        for path, broken in misspelt(thing):
            if path in ("apiVersion", "kind"):
                continue
            spelling += 1
            if not validate(broken, VERSIONS[-1]):
                problems.append(f"{thing['kind']}: a misspelt {path} goes unnoticed")
    fail_if(problems)
    return f"{checked} objects in Kubernetes {' and '.join(VERSIONS)}, {spelling} misspelt keys of {len(seen)} kinds"


def variables(objects: list, container: dict) -> dict:
    """A container's environment as Kubernetes makes it, with a sample where only the cluster knows the value."""
    maps = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    values = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            values |= maps[source["configMapRef"]["name"]]
    for entry in container.get("env", []):
        text = entry.get("value", "sample")
        values[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], text)
    return values


def settings_problems(where: str, environment: dict) -> tuple[list[str], dict]:
    """What the node says about the variables, and its settings under them."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            values = settings(environment, Path(folder))
        except Failed as refused:
            return [f"{where}: {refused}"], {}
    known = {f"VORTEX_{key.upper().replace('.', '__')}" for key in values} | {"VORTEX_CONFIG_DIR"}
    found = [f"{where}: {name} is no setting" for name in environment if name.startswith("VORTEX_") and name not in known]
    return found, values


def pods():
    """Every StatefulSet with its overlay's name and objects, its pod and the node's container."""
    for name, objects in overlays().items():
        for thing in objects:
            if thing["kind"] == "StatefulSet":
                pod = thing["spec"]["template"]["spec"]
                node = next(one for one in pod["containers"] if one["name"] == "vortex-node")
                yield name, objects, thing, pod, node


def promises(name: str, objects: list, thing: dict, pod: dict, container: dict, values: dict) -> list[str]:
    """What the node needs of a pod to keep its promises."""
    found = []
    if problem := grace_problem(values, pod["terminationGracePeriodSeconds"]):
        found.append(problem)
    probe = container["startupProbe"]
    budget = probe["periodSeconds"] * probe["failureThreshold"]
    needed = seconds(values["restart.process.backoff_max"]) + LOADING[values["profile"]]
    if budget < needed:
        found.append(f"the startup probe gives up after {budget} s; waiting and loading may take {needed:.0f} s")
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in thing["spec"]["volumeClaimTemplates"]}
    data, weights = mounts.get(values["data_dir"]), mounts.get(values["bundle"])
    if not data or data["name"] not in claims or data.get("readOnly"):
        found.append(f"journal and key ({values['data_dir']}) are not on a volume claim of the pod's own")
    if not weights or not weights.get("readOnly"):
        found.append(f"the weights ({values['bundle']}) are not mounted read-only")
    if thing["spec"].get("persistentVolumeClaimRetentionPolicy") != {"whenDeleted": "Retain", "whenScaled": "Retain"}:
        found.append("a removed pod's volume is not kept")
    for one in pod["initContainers"] + pod["containers"]:
        context = one.get("securityContext", {})
        if not context.get("readOnlyRootFilesystem") or context.get("allowPrivilegeEscalation") is not False \
                or context.get("capabilities") != {"drop": ["ALL"]}:
            found.append(f"{one['name']} may write its root or gain privileges")
        if "memory" not in one.get("resources", {}).get("limits", {}):
            found.append(f"{one['name']} has no memory limit")
    context = pod.get("securityContext", {})
    if not context.get("runAsNonRoot") or context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        found.append("the pod may run as root or make any system call")
    kinds = {one["kind"] for one in objects}
    found += [f"there is a {kind}" for kind in ("Secret", "PodDisruptionBudget", "Deployment") if kind in kinds]
    if "NetworkPolicy" not in kinds:
        found.append("there is no NetworkPolicy")
    if "ScaledObject" in kinds and "replicas" in thing["spec"]:
        found.append("replicas is set beside a ScaledObject: each apply would undo its number")
    return [f"{name}: {problem}" for problem in found]


def accepted() -> str:
    """The node accepts every manifest's settings, and the manifest gives it what they ask for."""
    problems, counted = [], 0
    for name, objects, thing, pod, container in pods():
        environment = variables(objects, container)
        counted += sum(key.startswith("VORTEX_") for key in environment)
        found, values = settings_problems(name, environment)
        problems += found
        if values:
            problems += promises(name, objects, thing, pod, container, values)
    fail_if(problems)

    name, objects, thing, pod, container = next(pods())
    environment = variables(objects, container)
    for what, change in {"a misspelt setting": {"VORTEX_HTTP__LISTNE": "0.0.0.0:9100"}, "a misspelt top setting": {"VORTEX_PROFIEL": "cpu"},
                         "an unknown setting": {"VORTEX_NATS": "x"}, "a wrong value": {"VORTEX_SLOTS__DRAIN": "soon"},
                         "a drain longer than the grace": {"VORTEX_SLOTS__DRAIN": "2min"}}.items():
        if not settings_problems(name, environment | change)[0]:
            raise Failed(f"{what} goes unnoticed")
    values = settings_problems(name, environment)[1]
    broken = copy.deepcopy((thing, pod, container))
    broken[0]["spec"]["volumeClaimTemplates"].clear()
    broken[1]["terminationGracePeriodSeconds"] = 60
    broken[1]["initContainers"][0].pop("securityContext")
    broken[2]["startupProbe"]["failureThreshold"] = 10
    if len(promises(name, objects, *broken, values)) != 4:
        raise Failed("a pod without claims, grace, time to start and locks goes unnoticed")
    return f"{counted} settings of {len(overlays())} overlays"
