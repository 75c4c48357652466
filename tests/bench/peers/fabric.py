"""Fabric: an archive, put on all frontends by a ThreadingGroup, unpacked there, and the link moved."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.contained import Command
from tests.bench.peers.peer import Site
from tests.bench.release import Release

FABFILE = Path(__file__).with_name("fabfile.py")


class Fabric:
    """A fabfile, as its manual has it."""

    name = "fabric"

    def check(self) -> None:
        """It is one of Lockstep's own dependencies."""

    def command(self, site: Site, release: Release, previous: Release | None) -> Command:
        lab = site.lab
        places = (site.ssh_config, lab.blueprint.known_hosts, lab.directory, release.tree)
        words = [*map(str, places), release.version, *site.names]
        return Command([sys.executable, "-P", str(FABFILE), *words], site.scratch, {})
