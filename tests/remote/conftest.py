"""A frontend under each shell, on memory where there is some: syncing a busy disk would take most of the time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.frontend import Frontend, remove
from tests.remote.shells import SCRIPT, Shell, busybox_commands, shells


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
    return shells(busybox, Path(shutil.copy(SCRIPT, busybox.parent)))


@pytest.fixture(scope="session", params=["dash", "busybox", pytest.param("bash", marks=pytest.mark.long)])
def shell(request: pytest.FixtureRequest, all_shells: dict[str, Shell]) -> Shell:
    """Each in turn; bash where there is time (`make shells`), and in the tests that divide their work among all."""
    return all_shells[request.param]


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
