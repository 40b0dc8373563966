"""What the monitoring and deployment files name exists: metrics, labels, options, paths."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
MONITORING, DEPLOY = ROOT / "docs" / "monitoring", ROOT / "examples" / "deploy"
FUNCTIONS = {"sum", "min", "by", "le", "and", "increase", "rate", "histogram_quantile", "up"}
SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?")


def rules():
    found = yaml.safe_load((MONITORING / "alerts.rules.yml").read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


def dashboard():
    return json.loads((MONITORING / "dashboard.json").read_text())


def expressions():
    targets = [target for panel in dashboard()["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + [target["expr"] for target in targets]


def selectors(expression):
    """Yield each metric an expression names, with the labels it is asked for."""
    text = re.sub(r"\[[0-9a-z]+\]", "", expression)
    for by in re.findall(r"\bby\s*\(([^)]*)\)", text):
        text = text.replace(f"({by})", "", 1)
    for name, labels in SELECTOR.findall(text):
        if name not in FUNCTIONS:
            yield name, set(re.findall(r"([a-z_]+)\s*[=!]", labels))


@pytest.fixture(scope="module")
def exposed(tmp_path_factory):
    """Every metric the service shows, and its labels."""
    import asyncio

    sys.path.insert(0, str(ROOT / "tests" / "server"))
    from server_kit import serving

    async def scraped():
        async with serving(tmp_path_factory.mktemp("desk") / "vault") as service:
            hitl, alice = service.hitl, service.reviewer()
            for type in ("payment", "deploy"):
                request = await hitl.request_approval(type, "", {"amount": 1})
            await hitl.approve(request.id, reviewer="alice")
            await alice.get("/api/v1/requests")
            while service.serving.metrics.tally.seq < (await hitl.head()).seq:
                await asyncio.sleep(0.01)
            return (await alice.get("/metrics")).text

    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(asyncio.run(scraped())):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_and_label_that_rules_and_panels_name_exists(exposed):
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = {name for one in expressions() for name, _ in selectors(one)}
    assert len(named) > 10
    for expression in expressions():
        for name, labels in selectors(expression):
            if name in recorded:
                continue
            assert name in exposed, f"{name} of {expression}"
            assert labels <= exposed[name], expression
        for grouped in re.findall(r"\bby\s*\(([^)]*)\)", expression):
            known = set().union(*(exposed.get(name, set()) for name, _ in selectors(expression)))
            assert {label.strip() for label in grouped.split(",")} <= known, expression


def test_the_brackets_of_every_expression_are_closed():
    for expression in expressions():
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing), expression


def test_what_operators_asked_to_be_alerted_of_is_alerted():
    """Many waiting, an old one, many rejections, any expiry, dead letters, not ready."""
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    assert "hitl_pending > 10" in alerts["HitlManyPending"]["expr"]
    assert "> 7200" in alerts["HitlOldPending"]["expr"]
    assert "> 0.3" in alerts["HitlManyRejected"]["expr"]
    assert {"HitlExpired", "HitlDeadLetters", "HitlNotReady"} <= set(alerts)
    for rule in alerts.values():
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_panels_do_not_overlap_and_have_numbers_of_their_own():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        at = panel["gridPos"]
        own = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & own, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= own


def test_the_page_explains_every_metric_and_every_alert(exposed):
    page = (ROOT / "docs" / "monitoring.md").read_text()
    for name in exposed:
        plain = re.sub(r"_(total|bucket|sum|count|created)$", "", name)
        assert f"`{plain}" in page, plain
    for rule in rules():
        assert rule.get("alert", rule.get("record")) in page


def options_of_serve():
    done = subprocess.run(
        [sys.executable, "-m", "hitl_vault", "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
    )
    return set(re.findall(r"--[a-z][a-z-]+", done.stdout))


def unit():
    text = (DEPLOY / "hitl.service").read_text()
    return text, shlex.split(re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1])


def test_every_option_that_deployment_files_use_is_one_of_hitl_serve():
    container = (DEPLOY / "Containerfile").read_text()
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", container, re.MULTILINE)[1])
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    started = [unit()[1][1:], entry[1:], ["serve", *compose["services"]["hitl"]["command"]]]
    known = options_of_serve()
    for command in started:
        assert command[0] == "serve"
        assert {word.split("=")[0] for word in command if word.startswith("--")} <= known


def test_every_file_that_deployment_files_name_is_there():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    named = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
    ]
    files = [DEPLOY / name for name in named if "." in Path(name).name or name == "./Caddyfile"]
    assert len(files) == 3
    for file in files:
        assert file.resolve().is_file(), file
    assert (DEPLOY / compose["services"]["hitl"]["build"]["dockerfile"]).is_file()
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert prometheus["scrape_configs"][0]["job_name"] == "hitl"  # what the alert HitlDown names


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_is_one_that_systemd_takes(tmp_path):
    text, _ = unit()
    made = tmp_path / "hitl.service"
    binary = Path(sys.executable).with_name("hitl")
    made.write_text(text.replace("/opt/hitl/bin/hitl", str(binary)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(made)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    ours = [line for line in done.stderr.splitlines() if "hitl.service" in line]
    assert not ours, done.stderr


def test_the_unit_lets_the_service_write_its_vault_and_nothing_else():
    text, command = unit()
    vault = command[command.index("--vault") + 1]
    assert f"ReadWritePaths={vault}\n" in text
    for line in ("ProtectSystem=strict", "NoNewPrivileges=true", "CapabilityBoundingSet="):
        assert line in text.splitlines()
