"""The built wheel, not only the checkout: all that the commands need is in it, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = (
    "workers/frontend/remote/lockstep-frontend",
    "workers/frontend/remote/attendant.pl",
    "deploy/nginx/lockstep.conf.in",
    "deploy/programs.lock",
    "deploy/lab/sshd_config.in",
    "deploy/lab/nginx.conf.in",
    "deploy/lab/haproxy.cfg.in",
    "deploy/lab/service.py",
    "deploy/lab/app/index.html",
    "deploy/lab/app/scripts/late.js",
    "deploy/lab/app/img/icon.svg",
    "inventory/example.yml",
    "orchestrator/adapters/ledger/migrations/env.py",
    "orchestrator/adapters/ledger/migrations/script.py.mako",
    "orchestrator/adapters/ledger/migrations/versions/0001_first.py",
)
#: Runs a command of the wheel with the packages of the wheel, whatever checkout is installed beside it.
RUN = """
import sys, importlib
sys.path.insert(0, sys.argv.pop(1))
module = importlib.import_module(sys.argv.pop(1))
assert module.__file__.startswith(sys.path[0]), module.__file__
module.main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tracked files: a build leaves traces where it is done."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=CHECKOUT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((CHECKOUT / name).read_bytes())
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", f"{source}/dist", str(source)]
    subprocess.run(words, capture_output=True, check=True)
    (made,) = (source / "dist").glob("lockstep_deploy-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel's packages."""
    target = tmp_path_factory.mktemp("installed")
    words = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(words, capture_output=True, check=True)
    return target


def run(installed: Path, module: str, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, str(installed), module, *words]
    environment = {"PATH": "/usr/bin:/bin", "LOCKSTEP_HOME": str(home)}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_carries_every_file_that_is_read_at_run_time_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(FILES) <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "deploy",
        "inventory",
        "orchestrator",
        "workers",
        "lockstep_deploy",
    }


def test_the_commands_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert "rollback" in run(installed, "orchestrator.cli", "--help", home=tmp_path).stdout
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "index.html").write_text("hello")
    built = run(
        installed, "orchestrator.cli", "release", "build", str(tree), "--app", "A", "--version", "1", home=tmp_path
    )
    assert built.returncode == 0, built.stderr
    recipe = ("frontend", "recipe", "nginx", "--root", "/srv/lockstep", "--listen", "80")
    assert "lockstep_activation" in run(installed, "orchestrator.cli", *recipe, home=tmp_path).stdout
    assert "environments:" in run(installed, "orchestrator.cli", "inventory", "example", home=tmp_path).stdout


def test_the_worker_of_the_wheel_says_what_it_lacks(installed: Path, tmp_path: Path) -> None:
    said = run(installed, "workers.app", home=tmp_path)
    assert said.returncode == 2
    assert "LOCKSTEP_BROKER_URL" in said.stderr


def test_both_commands_are_entry_points(installed: Path) -> None:
    (metadata,) = installed.glob("lockstep_deploy-*.dist-info")
    text = (metadata / "entry_points.txt").read_text()
    assert "lockstep = orchestrator.cli:main" in text
    assert "lockstep-worker = workers.app:main" in text
