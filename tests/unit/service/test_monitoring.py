"""Alert rules and dashboard ask for metrics that there are."""

import json
import re
from pathlib import Path

import yaml

from pacifica_fs.service import metrics
from tests.unit.documents import documents

DOCS = Path(__file__).parents[3] / "docs/monitoring"
FIGURES = {"size": 1.0}


def known():
    snapshots = metrics.Snapshots(
        lambda: FIGURES, dict, dict, lambda: 0, dict, lambda: {"here": 1.0}, lambda: (2, 1), lambda: 0.0
    )
    return set(re.findall(r"^# TYPE (\S+) ", metrics.text(snapshots), re.MULTILINE))


def test_alert_rules():
    rules = [rule for group in yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
    used = {name for rule in rules for name in re.findall(r"pacifica_fs_\w+", rule["expr"])}
    assert used and used <= known()
    assert {"pacifica_fs_oldest_bundle_seconds", "pacifica_fs_spool_free_bytes"} <= used
    assert all(rule["annotations"]["summary"] for rule in rules)


def test_dashboard():
    panels = json.loads((DOCS / "dashboard.json").read_text())["panels"]
    used = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"pacifica_fs_\w+", target["expr"])
    }
    assert used and used <= known()


def test_documents_name_metrics_that_there_are():
    for file in documents():
        used = set(re.findall(r"(?<![\w.])(pacifica_fs_[a-z_]+)(?=[ {`])", file.read_text()))
        assert used <= known(), file.name
