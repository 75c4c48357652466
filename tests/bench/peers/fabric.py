"""Fabric: an archive, put on all frontends by a ThreadingGroup, unpacked there, and the link moved.

`python -m tests.bench.peers.fabric SSH_CONFIG TREE LAB VERSION FRONTEND…` is such a fabfile.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.child import CHECKOUT
from tests.bench.contained import Command
from tests.bench.peers.peer import Site, this_python
from tests.bench.release import Release


class Fabric:
    """A fabfile, as its manual has it."""

    name = "fabric"

    def check(self) -> None:
        """It is one of Lockstep's own dependencies."""

    def command(self, site: Site, release: Release, previous: Release | None) -> Command:
        words = [str(site.ssh_config), str(release.tree), str(site.lab.directory), release.version, *site.names]
        return Command([*this_python("tests.bench.peers.fabric"), *words], CHECKOUT, {})


def main() -> None:
    # Imported here: the bench itself does without.
    from fabric import Config, Connection, ThreadingGroup
    from paramiko import RejectPolicy

    ssh_config, tree, lab, version, *names = sys.argv[1:]
    config = Config(runtime_ssh_path=ssh_config, overrides={"run": {"hide": True, "in_stream": False}})
    group = ThreadingGroup.from_connections([Connection(name, config=config) for name in names])
    for connection in group:
        # Fabric trusts every host at first; who knows it pins the keys.
        connection.client.load_host_keys(str(Path(ssh_config).with_name("known_hosts")))
        connection.client.set_missing_host_key_policy(RejectPolicy())
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory) / "release.tar"
        subprocess.run(["tar", "-C", tree, "-cf", str(archive), "."], check=True)
        each = _Each(lab, version)
        group.run("true")
        group.put(str(archive), remote=f"release-{version}.tar")
        each.run(
            group, "mkdir -p {root}/releases/{version} && tar -C {root}/releases/{version} -xf release-{version}.tar"
        )
        each.run(group, "cd {root} && ln -s releases/{version} .next && mv -T .next current")
    group.close()


class _Each:
    """The frontends lie on one machine: each has its own root, which its shell finds by its home."""

    def __init__(self, lab: str, version: str) -> None:
        self._lab, self._version = lab, version

    def run(self, group: Any, command: str) -> None:
        group.run(command.format(root="~/../../root", version=self._version))


if __name__ == "__main__":
    main()
