"""A fabfile: an archive on all frontends, unpacked there, and the link moved; a step on all before the next on any.

    python -P fabfile.py SSH_CONFIG KNOWN_HOSTS LAB TREE VERSION FRONTEND…

It imports nothing of the bench: what Fabric costs is to be Fabric's own. Without -P, Python would take the module
beside it for Fabric.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from fabric import Config, Connection, ThreadingGroup
from paramiko import RejectPolicy


class Frontend(Connection):  # type: ignore[misc]
    """Of a lab, whose frontends lie on one machine: each has its own root, where others have the same path."""

    lab = ""

    def put(self, local: str, remote: str) -> object:
        return super().put(local, f"{self.lab}/{self.original_host}/root/{remote}")


def main() -> None:
    ssh_config, known_hosts, Frontend.lab, tree, version, *names = sys.argv[1:]
    config = Config(runtime_ssh_path=ssh_config, overrides={"run": {"hide": True, "in_stream": False}})
    group = ThreadingGroup.from_connections(Frontend(name, config=config) for name in names)
    for frontend in group:
        # Fabric trusts every host at first; who knows it pins the keys.
        frontend.client.load_host_keys(known_hosts)
        frontend.client.set_missing_host_key_policy(RejectPolicy())
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory) / "release.tar"
        subprocess.run(["tar", "-C", tree, "-cf", str(archive), "."], check=True)
        group.put(str(archive), "release.tar")
    # A shell finds its frontend's root by its home.
    here = "cd ~/../../root &&"
    group.run(f"{here} mkdir -p releases/{version} && tar -C releases/{version} -xf release.tar && rm release.tar")
    group.run(f"{here} ln -s releases/{version} .next && mv -T .next current")
    group.close()


if __name__ == "__main__":
    main()
