"""The long proof of over-the-air updates in its short form; `make ota` plays all of it."""

from __future__ import annotations

from pathlib import Path

from tests.ota.proof import passed, play


def test_deployments_without_pause_are_whole_for_devices_of_both_behaviours(tmp_path: Path) -> None:
    said: list[str] = []
    figures = play(tmp_path, deployments=6, frontends=3, clients=4, say=said.append)
    assert passed(figures), figures
    assert figures["upgrades"]["failed"] == figures["upgrades"]["missed"] == 0
    assert figures["samples"] == []
