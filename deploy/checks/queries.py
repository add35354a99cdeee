"""Alert rules and dashboards: promtool's verdict and unit tests, and that they ask only for what the node exports."""
import json
import re
import tempfile
from pathlib import Path

from .tools import DEPLOY, ROOT, Failed, fail_if, load_yaml, output, run, tool

OBSERVABILITY = DEPLOY / "observability"
ALERTS = OBSERVABILITY / "alerts.yaml"
TESTS = OBSERVABILITY / "alerts.test.yaml"
TABLE = ROOT / "src/telemetry/README.md"
# What Prometheus itself adds.
BUILT_IN = {"up": {}, "ALERTS": {"alertname": None, "alertstate": None}}
EVERYWHERE = {"instance": None, "job": None}


def table() -> dict[str, dict[str, set[str] | None]]:
    """Every metric that a scrape may have with its labels, by the generated table; a label's values, where they are listed."""
    found = {}
    for name, cell in re.findall(r"^\| `((?:vortex|hw)_[a-z0-9_]+)` \| \w+ \|([^|]*)\|", TABLE.read_text(), re.M):
        labels = {}
        for part in filter(str.strip, cell.split(";")):
            label, listed, values = part.partition(":")
            labels[label.strip(" `")] = {"" if value == "none" else value.strip("`") for value in values.split()} if listed else None
        found[name] = labels
    if not found:
        raise Failed(f"{TABLE.relative_to(ROOT)} lists no metrics")
    histograms = {f"{name}_bucket": labels | {"le": None} for name, labels in found.items()}
    return found | histograms | {f"{name}_{suffix}": labels for name, labels in found.items() for suffix in ("count", "sum")} | BUILT_IN


def rules() -> list[dict]:
    """Every alert."""
    groups = load_yaml(ALERTS.read_text())[0]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> dict[str, list[str]]:
    """Every dashboard's queries, with its variables filled in as Grafana fills them when all is chosen."""
    found = {}
    for file in sorted((OBSERVABILITY / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            where = f"{file.stem}: {panel['title']}"
            found[where] = [target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m") for target in panel["targets"]]
    return found


def scaling() -> list[str]:
    """What KEDA asks Prometheus."""
    scaled = load_yaml((DEPLOY / "kubernetes/overlays/queue-scaled/scaled-object.yaml").read_text())[0]
    return [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"] if trigger["type"] == "prometheus"]


def names(query: str) -> set[str]:
    """The metrics that a query asks for."""
    bare = re.sub(r'"[^"]*"|\$\w+', "", query)
    bare = re.sub(r"\{[^}]*\}|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    words = set(re.findall(r"\b[a-zA-Z_:][a-zA-Z0-9_:]*(?!\w*\s*\()", bare))
    keywords = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
    return {word for word in words if word not in keywords and not re.fullmatch(r"[smhdw]|ms|inf|nan", word, re.I)}


def mistakes(query: str, known: dict) -> list[str]:
    """Names, labels and values in a query, or in a series of a test, that nobody exports."""
    asked = names(query)
    found = [f"nobody exports {name}" for name in sorted(asked - known.keys())]
    labels = set(EVERYWHERE).union(*(known.get(name, {}) for name in asked))
    grouped = re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", query)
    found += [f"no metric there has the label {label}" for label in re.findall(r"\w+", " ".join(grouped)) if label not in labels]
    for name, inside in re.findall(r"([a-z_]+)\{([^}]*)\}", query, re.I):
        allowed = EVERYWHERE | known.get(name, {})
        for label, how, value in re.findall(r"""(\w+)\s*(=~|!~|!=|=)\s*["']([^"']*)["']""", inside):
            if name in known and label not in allowed:
                found.append(f"{name} has no label {label}")
            elif (listed := allowed.get(label)) and how in ("=", "!=") and "%" not in value and value not in listed:
                found.append(f"{label} of {name} is never {value!r}")
    return found


def unknown(queries: dict[str, list[str]], known: dict) -> list[str]:
    """What is asked for and nobody exports."""
    return [f"{where}: {mistake}" for where, asked in queries.items() for query in asked for mistake in mistakes(query, known)]


def templated(rule: dict) -> list[str]:
    """The queries in an alert's texts, with a sample where a label's value goes."""
    texts = " ".join(rule.get("annotations", {}).values())
    return [re.sub(r"%(\[\d\])?s,?", "", text) for text in re.findall(r'printf "([^"]*(?:vortex|hw)_[^"]*)"', texts)]


def legends() -> list[str]:
    """Labels in a legend that the query's answer does not have."""
    found = []
    for file in sorted((OBSERVABILITY / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                grouped = re.match(r"(?:histogram_quantile\([0-9.]+, )?sum by \(([^)]*)\)", target["expr"])
                has = set(re.findall(r"\w+", grouped[1])) if grouped else set(EVERYWHERE).union(*(table().get(name, {}) for name in names(target["expr"])))
                found += [f"{file.stem}: {panel['title']}: the legend's {label} is not in the answer" for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]) if label not in has]
    return found


def alerts() -> str:
    """promtool accepts the rules, each is tested both ways, has a section in the runbook, and asks for real metrics."""
    output(tool("promtool"), "check", "rules", "--lint-fatal", str(ALERTS))
    output(tool("promtool"), "test", "rules", str(TESTS))
    problems = []
    headings = set(re.findall(r"^## (\w+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.M))
    fires, silent = set(), set()
    for test in load_yaml(TESTS.read_text())[0]["tests"]:
        for case in test["alert_rule_test"]:
            (fires if case.get("exp_alerts") else silent).add(case["alertname"])
    for rule in rules():
        name, annotations = rule["alert"], rule.get("annotations", {})
        if name not in headings or annotations.get("runbook_url") != f"deploy/RUNBOOK.md#{name.lower()}":
            problems.append(f"{name} has no section in the runbook, or does not lead there")
        if not {"summary", "description"} <= annotations.keys() or rule.get("labels", {}).get("severity") not in ("page", "ticket"):
            problems.append(f"{name} lacks summary, description or severity")
        problems += [f"{name} is not tested to {what}" for what, tested in (("fire", fires), ("stay silent", silent)) if name not in tested]
    problems += [f"the runbook's {heading} is no alert" for heading in headings - {rule["alert"] for rule in rules()}]
    asked = {rule["alert"]: [rule["expr"]] for rule in rules()} | panels() | {"queue-scaled": scaling()}
    known = table()
    problems += unknown(asked | {f"{rule['alert']}'s text": templated(rule) for rule in rules()}, known) + legends()
    series = [one["series"] for test in load_yaml(TESTS.read_text())[0]["tests"] for one in test["input_series"]]
    problems += unknown({TESTS.name: series}, known)
    # A host without a GPU exports its memory under other names than a card.
    for where, queries in asked.items():
        for query in queries:
            if ("hw_gpu_memory" in query) != ("vortex_memory_usage" in query or "vortex_memory_size" in query):
                problems.append(f"{where} sees only hosts with a GPU, or only those without")
    fail_if(problems)

    for what, query in {
        "metric": "rate(vortex_slots_endd_total[5m]) > 5e9", "label": 'vortex_slots_ended_total{casue="deadline"}', "value": 'vortex_slots_ended_total{cause="dedline"}',
        "grouping": "sum by (instanc) (vortex_node_ready)", "joined metric": 'up / on (instance) group_left () vortex_memory_limits_bytes{limit="hard"}',
    }.items():
        if len(mistakes(query, known)) != 1:
            raise Failed(f"a misspelt {what} goes unnoticed in {query}: {mistakes(query, known)}")
    # Without the rules each alert's tests fail: they do test something.
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / TESTS.name).write_text(TESTS.read_text())
        (folder / ALERTS.name).write_text(re.sub(r"alert: (\w+)\n", r"alert: \1Not\n", ALERTS.read_text()))
        without = run(tool("promtool"), "test", "rules", TESTS.name, cwd=folder)
    noticed = set(re.findall(r"alertname: (\w+), time:", without.stdout + without.stderr))
    fail_if([f"the tests hold without {rule['alert']}" for rule in rules() if rule["alert"] not in noticed])
    return f"{len(rules())} alerts, {sum(map(len, asked.values()))} queries"
