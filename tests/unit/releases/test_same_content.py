from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.sources import entries
from tests.unit.releases.trees import Tree, gather, lay_out, manifest_of, tar_bytes, trees, zip_bytes


def shuffled(tree: Tree, random: Random) -> Tree:
    paths = list(tree)
    random.shuffle(paths)
    return {path: tree[path] for path in paths}


@given(trees(), st.randoms(use_true_random=False))
def test_the_digest_is_the_same_whatever_the_container_order_times_and_modes(tree: Tree, random: Random) -> None:
    expected = manifest_of(tree).digest
    with TemporaryDirectory() as name:
        base = Path(name)
        top = lay_out(shuffled(tree, random), base / "tree")
        for path in tree:
            (top / path).chmod(random.choice((0o644, 0o400, 0o755)))
            os.utime(top / path, (random.randrange(2**31), random.randrange(2**31)))
        prefix = random.choice(("", "./"))
        form = random.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
        method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        (base / "r.tar").write_bytes(tar_bytes(shuffled(tree, random), prefix=prefix, form=form))
        (base / "r.tgz").write_bytes(tar_bytes(shuffled(tree, random), prefix=prefix, form=form, compressed=True))
        (base / "r.zip").write_bytes(zip_bytes(shuffled(tree, random), method=method))
        found = {source: gather(entries(base / source)).digest for source in ("tree", "r.tar", "r.tgz", "r.zip")}
    assert set(found.values()) == {expected}, found
