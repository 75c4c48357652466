"""A small web app with screens, a server action and, where it is given one, a web client for its updates.

Its files lie in `app/`, as they are served but for a few words in `@`. Every part knows its version and the page
collects them, so that a page of two versions can't hide.
"""

from __future__ import annotations

import json
import shutil
import zlib
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

SCREENS = ("Lists", "Edit", "About")
#: What a version's scripts throw that does not start.
FAULT = 'throw new Error("this version does not start");\n'
#: Each version has its colour.
COLOURS = ("#1068eb", "#0b7a4b", "#8a3ffc", "#b3460b")


def write_app(
    directory: Path,
    version: str,
    *,
    client: Path | None = None,
    app: str = "ToDo",
    mount: str = "/ToDo/",
    action_signature: str = "sha256:91ab",
    broken: bool = False,
) -> None:
    """Write the app's tree, ready for `lockstep release build`.

    Args:
        directory: A folder that does not exist yet.
        version: What every part says that it is of.
        client: The folder with the web client's files (`*.js`), which are copied to the top; without it the app is
            one that knows nothing of updates.
        app: The app's name, as the inventory has it.
        mount: The app's mount path.
        action_signature: The hash of the signature of the action `SaveItem`. With another one, pages of the version
            before can't call it any more.
        broken: The version's scripts throw before it is ready.
    """
    numbers = version.encode()
    words = {
        "@VERSION@": version,
        "@APP@": app,
        "@MOUNT@": mount,
        "@WIDTH@": str(128 + zlib.crc32(numbers) % 128),
        "@COLOUR@": COLOURS[sum(numbers) % len(COLOURS)],
        "@CLIENT@": "" if client is None else '<script src="lockstep.js"></script>',
        "@FAULT@": FAULT if broken else "",
    }
    _write(directory, resources.files("deploy.lab").joinpath("app"), words)
    _write_json(directory / "contract.json", contract(action_signature))
    _write_json(directory / "native.json", native(app))
    if client is not None:
        for path in client.glob("*.js"):
            shutil.copyfile(path, directory / path.name)


def contract(action_signature: str) -> dict[str, object]:
    """What the app asks of its server, and its screens: docs/ota.md."""
    screens = {screen: f"sha256:{sha256(screen.encode()).hexdigest()[:16]}" for screen in SCREENS}
    return {"format": 1, "home": SCREENS[0], "screens": screens, "actions": {"SaveItem": action_signature}}


def native(app: str) -> dict[str, object]:
    """What is built into the installed app: the same in every version."""
    return {"format": 1, "app_name": app, "icon": "img/icon.svg", "primary_color": COLOURS[0]}


def _write(directory: Path, source: Traversable, words: dict[str, str]) -> None:
    directory.mkdir(parents=True)
    for each in source.iterdir():
        if each.is_dir():
            _write(directory / each.name, each, words)
            continue
        text = each.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        (directory / each.name).write_text(text, encoding="utf-8")


def _write_json(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
