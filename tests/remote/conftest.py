"""A frontend under each shell and with the attendant, on memory where there is some.

Syncing a busy disk would take most of the time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.frontend import Frontend, remove
from tests.remote.shells import ATTENDED, Shell, attendant, busybox_commands, install, shells

#: Where busybox' own commands differ most from GNU's. All others run with it where there is time (`make shells`).
WITH_BUSYBOX = {"test_prune", "test_staging", "test_verify", "test_words"}
#: Tests of commands that the attendant leaves to the script.
OF_THE_SCRIPT = {f"test_{name}" for name in ("discard", "prune", "recipe", "rotation", "site")}


@pytest.fixture(scope="session")
def busybox() -> Iterator[Path]:
    """The directory of busybox' commands; any account may use them."""
    with tempfile.TemporaryDirectory(prefix="lockstep-busybox-") as directory:
        Path(directory).chmod(0o755)
        yield busybox_commands(Path(directory, "bin"))


@pytest.fixture(scope="session")
def all_shells(busybox: Path) -> dict[str, Shell]:
    """All of them, for tests that divide their work among them.

    They run a copy of the script: other accounts may not be able to read the checkout.
    """
    return shells(busybox, install(busybox.parent / "lockstep-frontend"))


@pytest.fixture(scope="session", params=["dash", "busybox", "attendant", pytest.param("bash", marks=pytest.mark.long)])
def shell(request: pytest.FixtureRequest, all_shells: dict[str, Shell]) -> Shell:
    """Each in turn; some where there is time (`make shells`), and in the tests that divide their work among all."""
    if request.param == "attendant":
        return attendant(all_shells["dash"].script)
    return all_shells[request.param]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is asked of one command is not asked of an attendant that leaves it to the script."""
    for item in items:
        if _param(item, "shell") == "busybox" and item.path.stem not in WITH_BUSYBOX:
            item.add_marker(pytest.mark.long)
    others = [item for item in items if _left_to_the_script(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def _left_to_the_script(item: pytest.Item) -> bool:
    if _param(item, "shell") != "attendant":
        return False
    return item.path.stem in OF_THE_SCRIPT or (_param(item, "command") or "arm").encode() not in ATTENDED


def _param(item: pytest.Item, name: str) -> str | None:
    # Items of all folders come here.
    params: dict[str, str] = getattr(getattr(item, "callspec", None), "params", {})
    return params.get(name)


@pytest.fixture
def ground() -> Iterator[Path]:
    """A directory that any account may enter, with something of somebody else's in it."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="lockstep-", dir=memory if os.access(memory, os.W_OK) else None))
    made.chmod(0o755)
    (made / "beside").mkdir()
    (made / "beside/mine").write_bytes(b"not Lockstep's\n")
    try:
        yield made
    finally:
        remove(made)


@pytest.fixture
def frontend(shell: Shell, ground: Path) -> Frontend:
    """A frontend whose tree was made, at epoch 0."""
    made = Frontend(shell, ground / "root")
    made.make()
    return made
