"""The campaign: every test is one case, counted by area.

The short form runs in `make test`. The long form, `make test-long`, has more kills, more bits, more sampled inputs; it
and the record of the counts are made by `campaign.py`, which sets the two variables below.
"""

import collections
import json
import os
from pathlib import Path

import pytest

COUNTS: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
FAILED: list[str] = []


def pytest_configure(config):
    config.addinivalue_line("markers", "area(name): the line of the campaign's table in which a test is counted")


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
