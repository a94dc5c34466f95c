"""deploy/: rules, dashboard and compose files speak of what there is, by the real tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from leverpack.audit.rules import STATUSES
from leverpack.cli import app
from leverpack.live.bus import ALERT_KINDS, Bus
from leverpack.monitor.auditmetrics import AuditMetrics
from leverpack.monitor.metrics import LiveMetrics
from leverpack.monitor.reasons import REASONS
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "leverpack.json"


def promtool(*args: str) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian: the package prometheus)")
    ran = subprocess.run([tool, *args], text=True, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def names() -> set[str]:
    """Every series that a run or an audit can show."""
    audit = AuditMetrics("x", 0, [], equity=None, in_bounds=True, statuses=STATUSES)
    found = {"up"}
    for registry in (LiveMetrics(Bus(), "x").registry, audit.registry):
        for family in registry.collect():
            endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
            found |= {family.name + ending for ending in endings.get(family.type, ("",))}
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def queries() -> list[str]:
    return [t["expr"] for panel in dashboard()["panels"] for t in panel["targets"]]


def used(expr: str) -> set[str]:
    return set(re.findall(r"\b(?:leverpack_\w+|up)\b", expr))


def test_rules_and_dashboard_name_what_there_is():
    known = names()
    for expr in [*(r["expr"] for r in rules()), *queries()]:
        assert used(expr) and used(expr) <= known, expr
    for query in (v["definition"] for v in dashboard()["templating"]["list"] if "query" in v
                  and v["type"] == "query"):  # fmt: skip
        assert used(query) <= known


def test_the_dashboard_shows_every_metric_of_a_run():
    shown = {n for expr in queries() for n in used(expr)}
    families = {re.sub(r"_(bucket|sum|count)$", "", n) for n in names()
                if not n.startswith("leverpack_audit")} - {"up"}  # fmt: skip
    assert families == {re.sub(r"_bucket$", "", n) for n in shown}


def test_labels_in_rules_can_occur():
    for rule in rules():
        for kind in re.findall(r'kind="(\w+)"', rule["expr"]):
            assert kind in ALERT_KINDS
        for reasons in re.findall(r'reason!?=~?"([\w|]+)"', rule["expr"]):
            assert set(reasons.split("|")) <= set(REASONS)
        for outcome in re.findall(r'outcome="(\w+)"', rule["expr"]):
            assert outcome in ("sent", "failed")
        assert rule["annotations"].keys() == {"summary", "action"}


def test_every_rule_has_a_test():
    tests = yaml.safe_load((DEPLOY / "tests" / "rules_test.yaml").read_text())["tests"]
    fired = {case["alertname"] for t in tests for case in t["alert_rule_test"]
             if case["exp_alerts"]}  # fmt: skip
    assert fired == {rule["alert"] for rule in rules()}


def test_promtool_takes_the_rules():
    promtool("check", "config", str(DEPLOY / "prometheus" / "prometheus.yaml"))
    promtool("test", "rules", str(DEPLOY / "tests" / "rules_test.yaml"))


def test_promtool_takes_the_queries_of_the_dashboard(tmp_path: Path):
    made = [
        {"record": f"query:{i}", "expr": q.replace("$__rate_interval", "1m")
         .replace("$exchange", ".*").replace("$symbol", ".*")}
        for i, q in enumerate(queries())
    ]  # fmt: skip
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": made}]}))
    promtool("check", "rules", str(file))


def test_panels_do_not_lie_on_each_other():
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
    assert len({p["id"] for p in dashboard()["panels"]}) == len(dashboard()["panels"])


@pytest.mark.parametrize("file", ["compose.yaml", "compose.sandbox.yaml"])
def test_compose_starts_commands_that_there_are(file: str):
    command: Any = typer.main.get_command(app)
    services = yaml.safe_load((DEPLOY / file).read_text())["services"]
    ours = [s for s in services.values() if s.get("image") == "leverpack"]
    assert ours
    for service in ours:
        name, *args = service["command"]
        assert "".join(args).count("{") == 0
        command.commands[name].make_context(name, list(args))  # raises for an unknown option
        for path in re.findall(r"/app/(data/\S+)", " ".join(args)):
            assert (ROOT / path).is_file()
    for service in services.values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).is_dir()


def test_the_scrape_finds_the_run():
    target = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())[
        "scrape_configs"][0]["static_configs"][0]["targets"]  # fmt: skip
    for file in ("compose.yaml", "compose.sandbox.yaml"):
        live = yaml.safe_load((DEPLOY / file).read_text())["services"]["leverpack"]["command"]
        port = next(a.partition("=")[2] for a in live if a.startswith("--metrics="))
        assert target == [f"leverpack:{port}"]


def test_no_key_gets_into_the_image():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", ".git", ".venv"} <= set(ignored)
