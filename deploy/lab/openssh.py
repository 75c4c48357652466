"""What the lab needs of OpenSSH besides a running server: keys, a look at what this sshd can do, and a first login."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from deploy.lab.blueprint import Blueprint, Frontend
from deploy.lab.commands import must_run, run
from deploy.lab.errors import LabError

#: Newer servers shut out an address from which somebody leaves without logging in, as a look at the banner does.
#: Older ones refuse to start with an option that they don't know.
OPTIONAL = ("PerSourcePenalties no",)

_MISSING_DIRECTORY = re.compile(r"Missing privilege separation directory: (/\S+)")


def make_key(ssh_keygen: str, path: Path) -> None:
    """A new Ed25519 key at `path` and `path`.pub, in the place of one that is there."""
    path.unlink(missing_ok=True)
    must_run([ssh_keygen, "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)])


def public_key(private: Path) -> str:
    """``ssh-ed25519 <base64>``."""
    kind, encoded, _ = private.with_name(private.name + ".pub").read_text().split(maxsplit=2)
    return f"{kind} {encoded}"


def optional_lines(sshd: str, host_key: Path) -> str:
    """Those of `OPTIONAL` that this sshd knows, as lines of its configuration. `LabError` where it can't run here.

    As root, sshd wants an empty directory that the system makes when it starts the service; here it may never have
    been started, so the directory is made. It stays: other servers may use it.
    """
    tested = _test(sshd, host_key)
    if (missing := _MISSING_DIRECTORY.search(tested.stderr)) is not None:
        Path(missing[1]).mkdir(mode=0o755, parents=True, exist_ok=True)
        tested = _test(sshd, host_key)
    if tested.returncode != 0:
        raise LabError("sshd can't run here", where=sshd, found=tested.stderr.strip())
    return "\n".join(line for line in OPTIONAL if _test(sshd, host_key, "-o", line).returncode == 0)


def log_in(lab: Blueprint, frontend: Frontend) -> None:
    """Run a command on the frontend with OpenSSH's client. `LabError` where that fails."""
    argv = [lab.programs["ssh"], "-F", str(lab.ssh_config), frontend.name, "true"]
    done = run(argv)
    if done.returncode != 0:
        raise LabError(
            f"{lab.user} can't log in to {frontend.name}",
            where=" ".join(argv),
            found=f"exit {done.returncode}: {done.stderr.strip()}",
            remedy=f"{lab.user} may be locked, or have a shell that is none: a lab needs a user who can log in",
        )


def _test(sshd: str, host_key: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run([sshd, "-t", "-f", os.devnull, "-h", str(host_key), *options])
