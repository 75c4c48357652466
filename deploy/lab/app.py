"""A small web app with screens, a server action and, where it is given one, a web client for its updates.

    python -m deploy.lab.app DIRECTORY VERSION --client DIRECTORY

Its files lie in `app/`, as they are served but for a few words in `@`. Every part knows its version and the page
collects them, so that a page of two versions can't hide.
"""

from __future__ import annotations

import argparse
import json
import shutil
import zlib
from collections.abc import Sequence
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

SCREENS = ("Lists", "Edit", "About")
#: The signature of the action `SaveItem`, unless another one is wanted.
SIGNATURE = "sha256:91ab"
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
    action_signature: str = SIGNATURE,
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


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.lab.app", description="Writes the lab's sample app, ready for `lockstep release build`."
    )
    parser.add_argument("directory", type=Path, help="a folder that does not exist yet")
    parser.add_argument("version", help="what every part of the app says that it is of")
    parser.add_argument("--client", type=Path, help="the folder with the web client's files")
    parser.add_argument("--app", default="ToDo")
    parser.add_argument("--mount", default="/ToDo/")
    parser.add_argument("--signature", default=SIGNATURE, help="another one: pages must reload before they call it")
    parser.add_argument("--broken", action="store_true", help="a version that does not start")
    given = parser.parse_args(arguments)
    write_app(
        given.directory,
        given.version,
        client=given.client,
        app=given.app,
        mount=given.mount,
        action_signature=given.signature,
        broken=given.broken,
    )


if __name__ == "__main__":
    main()
