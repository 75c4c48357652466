"""The servers of the lab: their files, how each is started, and when it answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from deploy.lab import answers, configuration
from deploy.lab.addresses import BALANCER
from deploy.lab.blueprint import Blueprint, Frontend
from deploy.lab.daemon import Daemon
from deploy.lab.openssh import make_key, optional_lines, public_key

#: The programs that a lab needs, by their names in `deploy.programs`.
PROGRAMS = ("sshd", "ssh", "ssh-keygen", "nginx", "haproxy")
#: A file, so that it runs wherever this package lies and whatever the working directory is.
SERVICE = Path(__file__).with_name("service.py")


class Recipe(Protocol):
    """Renders the part of nginx' configuration that serves a frontend's tree: `deploy.nginx.recipe.render`."""

    def __call__(self, *, root: str, listen: Sequence[str], server_name: str = "_") -> str:
        """Configuration for nginx' `http` block."""
        ...


def sshd(lab: Blueprint, frontend: Frontend) -> Daemon:
    """A frontend's SSH server."""
    program = lab.programs["sshd"]
    return Daemon(
        name=f"{frontend.name}'s sshd",
        directory=frontend.sshd,
        argv=(program, "-D", "-e", "-f", str(frontend.sshd / "sshd_config")),
        answers=lambda: answers.says_ssh(frontend.address, frontend.ssh_port),
    )


def nginx(lab: Blueprint, frontend: Frontend) -> Daemon:
    """A frontend's web server."""
    where = frontend.nginx
    return Daemon(
        name=f"{frontend.name}'s nginx",
        directory=where,
        argv=(lab.programs["nginx"], "-p", f"{where}/", "-c", str(where / "nginx.conf")),
        answers=lambda: answers.says_http(frontend.url),
    )


def haproxy(lab: Blueprint) -> Daemon:
    """The load balancer. It does its work when it has had an answer, good or bad, from every nginx."""

    def checks_all() -> bool:
        words = answers.rotation(lab.admin_socket)
        return all(" L7" in words.get(frontend.name, "") for frontend in lab.frontends)

    return Daemon(
        name="haproxy",
        directory=lab.haproxy,
        argv=(lab.programs["haproxy"], "-db", "-f", str(lab.haproxy / "haproxy.cfg")),
        answers=checks_all,
    )


def service(lab: Blueprint) -> Daemon:
    """The sample app's service."""
    return Daemon(
        name="the sample app's service",
        directory=lab.service,
        argv=(sys.executable, "-I", str(SERVICE), BALANCER, str(lab.service_port)),
        answers=lambda: answers.says_http(lab.service_url),
    )


def write_files(lab: Blueprint, recipe: Recipe) -> None:
    """Everything below the lab's directory that the servers and their users read, keys included."""
    ssh_keygen = lab.programs["ssh-keygen"]
    make_key(ssh_keygen, lab.client_key)
    options = optional_lines(lab.programs["sshd"], lab.client_key)
    lab.authorized_keys.write_text(public_key(lab.client_key) + "\n")
    for frontend in lab.frontends:
        for directory in (frontend.root, frontend.sshd / "home", frontend.nginx / "scratch"):
            directory.mkdir(parents=True)
        make_key(ssh_keygen, frontend.host_key)
        (frontend.sshd / "sshd_config").write_text(configuration.sshd_config(lab, frontend, options))
        conf = configuration.nginx_conf(frontend, as_root=os.geteuid() == 0)
        (frontend.nginx / "nginx.conf").write_text(conf)
        write_recipe(frontend, recipe, frontend.root)
    lab.haproxy.mkdir()
    lab.service.mkdir()
    (lab.haproxy / "haproxy.cfg").write_text(configuration.haproxy_cfg(lab))
    host_keys = {frontend.name: public_key(frontend.host_key) for frontend in lab.frontends}
    lab.known_hosts.write_text(configuration.known_hosts(lab, host_keys))
    lab.ssh_config.write_text(configuration.ssh_config(lab))
    lab.inventory.write_text(configuration.inventory(lab, host_keys))


def write_recipe(frontend: Frontend, recipe: Recipe, root: Path) -> None:
    """Have the frontend's nginx serve the tree at `root` from its next start or reload on."""
    text = recipe(root=str(root), listen=[f"{frontend.address}:{frontend.http_port}"])
    (frontend.nginx / "recipe.conf").write_text(text)
