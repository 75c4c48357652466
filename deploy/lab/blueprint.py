"""What a lab is made of: its frontends, addresses, programs and places. Fixed by `up`, kept in `lab.json`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.lab.addresses import BALANCER
from deploy.lab.errors import LabError

#: An inventory's root has this form, and every file of the servers' configuration can name it as it is.
PLAIN = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
#: sockaddr_un holds 107 characters, and HAProxy binds its socket under a longer name first (".<pid>.tmp").
LONGEST_SOCKET = 107 - len(".4194304.tmp")
MOST_FRONTENDS = 64
FILE = "lab.json"
FORMAT = 2


@dataclass(frozen=True, slots=True)
class Frontend:
    """One server: where its sshd and its nginx listen, and its directory."""

    name: str
    address: str
    ssh_port: int
    http_port: int
    directory: Path

    @property
    def url(self) -> str:
        """Where its nginx answers."""
        return f"http://{self.address}:{self.http_port}"

    @property
    def root(self) -> Path:
        """The root of its tree, empty until a worker makes the tree."""
        return self.directory / "root"

    @property
    def sshd(self) -> Path:
        """The directory of its sshd: configuration, host key, log, and `home`."""
        return self.directory / "sshd"

    @property
    def nginx(self) -> Path:
        """The directory of its nginx: configuration, logs, scratch."""
        return self.directory / "nginx"

    @property
    def host_key(self) -> Path:
        """The private key that its sshd shows now; the public one has `.pub` at its end."""
        return self.sshd / "host_key"

    @property
    def access_log(self) -> Path:
        """A JSON object on each line for each request: time, request, status, activation, pin."""
        return self.nginx / "access.log"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A whole lab. `apps` maps names to mount paths; `programs` names to absolute paths."""

    directory: Path
    user: str
    balancer_port: int
    service_port: int
    apps: Mapping[str, str]
    programs: Mapping[str, str]
    frontends: tuple[Frontend, ...]

    @property
    def file(self) -> Path:
        """Where this is kept."""
        return self.directory / FILE

    @property
    def url(self) -> str:
        """The fleet's address: HAProxy's."""
        return f"http://{BALANCER}:{self.balancer_port}"

    @property
    def service_url(self) -> str:
        """Where the sample app's service answers; HAProxy sends server actions there."""
        return f"http://{BALANCER}:{self.service_port}"

    @property
    def service(self) -> Path:
        """The directory of the sample app's service: its log."""
        return self.directory / "service"

    @property
    def inventory(self) -> Path:
        """The inventory file of the lab's fleet."""
        return self.directory / "inventory.yml"

    @property
    def client_key(self) -> Path:
        """The private key with which every frontend lets the user in."""
        return self.directory / "client_key"

    @property
    def authorized_keys(self) -> Path:
        """The client's public key, as sshd reads it."""
        return self.directory / "authorized_keys"

    @property
    def known_hosts(self) -> Path:
        """The host keys that the frontends had at first."""
        return self.directory / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """For people: ``ssh -F <this file> fe1``."""
        return self.directory / "ssh_config"

    @property
    def haproxy(self) -> Path:
        """The directory of HAProxy: configuration, log, admin socket."""
        return self.directory / "haproxy"

    @property
    def admin_socket(self) -> Path:
        """HAProxy's runtime API, level admin."""
        return self.haproxy / "admin.sock"

    def frontend(self, name: str) -> Frontend:
        """The frontend of that name; `LabError` where there is none."""
        for frontend in self.frontends:
            if frontend.name == name:
                return frontend
        known = ", ".join(frontend.name for frontend in self.frontends)
        raise LabError("the lab has no such frontend", expected=known, found=name)

    def text(self) -> str:
        """The content of `lab.json`."""
        document = {"format": FORMAT, **asdict(self)}
        return json.dumps(document, indent=2, default=str) + "\n"


def read(directory: Path) -> Blueprint | None:
    """The lab in this directory; None where there is none. `LabError` where the file is something else's or another's.

    Another user's is refused because what stands there is believed: which processes to end, what to run and remove.
    """
    path = directory / FILE
    try:
        check_owner(directory)
        check_owner(path)
        return _parsed(json.loads(path.read_text()), directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            "this is not the file of a lab",
            where=str(path),
            expected=f"format {FORMAT}, written by `lockstep lab up`",
            found=repr(error),
            remedy="nothing was touched; name the lab's directory with --dir, or remove the file yourself",
        ) from error


def check_owner(path: Path) -> None:
    """`LabError` where this belongs to another user."""
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise LabError(
            "this belongs to another user",
            where=str(path),
            expected=f"user {os.geteuid()}",
            found=f"user {owner}",
            remedy="run this as that user, or name another directory with --dir",
        )


def check_directory(directory: Path) -> None:
    """`LabError` where a lab can't be in this directory, because servers could not be told its name."""
    if PLAIN.fullmatch(str(directory)) is None:
        raise LabError(
            "the lab can't be in this directory",
            expected="an absolute path whose parts are letters, digits, '.', '_' and '-' and begin with no '.'",
            found=str(directory),
            remedy="name another one with --dir",
        )
    excess = len(str(directory / "haproxy" / "admin.sock")) - LONGEST_SOCKET
    if excess > 0:
        raise LabError(
            "the directory's name is too long for a Unix socket in it",
            expected=f"at most {len(str(directory)) - excess} characters",
            found=f"{len(str(directory))}: {directory}",
            remedy="name a shorter one with --dir",
        )


def _parsed(document: Any, directory: Path) -> Blueprint:
    if document["format"] != FORMAT or document["directory"] != str(directory):
        raise ValueError(f"format {document['format']} in {document['directory']}")
    frontends = tuple(Frontend(**{**each, "directory": directory / each["name"]}) for each in document["frontends"])
    rest = {key: value for key, value in document.items() if key not in ("format", "directory", "frontends")}
    return Blueprint(directory=directory, frontends=frontends, **rest)
