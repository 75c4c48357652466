"""pyinfra: its own rsync operation into a new release, then one shell operation, over all frontends at once."""

from __future__ import annotations

from tests.bench.contained import Command
from tests.bench.peers.peer import Site, bench_program, machine_program
from tests.bench.release import Release

_INVENTORY = "web = {hosts!r}\n"
_DEPLOY = """\
from pyinfra import host
from pyinfra.operations import files, server

root = host.data.root
files.rsync(name="push", src={tree!r}, dest=f"{{root}}/releases/{version}/", flags={flags!r})
server.shell(name="flip", commands=[f"cd {{root}} && ln -s releases/{version} .next && mv -T .next current"])
"""


class Pyinfra:
    """An inventory and a deploy file."""

    name = "pyinfra"

    def check(self) -> None:
        bench_program("pyinfra")
        machine_program("rsync")

    def command(self, site: Site, release: Release, previous: Release | None) -> Command:
        lab = site.lab
        common = {
            "ssh_config_file": str(site.ssh_config),
            "ssh_known_hosts_file": str(lab.blueprint.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }
        hosts = [(each.name, {**common, "root": str(each.root)}) for each in lab.frontends]
        flags = ["-a", "--checksum", "--mkpath"] + ([] if previous is None else [f"--link-dest=../{previous.version}"])
        text = _DEPLOY.format(tree=f"{release.tree}/", version=release.version, flags=flags)
        words = ["--yes", "--parallel", str(len(hosts)), "inventory.py", "deploy.py"]
        site.write("inventory.py", _INVENTORY.format(hosts=hosts))
        site.write("deploy.py", text)
        return Command([str(bench_program("pyinfra")), *words], site.scratch, {})
