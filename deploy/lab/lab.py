"""The lab: a fleet of real frontends on one machine, behind a real load balancer, on loopback addresses.

docs/lab.md is its manual. Everything it makes lies below one directory, and `down` removes that.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

from deploy import programs
from deploy.lab import addresses, answers, disk, openssh, servers
from deploy.lab.blueprint import MOST_FRONTENDS, Blueprint, Frontend, check_directory, check_owner, read
from deploy.lab.daemon import START_SECONDS, Daemon, stop
from deploy.lab.errors import LabError
from deploy.lab.status import LabStatus, look
from deploy.lab.wait import wait_until
from deploy.nginx.recipe import render

DEFAULT_APPS: Mapping[str, str] = {"ToDo": "/ToDo/"}


class Lab:
    """A lab that is up. What it is made of (`lab.frontends`, `lab.url`, …) is in its blueprint.

    Use as a context manager to take it down at the end. The methods from `stop_sshd` on are faults, each there when
    the method returns; `recipe` renders what the frontends' nginx serves.
    """

    def __init__(self, blueprint: Blueprint, recipe: servers.Recipe = render) -> None:
        self.blueprint = blueprint
        self._recipe = recipe

    @classmethod
    def up(
        cls,
        directory: Path,
        frontends: int = 3,
        *,
        apps: Mapping[str, str] = DEFAULT_APPS,
        network: str = "",
        recipe: servers.Recipe = render,
        say: Callable[[str], None] = lambda _: None,
    ) -> Lab:
        """Start a lab in a directory that is empty or not there yet, and wait until all of it answers.

        `apps` maps names to mount paths; `network` is that of the frontends' addresses (`10.0.0`) where they are not
        to be on loopback, and the machine has them; `say` hears of each stage. `LabError` where it can't be, or where
        a part does not come up; then everything that was started is ended and removed again.
        """
        if not 1 <= frontends <= MOST_FRONTENDS:
            raise LabError("that many frontends are no lab", expected=f"1 to {MOST_FRONTENDS}", found=str(frontends))
        lab = cls(_claim(directory, frontends, apps, network), recipe)
        try:
            say(f"writing keys and configuration below {lab.blueprint.directory}")
            servers.write_files(lab.blueprint, recipe)
            lab._start_all(say)
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def open(cls, directory: Path, *, recipe: servers.Recipe = render) -> Lab | None:
        """The lab in this directory, whoever started it and whatever still runs of it; None where there is none."""
        blueprint = read(directory.resolve())
        return None if blueprint is None else cls(blueprint, recipe)

    def down(self) -> None:
        """End all processes of the lab, unmount what it mounted, remove its directory. Can be repeated."""
        stop(self._daemons())
        disk.unmount_below(self.directory)
        _remove(self.blueprint)

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def directory(self) -> Path:
        """Everything of the lab lies below it."""
        return self.blueprint.directory

    @property
    def inventory_path(self) -> Path:
        """The inventory with the lab's one fleet, `Lab/web`."""
        return self.blueprint.inventory

    @property
    def url(self) -> str:
        """The fleet's address: HAProxy's."""
        return self.blueprint.url

    @property
    def frontends(self) -> tuple[Frontend, ...]:
        """The frontends, `fe1` first."""
        return self.blueprint.frontends

    def frontend(self, name: str) -> Frontend:
        """The frontend of that name; `LabError` where there is none."""
        return self.blueprint.frontend(name)

    def sshd(self, name: str) -> Daemon:
        """The SSH server of a frontend."""
        return servers.sshd(self.blueprint, self.frontend(name))

    def nginx(self, name: str) -> Daemon:
        """The web server of a frontend."""
        return servers.nginx(self.blueprint, self.frontend(name))

    @property
    def haproxy(self) -> Daemon:
        """The load balancer."""
        return servers.haproxy(self.blueprint)

    @property
    def service(self) -> Daemon:
        """The sample app's service, which answers server actions."""
        return servers.service(self.blueprint)

    def status(self) -> LabStatus:
        """What runs, and what each frontend says it serves."""
        return look(self.blueprint)

    def rotation(self) -> Mapping[str, str]:
        """HAProxy's word on each frontend: ``UP L7OK``, ``DOWN L4CON`` and the like."""
        return answers.rotation(self.blueprint.admin_socket)

    def stop_sshd(self, name: str) -> None:
        """End a frontend's SSH server, its sessions and the commands that run in them."""
        stop([self.sshd(name)])

    def start_sshd(self, name: str) -> None:
        """Start it again and wait for its banner."""
        _start([self.sshd(name)])

    def stop_nginx(self, name: str) -> None:
        """End a frontend's web server."""
        stop([self.nginx(name)])

    def start_nginx(self, name: str) -> None:
        """Start it again and wait until it answers."""
        _start([self.nginx(name)])

    def serve_elsewhere(self, name: str, directory: Path) -> None:
        """Have a frontend's web server serve the tree at another root. Its own root brings it back."""
        nginx = self.nginx(name)
        servers.write_recipe(self.frontend(name), self._recipe, directory)
        before = nginx.children()
        nginx.send(signal.SIGHUP)

        def only_new_workers() -> bool:
            now = nginx.children()
            return bool(now) and now.isdisjoint(before)

        if before and not wait_until(only_new_workers, START_SECONDS):
            raise LabError(f"{name}'s nginx did not reload", where=str(nginx.log), found=nginx.last_words())

    def new_host_key(self, name: str) -> None:
        """Have a frontend's SSH server show another key than the inventory pins."""
        sshd = self.sshd(name)
        stop([sshd])
        openssh.make_key(self.blueprint.programs["ssh-keygen"], self.frontend(name).host_key)
        _start([sshd])

    def small_disk(self, name: str, size: int) -> None:
        """Give a frontend's root, while it is still empty, a disk of `size` bytes. Needs root."""
        disk.mount(self.frontend(name).root, size)

    def _daemons(self) -> list[Daemon]:
        return [self.haproxy, self.service, *self._of_frontends()]

    def _of_frontends(self) -> Iterator[Daemon]:
        for frontend in self.frontends:
            yield servers.sshd(self.blueprint, frontend)
            yield servers.nginx(self.blueprint, frontend)

    def _start_all(self, say: Callable[[str], None]) -> None:
        say(f"starting sshd and nginx of {len(self.frontends)} frontends")
        _start(list(self._of_frontends()))
        say("starting HAProxy and the sample app's service")
        _start([self.service, self.haproxy])
        say(f"logging in to {self.frontends[0].name}")
        openssh.log_in(self.blueprint, self.frontends[0])
        # Another program's answer at the same address must not hide that one of ours ended.
        for daemon in self._daemons():
            daemon.check()


def _start(daemons: list[Daemon]) -> None:
    for daemon in daemons:
        daemon.start()
    for daemon in daemons:
        daemon.wait()


def _claim(directory: Path, frontends: int, apps: Mapping[str, str], network: str) -> Blueprint:
    """Take the directory for a new lab by writing its `lab.json`; of two who try, one gets it."""
    directory = directory.resolve()
    check_directory(directory)
    try:
        found = programs.require(servers.PROGRAMS)
    except programs.ProgramError as error:
        raise LabError(error.what, remedy=error.remedy) from error
    if read(directory) is not None:
        raise LabError(
            "there is a lab already", where=str(directory), remedy="use it, or `lockstep lab down` before the next one"
        )
    chosen = addresses.choose(frontends, network)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_owner(directory)
    if any(directory.iterdir()):
        raise LabError(
            "the directory is not empty", where=str(directory), remedy="name another one with --dir: `down` removes it"
        )
    blueprint = Blueprint(
        directory=directory,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        balancer_port=chosen.balancer_port,
        service_port=chosen.service_port,
        apps=dict(apps),
        programs={name: str(path) for name, path in found.items()},
        frontends=tuple(
            Frontend(f"fe{number}", chosen.of(number), chosen.ssh_port, chosen.http_port, directory / f"fe{number}")
            for number in range(1, frontends + 1)
        ),
    )
    with blueprint.file.open("x") as file:
        file.write(blueprint.text())
    return blueprint


def _remove(blueprint: Blueprint) -> None:
    """Remove the lab's directory, `lab.json` last: while it is there, `down` can be repeated."""
    if not blueprint.directory.is_dir():
        return
    for parent, directories, _ in os.walk(blueprint.directory):
        for name in directories:
            path = Path(parent, name)
            if not path.is_symlink():
                # Releases are read-only, and only root may remove what is in a read-only directory.
                path.chmod(0o700)
    for path in blueprint.directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != blueprint.file:
            path.unlink()
    blueprint.file.unlink()
    blueprint.directory.rmdir()
