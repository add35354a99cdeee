"""A rehearsed event at the hard limit, as an operator meets it: alert, log, trace, events and API name the model, the bytes and the remedy."""
import contextlib
import json
import os
import re
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from .live import PATIENCE, Node, free_port, serving, wait
from .manifests import pods, variables
from .scrape import ask, prometheus
from .tools import DEPLOY, ROOT, Failed, fail_if, tool

# The rehearsal's drift, fast enough for a check: over the limit within half a minute.
FASTER = {'per_minute = "2GB"': 'per_minute = "30GB"', 'at = "30s"': 'at = "5s"', 'lasts = "10min"': 'lasts = "20s"'}
# As the rehearsal has it: some minutes (tests/soak/run deploy).
FULL = os.environ.get("VORTEX_DRILL") == "full"
LONG = 1500 if FULL else PATIENCE
ALERT = "VortexMemoryLimitCrossed"
# What the runbook shows of a log line, in this order.
SHOWN = ("from", "to", "cause", "unexplained", "remedy", "model", "fault", "stage", "counted", "used", "limit", "budget", "after")
# What must come each time; which slots it hits, and over which levels it ends, is a matter of tenths of a second.
ALWAYS = re.compile("to=hard|cause=ours|remedy=|fault=|after=")
EVENTS = ("memory.pressure_changed", "memory.pressure_caused", "memory.remedy", "model.down", "slot.stage_again", "model.ready", "slot.failed")


def scenario() -> str:
    """config/rehearsals/drift.toml, in a hurry unless all of it is asked for."""
    text = (ROOT / "config/rehearsals/drift.toml").read_text()
    for slow, fast in ({} if FULL else FASTER).items():
        if slow not in text:
            raise Failed(f"drift.toml has no {slow}")
        text = text.replace(slow, fast)
    return text


def alert(address: str) -> dict:
    """The firing alert with its texts, as Alertmanager gets it."""
    alerts = json.load(urllib.request.urlopen(f"{address}/api/v1/alerts", timeout=10))["data"]["alerts"]
    return next((one for one in alerts if one["labels"]["alertname"] == ALERT and one["state"] == "firing"), {})


def lines(node: Node) -> list[dict]:
    """The node's log."""
    return [json.loads(line) for line in (node.folder / "log").read_text().splitlines() if line.startswith("{")]


def shown(line: dict) -> str:
    """A log line as the runbook has it."""
    return f"{line['timestamp'][11:19]} {line['message']}   " + " ".join(f"{key}={line[key]}" for key in SHOWN if key in line)


def bare(text: str) -> str:
    """Without what differs from one time to the next: numbers, and whether a look in between saw the soft limit first."""
    return re.sub(r"\b[0-9][0-9.:]*[kMG]?B?\b", "N", re.sub(r"from=\w+", "from=", " ".join(text.split())))


@contextlib.contextmanager
def receiver():
    """Rotel, which takes traces: the variables that make a node send them, and what it has written down once it is asked to end."""
    port = free_port()
    command = [os.environ.get("ROTEL") or tool("rotel-agent"), "start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed",
               "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}", "--otlp-http-endpoint", f"127.0.0.1:{port}"]
    with tempfile.TemporaryFile("w+") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.DEVNULL)

        def end() -> str:
            process.terminate()
            process.wait(PATIENCE)
            written.seek(0)
            return written.read()

        try:
            yield {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{port}/v1/traces"}, end
        finally:
            process.kill()
            process.wait()


def traced(text: str) -> list[list[str]]:
    """The events on each slot's span, as the runbook has them: seconds since the slot was handed in, name, attributes."""
    slots = []
    for span in text.split("Span #")[1:]:
        if not re.search(r"Name +: slot\n", span):
            continue
        began = int(re.search(r"Start time: (\d+)", span)[1])
        told = []
        for event in span.split("SpanEvent #")[1:]:
            name, at = re.search(r"-> Name: (\w+)\n +-> Timestamp: (\d+)", event).groups()
            attributes = re.findall(r"^ {10}-> (\w+): \w+\((.*)\)$", event, re.M)
            told.append(f"{(int(at) - began) / 1e9:5.1f} s  {name}   " + " ".join(f"{key}={value}" for key, value in attributes))
        slots.append(told)
    return slots


def play() -> dict:
    """The event from first to last: what is asked afterwards, and what the alert said meanwhile."""
    _, objects, _, _, container = next(one for one in pods() if one[0] == "single-node")
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(scenario())
        file.flush()
        with receiver() as (exports, end):
            with serving(variables(objects, container) | exports, file.name) as node, prometheus({"vortex/vortex-node-0": node.management}) as (address, log):
                wait(lambda: ask(address, "up == 1"), "Prometheus does not scrape the node", log)
                for number in range(16 if FULL else 4):
                    node.hand_in(f"{number}.json", within=LONG * 2)
                wait(lambda: alert(address), f"{ALERT} does not fire", lambda: node.metrics()[-3000:], patience=LONG)
                wait(lambda: any(line.get("remedy") == "restart" for line in lines(node)), "nothing is done about it", patience=LONG)
                wait(lambda: node.probe("/readyz") == 200, "the node does not come back", patience=LONG)
                wait(lambda: sum(line.get("event") == "model.ready" and line["model"] == "liveportrait" for line in lines(node)) == 2, "the model does not come back", patience=LONG)
                wait(lambda: "Done: " in alert(address).get("annotations", {}).get("description", ""), "the alert does not tell what was done", lambda: str(alert(address)), patience=LONG)
                # A trace goes out when its slot ends; the next one to be completed ran meanwhile.
                completed = lambda: node.get("/v1/node")["ended"].get("completed", 0)
                before = completed()
                wait(lambda: completed() > before, "no slot is completed", patience=LONG)
                seen = {
                    "alert": alert(address),
                    "log": lines(node),
                    "node": node.get("/v1/node"),
                    "events": node.events(),
                    "top": node.command("top", "--once"),
                    "failed": node.get("/v1/slots?state=failed")["slots"],
                }
            return seen | {"trace": end()}


def check() -> str:
    seen = play()
    if place := os.environ.get("VORTEX_DRILL_OUT"):
        Path(place).write_text(json.dumps(seen, indent=1))
    problems = []
    remedy = next(line for line in seen["log"] if line.get("event") == "memory.remedy" and line["remedy"] == "restart")
    model, held, budget = remedy["model"], remedy["used"], remedy["budget"]
    if model != "liveportrait" or held <= budget:
        problems.append(f"the log does not name the model and its bytes: {remedy}")
    hard = next((line for line in seen["log"] if line.get("event") == "memory.pressure_changed" and line["to"] == "hard"), None)
    if not hard or hard["used"] < hard["limit"]:
        problems.append(f"the log does not tell that the hard limit was reached, and by how much: {hard}")
    description = seen["alert"]["annotations"]["description"]
    if not re.search(rf"up to [0-9.]+GB, limit 11.5GB\. Done: restart {model};", description):
        problems.append(f"the alert does not name the bytes, the remedy and the model: {description}")
    told = [event for event in seen["events"] if event.get("event") == "memory_remedy" and event["remedy"] == "restart"]
    if not told or (told[0]["model"], told[0]["used"], told[0]["budget"]) != (model, held, budget):
        problems.append(f"the API's events do not tell what the log tells: {told}")
    problems += [f"a failed slot does not tell who holds what it needed: {slot}" for slot in seen["failed"] if not re.search(r"largest holders: flux resident [0-9.]+ GB", slot["message"])]

    traces = traced(seen["trace"])
    befallen = [lines for lines in traces if any(f"memory_remedy   remedy=restart model={model} used={held} budget={budget}" in line for line in lines)]
    if not befallen or not all(any("to=hard" in line for line in lines) and any(f"actor_down   actor={model}" in line for line in lines) for lines in befallen):
        problems.append(f"no trace of a slot tells what befell it: {traces}")

    # The runbook shows what really comes, in every line but for the numbers.
    section = (DEPLOY / "RUNBOOK.md").read_text().partition("## A hard limit at 3 a.m.")[2].partition("\n## ")[0]
    alert_text, log_text, trace_text = re.findall(r"```text\n(.*?)```", section, re.S)[:3]
    if bare(description) not in bare(alert_text) or bare(seen["alert"]["annotations"]["summary"]) not in bare(alert_text):
        problems.append(f"the runbook's alert is not what comes: {seen['alert']['annotations']}")
    real = {bare(shown(line)) for line in seen["log"] if line.get("event") in EVENTS}
    problems += [f"the runbook's log has what did not come: {line}" for line in log_text.splitlines() if ALWAYS.search(line) and bare(line) not in real]
    spans = {bare(line) for lines in traces for line in lines}
    problems += [f"the runbook's trace has what did not come: {line}" for line in trace_text.splitlines() if ALWAYS.search(line) and bare(line) not in spans]
    if len(ALWAYS.findall(trace_text)) < 3:
        problems.append("the runbook's trace does not show the event")
    if len(ALWAYS.findall(log_text)) < 5:
        problems.append("the runbook's log does not show the event from its beginning to its end")
    fail_if(problems)
    return f"{model} restarted at {held / 1e9:.1f} GB of a budget of {budget / 1e9:.1f} GB"
