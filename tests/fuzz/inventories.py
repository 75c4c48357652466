"""Inventory files: `loader.load`."""

from __future__ import annotations

import json
import math
import re
import tempfile
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from ruamel.yaml import YAML

from inventory import hostkey, loader
from inventory.model import Fleet, Inventory
from inventory.problem import InventoryError
from tests.fuzz.mutation import ABYSSES, mutate_bytes, mutate_value, pick, spelled
from tests.fuzz.target import Target
from tests.unit.inventory.documents import VALID, host_key

SMALL = f"""\
apps: {{A: {{mount: /A/}}}}
environments:
  P:
    fleets:
      w:
        apps: [A]
        gates: {{on_abort: {{command: [/t, -x], seconds: 5}}}}
        defaults: {{user: d, root: /srv/l}}
        frontends:
          f: {{address: 10.0.0.1, host_key: {host_key(1)}, url: "http://10.0.0.1"}}
"""
_PIECES = tuple(
    piece.encode()
    for piece in (
        *(
            "&a ",
            "*a",
            "<<: ",
            "!!str ",
            "!!python/object:os.system ",
            "? ",
            "- ",
            ": ",
            ", ",
            "{",
            "}",
            "[",
            "]",
            "|\n",
        ),
        *(">-\n", "---\n", "...\n", "%YAML 1.1\n", "# ", "'", '"', "~", "yes", "0o17", "0b1", "1:30", ".inf", ".nan"),
        *(
            "2001-01-01",
            "\\U00110000",
            '"\\UFFFFFFFF"',
            '"\\U00110000"',
            "\\x00",
            "http://",
            "?",
            "#",
            "@",
            "/..",
            "/../",
            "//",
            "_url: ",
            "port: ",
            "all",
        ),
    )
)
_BASE_URL = re.compile(r"https?://[^/?#@\s]+")


class Inventories(Target[bytes]):
    """Bytes that may be an inventory."""

    name = "inventories"

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="lockstep-fuzz-")
        self._path = Path(self._directory.name, "inventory.yml")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.cleanup()

    def make(self, random: Random) -> bytes:
        text = SMALL if random.random() < 0.99 else VALID
        match random.randrange(20):
            case 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7:
                value: Any = _DOCUMENTS[text]
                for _ in range(random.randint(1, 2)):
                    value = mutate_value(random, value)
                return spelled(random, value)
            case 8 if random.random() < 0.1:
                return text.encode().replace(b"mount: ", b"mount: " + pick(random, ABYSSES)[:2000], 1)
            case 9 if random.random() < 0.02:
                return _billion_laughs(random)
            case 10 if random.random() < 0.6:
                escape = pick(
                    random,
                    (b"UFFFFFFFF", b"U00110000", b"U7FFFFFFF", b"U00200000", b"x00", b"uD800", b"q", b"u12", b"N"),
                )
                return text.encode().replace(b"mount: /A/", b'mount: "\\' + escape + b'"')
            case 10:
                return (b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16"), text.encode("latin-1"))[
                    random.randrange(3)
                ]
            case _:
                return mutate_bytes(random, text.encode(), _PIECES, most=2)

    def check(self, made: bytes) -> bool:
        self._path.write_bytes(made)
        try:
            inventory = loader.load(self._path)
        except InventoryError as error:
            assert error.problems
            for problem in error.problems:
                assert 1 <= problem.line <= made.count(b"\n") + 1
                assert all(line.isprintable() for line in str(problem).split("\n"))
                json.dumps(problem.as_dict()).encode()
            return False
        self._check_same(inventory)
        for fleet in inventory.fleets:
            _check_fleet(fleet)
        return True

    def _check_same(self, inventory: Inventory) -> None:
        """Written and read again it is the same, as a file and as the ledger keeps it."""
        self._path.write_text(json.dumps(document(inventory)))
        assert loader.load(self._path) == inventory
        for fleet in inventory.fleets:
            assert Fleet.model_validate(json.loads(json.dumps(fleet.model_dump(mode="json")))) == fleet


def document(inventory: Inventory) -> dict[str, Any]:
    """The inventory as its file would say it."""
    apps: dict[str, Any] = {}
    # In the order of the file, and with what is said of each as a whole.
    environments: dict[str, Any] = {
        each.name: {"fleets": {}, "distribution": {}, **each.model_dump(mode="json", exclude={"name", "order"})}
        for each in inventory.environments
    }
    for fleet in inventory.fleets:
        value = fleet.model_dump(mode="json", exclude={"environment", "name", "four_eyes"}, exclude_none=True)
        here = environments[fleet.environment]
        here["distribution"].update({app["name"]: app.pop("distribution") for app in value["apps"]})
        apps.update({app.pop("name"): app for app in value["apps"]})
        value["apps"] = [app.name for app in fleet.apps]
        value["frontends"] = {frontend.pop("name"): frontend for frontend in value["frontends"]}
        here["fleets"][fleet.name] = value
    return {"apps": apps, "environments": environments}


def _check_fleet(fleet: Fleet) -> None:
    for app in fleet.apps:
        assert ".." not in app.mount.split("/")
    for value in fleet.policy.model_dump().values():
        assert not isinstance(value, float) or math.isfinite(value)
    for _, gate in fleet.gates:
        assert gate is None or (gate.command[0].startswith("/") and not any("\0" in word for word in gate.command))
        assert gate is None or 0 < gate.seconds <= 3600
    for frontend in fleet.frontends:
        assert frontend.root.startswith("/")
        assert not {"", ".", ".."} & set(frontend.root.split("/")[1:])
        assert _BASE_URL.fullmatch(frontend.base_url), frontend.base_url
        hostkey.fingerprint(frontend.host_key)


def _billion_laughs(random: Random) -> bytes:
    width, depth = pick(random, ((2, 3), (9, 9), (2, 40), (100, 4)))
    lines = ["a0: &a0 x"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    return "\n".join([*lines, f"apps: *a{depth - 1}", ""]).encode()


_DOCUMENTS = {text: YAML(typ="safe", pure=True).load(text) for text in (SMALL, VALID)}
