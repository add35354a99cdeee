"""Prometheus itself scrapes a node that plays a rehearsal, and answers every dashboard's query with data."""
import contextlib
import functools
import http.server
import json
import math
import re
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request
from pathlib import Path

from .live import Node, free_port, serving, wait
from .manifests import pods, variables
from .queries import ALERTS, panels, rules, scaling, table
from .tools import Failed, fail_if, tool

# Stages of tenths of a second: two slots are over at once, and an increase is what rates and quantiles need.
QUICK = 'about = "nothing goes wrong, in a hurry"\npackage = "100ms"\n' + "".join(
    f'[models.{model}]\nload = "100ms"\ncanary = "10ms"\nrun = "300ms"\nsteps = 3\n' for model in ("flux", "liveportrait", "kokoro", "clip_b", "clip_l")
) + '[[arrivals]]\nat = "1s"\ncount = 1\n'
# What has no data here, and why.
ABSENT = {
    "vortex_memory_leak_slope_bytes_per_hour": "a slope takes minutes",
    "vortex_memory_fragmentation_ratio": "a played device has no pool",
    "vortex_encoder_busy_seconds_total": "a played video is not encoded",
    "vortex_network_": "the node is in no network",
}
# How a host's memory goes by on a card (src/telemetry/README.md).
ON_A_CARD = {"vortex_memory_usage_bytes": "hw_gpu_memory_usage_bytes", "vortex_memory_size_bytes": "hw_gpu_memory_limit_bytes"}


def as_on_a_card(text: str) -> str:
    """A scrape as a node with a card would answer it: the same numbers under a card's names."""
    text = re.sub(r'device="scripted:', 'device="cuda:', text)
    for host, card in ON_A_CARD.items():
        text = re.sub(rf'^{host}\{{device="([^"]*)"', rf'{card}{{hw_id="GPU-1",device="\1"', text.replace(f" {host} ", f" {card} "), flags=re.M)
    return text


@contextlib.contextmanager
def with_a_card(node: Node):
    """Where the node can be scraped as if it had a card."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = as_on_a_card(node.metrics()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def prometheus(targets: dict[str, str]):
    """A Prometheus that scrapes these instances each second, with the alert rules; gives its address and its log."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        address = f"127.0.0.1:{free_port()}"
        (folder / "prometheus.yaml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ALERTS)],
            "scrape_configs": [{"job_name": "vortex-node", "static_configs": [
                {"targets": [target], "labels": {"instance": instance}} for instance, target in targets.items()]}],
        }))
        with open(folder / "log", "w") as log:
            process = subprocess.Popen([tool("prometheus"), f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                                        f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            yield f"http://{address}", lambda: (folder / "log").read_text()[-2000:]
        finally:
            process.terminate()
            process.wait(30)


def ask(address: str, query: str) -> list:
    """What Prometheus answers to a query; what is not a number is no data."""
    body = urllib.parse.urlencode({"query": query}).encode()
    answer = json.load(urllib.request.urlopen(f"{address}/api/v1/query", body, timeout=10))["data"]["result"]
    return [one for one in answer if not math.isnan(float(one["value"][1]))]


def told(node: Node, known: dict) -> list[str]:
    """Where the node's scrape and the table of metrics disagree."""
    lines = [line for line in node.metrics().splitlines() if not line.startswith(("#", "target_info"))]
    found = set()
    for line in lines:
        name, labels = line.split("{")[0].split(" ")[0], dict(re.findall(r'(\w+)="([^"]*)"', line.split("} ")[0]))
        if name not in known:
            found.add(f"the table of metrics lacks {name}")
        elif labels.keys() != known[name].keys():
            found.add(f"{name} has the labels {sorted(labels)}, and by the table {sorted(known[name])}")
        else:
            found |= {f"by the table {label} of {name} is never {value!r}" for label, value in labels.items() if known[name][label] and value not in known[name][label]}
    return sorted(found)


def check() -> str:
    tool("prometheus")
    name, objects, _, _, container = next(one for one in pods() if one[0] == "single-node")
    # The operator calls the job after the service, a plain Prometheus as its configuration does.
    asked = panels() | {"queue-scaled": [query.replace("vortex-node-pods", "vortex-node") for query in scaling()]}
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".toml"))
        file.write(QUICK)
        file.flush()
        node = stack.enter_context(serving(variables(objects, container), file.name))
        address, log = stack.enter_context(prometheus({"host": node.management, "card": stack.enter_context(with_a_card(node))}))
        wait(lambda: len(ask(address, "up == 1")) == 2, f"Prometheus does not scrape the node of {name}", log)
        for number in range(2):
            node.hand_in(f"{number}.json", within=600, wait=True)
        fail_if(told(node, table()))
        wait(lambda: ask(address, "min(vortex_slot_deadline_margin_seconds_count) == 2"), "Prometheus does not hear of two slots", log)
        missing, queries = [], 0
        for instance in ("host", "card"):
            for where, query in ((where, query.replace('=~".*"', f'="{instance}"')) for where, several in asked.items() for query in several):
                queries += 1
                reason = next((reason for metric, reason in ABSENT.items() if metric in query), None)
                has_data = functools.partial(ask, address, query)
                if reason and has_data():
                    missing.append(f"{where} has data on a {instance}, and is listed as without: {reason}")
                elif not reason:
                    with contextlib.suppress(Failed):
                        wait(has_data, "no data", patience=5)
                        continue
                    missing.append(f"{where} has no data on a {instance}: {query}")
        fail_if(missing)
        for rule in rules():
            ask(address, rule["expr"])
        firing = ask(address, 'ALERTS{alertstate="firing"}')
        fail_if([f"{one['metric']['alertname']} fires on a node that has nothing wrong" for one in firing])
        series = len(ask(address, '{instance="host"}'))
    return f"{queries} queries answered but {sum(any(metric in query for query in several) for metric in ABSENT for several in asked.values())}, {series} series"
