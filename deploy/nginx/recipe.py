"""The nginx recipe: the template beside this file, with a frontend's root, its addresses and its name filled in.

What the rendered file does, and why, is in docs/serving.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from ipaddress import IPv4Address, IPv6Address

#: An absolute path without `.` and `..`: the frontend script takes no other root (docs/protocol.md, "On a frontend").
ROOT = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
#: nginx's `listen`: a port, perhaps after an address (IPv6 in brackets), then the words that make sense here.
LISTEN = re.compile(
    r"(?:(?:\*|(?P<v4>[0-9.]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\]):)?"
    r"(?P<port>[0-9]{1,5})(?P<words>(?: (?:default_server|ssl))*)"
)
SERVER_NAME = re.compile(r"_|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
#: The segment under which an app is mounted, as nginx's patterns spell it: the names that an inventory allows.
SEGMENT = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
#: How the template's server begins.
_SERVER = "\nserver {"


def render(*, root: str, listen: Sequence[str], server_name: str = "_") -> str:
    """The configuration of one frontend, for nginx's ``http`` context: maps and one server.

    Args:
        root: The frontend's root, an absolute path of plain letters.
        listen: Addresses as nginx's ``listen`` takes them: ``8080``, ``10.0.0.11:8080`` or ``[::1]:8080``, each
            perhaps followed by ``default_server`` or ``ssl``.
        server_name: The host name under which the apps are served, or ``_`` where the address alone tells.

    Raises:
        ValueError: A value does not have its form; the text says which one, and what was expected.
    """
    if ROOT.fullmatch(root) is None:
        raise ValueError(f"root: expected an absolute path of letters, digits, '.', '_' and '-', found {root!r}")
    if SERVER_NAME.fullmatch(server_name) is None:
        raise ValueError(f"server_name: expected a host name or _, found {server_name!r}")
    if isinstance(listen, str) or not listen:
        raise ValueError(f"listen: expected a list of at least one address, found {listen!r}")
    if len(set(listen)) < len(listen):
        raise ValueError(f"listen: the same address twice in {list(listen)!r}")
    for address in listen:
        _check_listen(address)
    template = files(__package__).joinpath("lockstep.conf.in").read_text(encoding="utf-8")
    lines = "\n".join(f"    listen {address};" for address in listen)
    options = {"listen": list(listen), "server_name": server_name}
    for placeholder, text in (
        ("@OPTIONS@", json.dumps(options, separators=(",", ":"), sort_keys=True)),
        ("@SEGMENT@", SEGMENT),
        ("@LISTEN@", lines),
        ("@SERVER_NAME@", server_name),
        ("@ROOT@", root),
    ):
        template = template.replace(placeholder, text)
    return template


def render_together(sites: Mapping[str, Sequence[str]]) -> str:
    """The configuration of several frontends that one nginx serves: the maps, which know no root, and their servers.

    `sites` maps each root to what its server listens on, both as of `render`, which raises.
    """
    rendered = [render(root=root, listen=listen) for root, listen in sites.items()]
    maps = rendered[0].partition(_SERVER)[0]
    return maps + "".join(_SERVER + text.partition(_SERVER)[2] for text in rendered)


def render_again(options: str, *, root: str) -> str:
    """The recipe of a frontend whose installed one tells `options` in its first line, whoever wrote that.

    Raises:
        ValueError: They are no options that `render` takes.
    """
    try:
        found = json.loads(options)
    except RecursionError as error:
        raise ValueError("options: too many brackets") from error
    if not isinstance(found, dict) or found.keys() != {"listen", "server_name"}:
        raise ValueError("options: expected listen and server_name")
    listen, server_name = found["listen"], found["server_name"]
    if not isinstance(listen, list) or not all(isinstance(text, str) for text in (*listen, server_name)):
        raise ValueError("options: expected texts")
    return render(root=root, listen=listen, server_name=server_name)


def _check_listen(address: str) -> None:
    expected = f"listen: expected a port, or address:port (such as 10.0.0.11:8080 or [::1]:8080), found {address!r}"
    found = LISTEN.fullmatch(address)
    if found is None or not 1 <= int(found["port"]) <= 65_535:
        raise ValueError(expected)
    try:
        if found["v4"] is not None:
            IPv4Address(found["v4"])
        if found["v6"] is not None:
            IPv6Address(found["v6"])
    except ValueError as error:
        raise ValueError(expected) from error
    words = found["words"].split()
    if len(set(words)) < len(words):
        raise ValueError(f"listen: the same word twice in {address!r}")
