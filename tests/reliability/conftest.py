"""The campaign: every test is one case, counted by area.

The short form, a part of the cases of each area, runs in `make test`. The medium form has every case, the long form,
`make test-long`, also more kills, more bits and all wrong values; these and the record of the counts are made by
`campaign.py`, which sets the variables `RELIABILITY_FORM` and `RELIABILITY_COUNTS`.
"""

import collections
import hashlib
import json
import os
from pathlib import Path

import pytest

COUNTS: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
FAILED: list[str] = []
# Share of an area's cases in the short form, so that all of it takes a few minutes on one core.
SHARES = {
    "kills": 0.15,
    "at once": 0.15,
    "bit flips": 0.2,
    "damaged files": 0.15,
    "malicious files": 0.3,
    "full disk": 0.12,
    "memory limit": 0.2,
    "read-only folders": 0.15,
    "bad inputs": 0.2,
    "module catalogue": 0.2,
    "Hugging Face": 0.15,
    "keys: changes": 0.15,
    "right numbers": 0.2,
}


def pytest_configure(config):
    config.addinivalue_line("markers", "area(name): the line of the campaign's table in which a test is counted")


def pytest_collection_modifyitems(config, items):
    """In the short form, keep the cases whose names fall into the share: the same in every process and every run."""
    if os.environ.get("RELIABILITY_FORM") in ("medium", "long"):
        return
    kept, left = [], []
    for item in items:
        area = next((mark.args[0] for mark in item.iter_markers("area")), None)
        chance = int(hashlib.sha256(item.nodeid.encode()).hexdigest()[:8], 16) / 2**32
        (kept if chance < SHARES.get(area, 1.0) else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.area = next((mark.args[0] for mark in item.iter_markers("area")), None)
    return report


def pytest_runtest_logreport(report):
    area = getattr(report, "area", None)
    if area is None or report.skipped or (report.when != "call" and not report.failed):
        return
    COUNTS[area]["total"] += 1
    COUNTS[area]["passed"] += report.passed
    if report.failed:
        FAILED.append(report.nodeid.removeprefix("tests/reliability/"))


def pytest_sessionfinish(session):
    path = os.environ.get("RELIABILITY_COUNTS")
    if path and COUNTS:
        areas = {area: dict(count) for area, count in sorted(COUNTS.items())}
        Path(path).write_text(json.dumps({"areas": areas, "failed": sorted(FAILED)}, indent=1) + "\n")


@pytest.fixture(scope="session")
def child():
    """A child without the tests' type checker that runs one function after the other, and is replaced when it dies."""
    from reliability_children import Worker

    with Worker() as worker:
        yield worker
