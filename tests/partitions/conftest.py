"""Where namespaces can't be, the tests say why. What each case came to is said at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.partitions.network import missing
from tests.partitions.site import Site
from tests.partitions.site import site as make_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if reason := missing():
        pytest.skip(reason)
    with make_site(tmp_path_factory.mktemp("partitions")) as made:
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A row of docs/partitions.md for each case that passed."""
    for report in terminalreporter.getreports("passed"):
        said = dict(report.user_properties)
        if "case" in said:
            terminalreporter.write_line(f"| {said['case']} | {said['ended']} | {said['seconds']} |")
