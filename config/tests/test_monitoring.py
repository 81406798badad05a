"""deploy/monitoring and its documents ask for what is measured, and each alert says what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from config.testing import documents, log_fields
from config.testing.starts import BASE_DIR
from experience.sessions.relay import RedisAway, RedisSlow
from proxy import metrics
from proxy.core.causes import Cause
from proxy.core.errors import TOKEN_REASONS, GatewayError, TooMany
from proxy.core.tickets import TICKET_REASONS

MONITORING = BASE_DIR / "deploy/monitoring"
RULES: dict[str, Any] = yaml.safe_load((MONITORING / "rules.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
# Of Prometheus itself, by the scrape and the rules, and of its library.
ITS_OWN = {
    "up": {"job", "instance"},
    "ALERTS": {"alertname", "alertstate"},
    "process_start_time_seconds": {"job", "instance"},
}
_SELECTOR = re.compile(rf"\b(gateway_websocket_\w+|{'|'.join(ITS_OWN)})\b(?:\{{([^}}]*)\}})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPED = re.compile(r"\b(?:by|without|on)\s*\(([^)]*)\)")
_ENDS = re.compile(r"_(bucket|count|sum)$")


def of_code() -> dict[str, set[str]]:
    """Every series that a node tells, with its labels."""
    series: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            labels, name = set(metric._labelnames), family.name
            if getattr(metric, "_multiprocess_mode", "").endswith("all"):
                labels.add("pid")
            if family.type == "histogram":
                series |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
            else:
                name += "_total" if family.type == "counter" else ""
                series[name.replace(metrics.CONNECTIONS_INNER_NAME, metrics.CONNECTIONS_NAME)] = labels
    return {name: labels | {"instance", "job"} for name, labels in series.items()} | ITS_OWN


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Where it stands, and an expression, of the rules and the dashboard."""
    yield from ((rule["alert"], rule["expr"]) for rule in ALERTS)
    for panel in panels():
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    yield from ((each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert found is not None
            yield variable["name"], f"count by ({found[2]}) ({found[1]})"


def test_rules_and_dashboard_name_only_metrics_and_labels_that_exist() -> None:
    known = of_code()
    asked = list(queries())
    assert len(asked) > 60
    for where, query in asked:
        found = _SELECTOR.findall(query)
        assert found, where
        labels = {label for name, _ in found for label in known.get(name, set())}
        for name, matchers in found:
            assert name in known, (where, name)
            assert set(_MATCHER.findall(matchers)) <= known[name], (where, name, matchers)
        for grouped in _GROUPED.findall(query):
            assert {each.strip() for each in grouped.split(",")} <= labels, (where, grouped)


def test_series_of_the_rules_tests_exist_with_all_their_labels() -> None:
    known = of_code()
    tests = yaml.safe_load((MONITORING / "rules_test.yml").read_text())["tests"]
    for series in (each["series"] for test in tests for each in test["input_series"] or ()):
        ((name, matchers),) = _SELECTOR.findall(series)
        given = set(_MATCHER.findall(matchers))
        assert known[name] - {"job"} <= given | {"job"}, series
        assert given <= known[name], series


def test_the_dashboard_shows_every_metric() -> None:
    shown = " ".join(query for _, query in queries())
    names = {_ENDS.sub("", name) for name in of_code()} - set(ITS_OWN)
    assert [name for name in sorted(names) if not re.search(rf"\b{name}(_bucket)?\b", shown)] == []


def test_legends_show_labels_that_their_query_keeps() -> None:
    for panel in panels():
        for target in panel["targets"]:
            kept = {each.strip() for found in _GROUPED.findall(target["expr"]) for each in found.split(",")}
            named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            assert named <= kept, panel["title"]


def test_panels_lie_side_by_side_on_grafanas_grid_and_have_ids_of_their_own() -> None:
    taken: dict[tuple[int, int], int] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for place in (
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        ):
            assert taken.setdefault(place, panel["id"]) == panel["id"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_reasons_that_alerts_look_for_are_some_that_the_code_gives() -> None:
    def codes(error: type[GatewayError]) -> Iterator[str]:
        yield error.code
        for narrower in error.__subclasses__():
            yield from codes(narrower)

    assert (RedisAway.code, RedisSlow.code) == ("redis_away", "redis_timeout")
    known = {*codes(GatewayError), *TOKEN_REASONS, TooMany("per_ip", limit=1, retry_after_seconds=1).outcome}
    text = (MONITORING / "rules.yml").read_text()
    asked = {
        each
        for found in re.findall(r'(?:reason|cause)[=!]~?"([^"(]+)"', text)
        for each in found.split("|")
        if each != Cause.GATEWAY_FAILED
    }
    assert len(asked) > 5
    assert [each for each in sorted(asked) if not any(re.fullmatch(each, code) for code in known)] == []


def test_each_reason_of_a_token_or_ticket_is_looked_for_or_left_to_its_client() -> None:
    """A new one has to be decided on."""
    of_its_client = {"missing", "conflicting", "expired", "revoked", *TICKET_REASONS}
    looked_for = re.findall(r'cause=~"token_\(([^)]+)\)"', (MONITORING / "rules.yml").read_text())
    assert len(set(looked_for)) == 1
    assert sorted([*looked_for[0].split("|"), *of_its_client]) == sorted([*TOKEN_REASONS, *TICKET_REASONS])


def test_each_alert_has_its_section_in_the_runbook_and_its_row_in_the_table() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert [rule["annotations"]["runbook"] for rule in ALERTS] == [
        f"docs/runbook.md#{name.lower()}" for name in names
    ]
    assert re.findall(r"^### (\w+)$", documents.read("runbook.md"), re.MULTILINE) == names
    rows = documents.table(documents.read("monitoring.md"), "alert", "fires when", "why this figure")
    assert [name for name, _, _ in rows] == names


def test_each_alert_is_played_until_it_fires() -> None:
    fired = set(
        re.findall(r'labels: \'ALERTS\{alertname="(\w+)"', (MONITORING / "rules_test.yml").read_text())
    )
    assert fired == {rule["alert"] for rule in ALERTS}


def test_every_field_of_a_log_line_is_documented_and_nothing_else() -> None:
    fields = log_fields.of_code()
    rows = documents.table(documents.read("monitoring.md"), "field", "says")
    of_kicks = {
        "user_ids",
        "user_ids_in_all",
        "connection_ids",
        "connection_ids_in_all",
    }  # named by a variable
    assert len(fields) > 70
    assert {name for name, _ in rows} == fields | of_kicks
    assert not fields & {"event", "level", "logger", "timestamp", "exception"}  # they would hide a line's own


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return found


def passes(*command: str, cwd: Path = MONITORING) -> None:
    checked = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_promtool_takes_the_configuration_and_the_rules_and_plays_their_tests(promtool: str) -> None:
    passes(promtool, "check", "config", "prometheus.yml")
    passes(promtool, "check", "rules", "--lint=all", "--lint-fatal", "rules.yml")
    passes(promtool, "test", "rules", "rules_test.yml")


def test_promtool_parses_every_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, (_, query) in enumerate(queries())
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    passes(promtool, "check", "rules", "rules.yml", cwd=tmp_path)
