"""What is staged is links to objects that were hashed. A header that calls a file of its own a link changes nothing."""

from __future__ import annotations

import tarfile

import pytest

from tests.remote.frontend import Frontend
from tests.remote.hostile import HASH, OBJECT, PLACE, STAGE
from tests.remote.packs import Member, pack
from tests.remote.test_hostile import EACH_TAR, check_nothing_came


@EACH_TAR
@pytest.mark.parametrize("name", [f"{PLACE}/x", HASH, "tree/activation/x"])
def test_a_file_with_a_target_is_no_link(frontend: Frontend, name: str) -> None:
    frontend.run("receive", STAGE.activation, stdin=STAGE.objects_pack())
    lure = Member(name, tarfile.REGTYPE, f"objects/{OBJECT}", b"content of its own")
    check_nothing_came(frontend, "assemble", pack(*STAGE.members(), lure), lure)
