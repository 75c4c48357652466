"""A lab of up to 1,000 frontends that share one sshd and one nginx: each has a root and a port of its own.

A machine that runs an sshd and an nginx for each of 1,000 frontends measures little but these. To Lockstep a frontend
is an address, a root and a URL, so it sees no difference.
"""

from __future__ import annotations

import os
import pwd
import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from deploy import programs
from deploy.lab import Lab, addresses, configuration, servers
from deploy.lab.addresses import PORTS
from deploy.lab.blueprint import Blueprint, Frontend, check_directory
from deploy.lab.daemon import Daemon
from deploy.lab.errors import LabError
from deploy.lab.openssh import make_key, optional_lines, public_key
from deploy.nginx.recipe import render_together

APPS = {"ToDo": "/ToDo/"}
#: Of sshd's options, what stands on its command line counts before its file: a whole fleet logs in at once.
MANY_LOGINS = ("-o", "MaxStartups=4096", "-o", "MaxSessions=256", "-o", "LoginGraceTime=600")
#: Connections beside those on which nginx listens.
CLIENTS = 1024


@contextmanager
def shared_servers(directory: Path, frontends: int) -> Iterator[Lab]:
    """Start it in a directory that is not there yet; at the end all of it is gone. The servers are those of `fe1`."""
    blueprint = _blueprint(directory.resolve(), frontends)
    lab = Lab(blueprint)
    try:
        _write(blueprint)
        first = lab.frontends[0]
        sshd = lab.sshd(first.name)
        daemons = [replace(sshd, argv=(*sshd.argv, *MANY_LOGINS)), lab.nginx(first.name)]
        _start(daemons)
        yield lab
    finally:
        lab.down()


def _start(daemons: list[Daemon]) -> None:
    for daemon in daemons:
        daemon.start()
    for daemon in daemons:
        daemon.wait()


def _blueprint(directory: Path, frontends: int) -> Blueprint:
    check_directory(directory)
    chosen = addresses.choose(1)
    # These are free only until somebody begins.
    others = {chosen.ssh_port, chosen.balancer_port, chosen.service_port}
    address, port = chosen.of(1), _free_ports(chosen.of(1), frontends, others)
    directory.mkdir(mode=0o700)
    blueprint = Blueprint(
        directory=directory,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        balancer_port=chosen.balancer_port,
        service_port=chosen.service_port,
        apps=APPS,
        programs={name: str(path) for name, path in programs.require(servers.PROGRAMS).items()},
        frontends=tuple(
            Frontend(f"fe{number}", address, chosen.ssh_port, port + number, directory / f"fe{number}")
            for number in range(1, frontends + 1)
        ),
    )
    # By it `lockstep lab down` ends what a killed run left behind.
    blueprint.file.write_text(blueprint.text())
    return blueprint


def _free_ports(address: str, count: int, others: Collection[int]) -> int:
    """A port of which the `count` next ones are free, and none of `others`."""
    for _ in range(100):
        base = random.randrange(PORTS.start, PORTS.stop - count - 1)
        ports = range(base + 1, base + count + 1)
        if not any(port in ports for port in others) and all(addresses.is_free(address, port) for port in ports):
            return base
    raise LabError("no free ports for the lab", expected=f"{count} in a row on {address}")


def _write(lab: Blueprint) -> None:
    ssh_keygen, first = lab.programs["ssh-keygen"], lab.frontends[0]
    for frontend in lab.frontends:
        frontend.root.mkdir(parents=True)
    for directory in (first.sshd / "home", first.nginx / "scratch", lab.haproxy, lab.service):
        directory.mkdir(parents=True)
    make_key(ssh_keygen, lab.client_key)
    make_key(ssh_keygen, first.host_key)
    lab.authorized_keys.write_text(public_key(lab.client_key) + "\n")
    options = optional_lines(lab.programs["sshd"], lab.client_key)
    (first.sshd / "sshd_config").write_text(configuration.sshd_config(lab, first, options))
    connections = len(lab.frontends) + CLIENTS
    conf = configuration.nginx_conf(first, as_root=os.geteuid() == 0, connections=connections)
    (first.nginx / "nginx.conf").write_text(conf)
    sites = {str(each.root): [f"{each.address}:{each.http_port}"] for each in lab.frontends}
    (first.nginx / "recipe.conf").write_text(render_together(sites))
    key = public_key(first.host_key)
    lab.inventory.write_text(configuration.inventory(lab, {each.name: key for each in lab.frontends}))
