"""An sshd that allows one channel at a time (MaxSessions 1): whoever holds it without work gives way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab import Lab
from tests.integration.operator import Operator


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with Lab.up(tmp_path / "lab", 2) as lab:
        configs = list((tmp_path / "lab").rglob("sshd_config"))
        assert configs
        for config in configs:
            rest = re.sub(r"^MaxSessions .*\n", "", config.read_text(), flags=re.MULTILINE)
            config.write_text(f"MaxSessions 1\n{rest}")
        for each in lab.frontends:
            lab.stop_sshd(each.name)
            lab.start_sshd(each.name)
        made = Operator(tmp_path, lab)
        with made.standalone():
            yield made


def test_deployments_one_after_the_other_need_one_channel(operator: Operator) -> None:
    for version in ("1.0.0", "2.0.0"):
        operator.builds(version, {"index.html": version.encode()})
        assert operator.reads("deploy", "web", f"ToDo={version}")["state"] == "done"
    # No connection was opened for it anew.
    assert operator.reads("rollback", "web")["state"] == "done"
