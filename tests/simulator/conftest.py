"""The services' logs would only repeat what the runs tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.simulator.__main__ import quiet


@pytest.fixture(autouse=True, scope="package")
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    yield
    structlog.configure(**before)
