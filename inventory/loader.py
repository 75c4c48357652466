"""Reads an inventory file. All that is wrong in it is found at once, each with its place.

`example.yml` beside this file is the manual of the format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from inventory import document
from inventory.document import Node
from inventory.fields import entries, fields, one_of, plain, refuse, validated
from inventory.gates import gates
from inventory.load_balancer import check_drainable, load_balancer
from inventory.model import (
    Address,
    Audits,
    BaseUrl,
    Distribution,
    Environment,
    Fleet,
    Frontend,
    Gates,
    Inventory,
    LoadBalancer,
    MountedApp,
    Name,
    Policy,
)
from inventory.problem import Place, Report, shown

#: The manual: an inventory with every field.
EXAMPLE = Path(__file__).with_name("example.yml")

#: What a fleet may set once for all its frontends.
DEFAULTS = ("user", "port", "root", "identity")

# A record's own name is its key in the file.
# How an app is distributed is an environment's to say.
APP_FIELDS = tuple(field for field in MountedApp.model_fields if field not in ("name", "distribution"))
FRONTEND_FIELDS = tuple(field for field in Frontend.model_fields if field != "name")
FLEET_FIELDS = (
    *(field for field in Fleet.model_fields if field not in ("environment", "name", "four_eyes")),
    "defaults",
)

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_HOST: TypeAdapter[str | None] = TypeAdapter(Address | None)
_DISTRIBUTION = TypeAdapter(Distribution)
_ENVIRONMENT = TypeAdapter(Environment)
_URL: TypeAdapter[BaseUrl | None] = TypeAdapter(BaseUrl | None)
_APP, _POLICY, _FRONTEND = TypeAdapter(MountedApp), TypeAdapter(Policy), TypeAdapter(Frontend)
_AUDITS = TypeAdapter(Audits)

# What the fields take that must be there, for those who left them out.
_ROOT_NEEDS = {"apps": "every app by name, each with its mount path", "environments": "environments by name"}
#: What is said of an environment itself.
OWN_FIELDS = tuple(field for field in Environment.model_fields if field not in ("name", "order"))
ENVIRONMENT_FIELDS = ("fleets", "distribution", *OWN_FIELDS)
_ENVIRONMENT_NEEDS = {"fleets": "fleets by name"}
_FLEET_NEEDS = {"apps": "a list of names under apps", "frontends": "at least one frontend by name"}
_APP_NEEDS = {"mount": "a mount path: / or /Segment/"}
_FRONTEND_NEEDS = {
    "address": "a host name or an IP address",
    "host_key": "the public key of its sshd, such as 'ssh-ed25519 AAAA…'",
    "url": "where this frontend itself answers, such as http://10.0.0.11",
    "user": "a login name, here or in the fleet's defaults",
    "root": "an absolute path, here or in the fleet's defaults",
}


def load(path: Path) -> Inventory:
    """The inventory in a file, which is at most `document.MAX_SIZE` bytes of UTF-8. Raises `InventoryError`."""
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """A file's text, at most `document.MAX_SIZE` bytes of UTF-8. Raises `InventoryError`."""
    report = Report(str(path))
    text = None
    try:
        with path.open("rb") as file:
            text = document.decode(file.read(document.MAX_SIZE + 1), report)
    except OSError as error:
        report.add(Place(0, 0), (), f"can't be read: {error.strerror or error}")
    report.close()
    return text or ""


def parse(text: str, source: str) -> Inventory:
    """The inventory that `text` spells; `source` names it in problems. Raises `InventoryError` with all of them."""
    report = Report(source)
    root = document.read(text, report)
    environments, drafts = _drafts(root, report) if root is not None else ([], [])
    _check_shared(drafts, report)
    report.close()
    fleets = [fleet for draft in drafts if (fleet := _whole(draft, report)) is not None]
    report.close()
    return Inventory(
        fleets=tuple(sorted(fleets, key=lambda fleet: (fleet.environment, fleet.name))),
        environments=tuple(environments),
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A fleet as far as it could be read; what is wrong with it is in the report. Frontends come with their fields."""

    node: Node
    environment: Environment
    name: str
    apps: tuple[MountedApp, ...]
    frontends: tuple[tuple[Frontend, Mapping[str, Node]], ...]
    policy: Policy
    load_balancer: LoadBalancer | None
    gates: Gates
    audits: Audits
    host: str | None
    url: BaseUrl | None


def _drafts(root: Node, report: Report) -> tuple[list[Environment], list[_Draft]]:
    top = fields(root, tuple(_ROOT_NEEDS), report, _ROOT_NEEDS)
    apps = {name: _app(node, report) for name, node in entries(top.get("apps"), report).items()}
    environments, drafts = [], []
    for order, node in enumerate(entries(top.get("environments"), report).values()):
        inside = fields(node, ENVIRONMENT_FIELDS, report, _ENVIRONMENT_NEEDS)
        environment = _environment(node, order, inside, report)
        environments.append(environment)
        here = _distributed(inside.get("distribution"), apps, report)
        for name, fleet in entries(inside.get("fleets"), report).items():
            _check_name(fleet, report)
            drafts.append(_draft(environment, name, fleet, here, report))
    return environments, drafts


def _environment(node: Node, order: int, inside: Mapping[str, Node], report: Report) -> Environment:
    """The environment; where it can't be one, that is in the report, and nobody sees what stands in its place."""
    given = {name: entry for name, entry in inside.items() if name in OWN_FIELDS}
    values = {"name": node.field[-1], "order": order, **plain(given)}
    found = validated(_ENVIRONMENT, values, node, report, given=given)
    return found or Environment.model_construct(name=node.field[-1])


def _draft(
    environment: Environment, name: str, node: Node, apps: Mapping[str, MountedApp | None], report: Report
) -> _Draft:
    given = fields(node, FLEET_FIELDS, report, _FLEET_NEEDS)
    defaults = _defaults(given.get("defaults"), report)
    policy = _policy(given.get("policy"), report)
    check_drainable(policy, given, report)
    return _Draft(
        node=node,
        environment=environment,
        name=name,
        apps=_mounted(given.get("apps"), apps, report),
        frontends=_frontends(given.get("frontends"), defaults, report),
        policy=policy,
        load_balancer=load_balancer(given.get("load_balancer"), given.get("frontends"), report),
        gates=gates(given.get("gates"), report),
        audits=_audits(given.get("audits"), report),
        host=validated(_HOST, host.plain(), host, report) if (host := given.get("host")) else None,
        url=validated(_URL, url.plain(), url, report) if (url := given.get("url")) else None,
    )


def _check_name(node: Node, report: Report) -> None:
    """Whether the node's key can name an environment or a fleet."""
    name = Node(node.field[-1], node.field, node.key, node.key)
    validated(_NAME, name.content, name, report)


def _app(node: Node, report: Report) -> MountedApp | None:
    given = fields(node, APP_FIELDS, report)
    return validated(_APP, {"name": node.field[-1], **plain(given)}, node, report, given=given, missing=_APP_NEEDS)


def _distributed(
    node: Node | None, apps: Mapping[str, MountedApp | None], report: Report
) -> dict[str, MountedApp | None]:
    """The apps as an environment distributes them."""
    here = dict(apps)
    for name, entry in entries(node, report).items():
        if name not in apps:
            expected = one_of(name, apps) if apps else "an app that is named under apps"
            report.add(entry.key, entry.field, "names no app", expected=expected)
            continue
        distribution = validated(_DISTRIBUTION, entry.plain(), entry, report)
        app = apps[name]
        if app is not None and distribution is not None:
            here[name] = app.model_copy(update={"distribution": distribution})
    return here


def _mounted(node: Node | None, apps: Mapping[str, MountedApp | None], report: Report) -> tuple[MountedApp, ...]:
    """The fleet's apps. Their names must be known, and they must not cover each other."""
    if node is None:
        return ()
    if not isinstance(node.content, list) or not node.content:
        expected = "a list of names under apps, such as [ToDo]"
        report.add(node.place, node.field, "is not a list of apps", expected=expected, found=node.found())
        return ()
    mounted: list[MountedApp] = []
    for item in node.content:
        app = _known(item, apps, report)
        if app is None:
            continue
        beside = next((other for other in mounted if _overlap(app, other)), None)
        if beside is None:
            mounted.append(app)
        elif app is beside:
            report.add(item.place, item.field, "names an app twice", expected="each app once", found=item.found())
        else:
            expected = "a mount path of its own for each app, and / only for a fleet's only app"
            found = f"{beside.name} at {beside.mount}, {app.name} at {app.mount}"
            report.add(item.place, item.field, "mounts one app over another", expected=expected, found=shown(found))
    return tuple(mounted)


def _known(item: Node, apps: Mapping[str, MountedApp | None], report: Report) -> MountedApp | None:
    """The app that a fleet names; None where there is none, or where it is wrong itself and so in the report."""
    name = item.content
    if isinstance(name, str) and name in apps:
        return apps[name]
    expected = one_of(str(name), apps) if apps else "an app that is named under apps"
    report.add(item.place, item.field, "names no app", expected=expected, found=item.found())
    return None


def _overlap(one: MountedApp, other: MountedApp) -> bool:
    return one.mount == other.mount or "/" in (one.mount, other.mount)


def _defaults(node: Node | None, report: Report) -> dict[str, Node]:
    """The defaults, checked as a frontend's fields even where every frontend has its own."""
    given = fields(node, DEFAULTS, report)
    if node is not None:
        validated(_FRONTEND, plain(given), node, report, given=given, partial=True)
    return given


def _frontends(
    node: Node | None, defaults: Mapping[str, Node], report: Report
) -> tuple[tuple[Frontend, Mapping[str, Node]], ...]:
    if node is not None and node.content == {}:
        report.add(node.place, node.field, "is empty", expected="at least one frontend")
    pairs = []
    for name, entry in entries(node, report).items():
        given = {**defaults, **fields(entry, FRONTEND_FIELDS, report)}
        values = {"name": name, **plain(given)}
        frontend = validated(_FRONTEND, values, entry, report, given=given, missing=_FRONTEND_NEEDS)
        if frontend is not None:
            pairs.append((frontend, given))
    return tuple(pairs)


def _policy(node: Node | None, report: Report) -> Policy:
    if node is None:
        return Policy()
    given = fields(node, tuple(Policy.model_fields), report)
    return validated(_POLICY, plain(given), node, report, given=given) or Policy()


def _audits(node: Node | None, report: Report) -> Audits:
    if node is None:
        return Audits()
    given = fields(node, tuple(Audits.model_fields), report)
    return validated(_AUDITS, plain(given), node, report, given=given) or Audits()


def _check_shared(drafts: Sequence[_Draft], report: Report) -> None:
    """No two frontends, of whichever fleets, may have the same tree, URL or server. The later one is the offender."""
    trees: dict[tuple[str, int, str], str] = {}
    urls: dict[str, str] = {}
    servers: dict[tuple[str, str, str], str] = {}
    for draft in drafts:
        for frontend, given in draft.frontends:
            own = f"{draft.environment.name}/{draft.name}/{frontend.name}"
            _check_server(draft, frontend, own, servers, report)
            tree = (frontend.address.lower(), frontend.port, frontend.root)
            for at, first, what in (
                (given["address"], trees.setdefault(tree, own), "is another frontend's, and so are port and root"),
                (given["url"], urls.setdefault(frontend.base_url, own), "is another frontend's"),
            ):
                if first != own:
                    expected = "each frontend in one fleet, under one name"
                    report.add(at.place, at.field, what, expected=expected, found=shown(first))


def _check_server(
    draft: _Draft, frontend: Frontend, own: str, servers: dict[tuple[str, str, str], str], report: Report
) -> None:
    """No two frontends may be the same server of a load balancer: who drains one would drain the other."""
    balancer = draft.load_balancer
    if balancer is None or not isinstance(draft.node.content, dict):
        return
    at = draft.node.content["load_balancer"]
    for socket in balancer.sockets:
        server = balancer.server(frontend.name)
        first = servers.setdefault((socket, balancer.backend, server), own)
        if first != own:
            expected = "a server of its own in the backend for each frontend"
            found = shown(f"{own} is the server of {first}: {balancer.backend}/{server}")
            report.add(at.place, at.field, "has one server for two frontends", expected=expected, found=found)


def _whole(draft: _Draft, report: Report) -> Fleet | None:
    """The fleet. The model's own checks hold once more, whatever was checked here."""
    try:
        return Fleet(
            environment=draft.environment.name,
            name=draft.name,
            apps=draft.apps,
            frontends=tuple(frontend for frontend, _ in draft.frontends),
            policy=draft.policy,
            load_balancer=draft.load_balancer,
            gates=draft.gates,
            audits=draft.audits,
            host=draft.host,
            url=draft.url,
            four_eyes=draft.environment.four_eyes,
        )
    except ValidationError as error:
        refuse(error.errors(), draft.node, report)
        return None
