"""What exists: environments, fleets, frontends and apps. `example.yml` beside this file is the manual of the fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, AnyHttpUrl, BaseModel, ConfigDict, Field, model_validator

from inventory.cron import usable
from inventory.hostkey import HostKey
from inventory.names import APP, MOUNT, NAME

ROOT = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
PATH = re.compile(r"[^\x00-\x1f\x7f]{1,4096}")
ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,39}")
#: A backend or a server of HAProxy. What separates words and commands on its socket can't be in one.
HAPROXY_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,63}")
#: A Unix socket by its absolute path, or an address (an IPv6 one in brackets) and a port.
SOCKET = re.compile(
    r"unix://(?P<path>(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+)"
    r"|tcp://(?:\[(?P<ipv6>[0-9A-Fa-f:]{2,39})\]|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?))"
    r":(?P<port>[1-9][0-9]{0,4})"
)
#: A program of a gate, and an argument of it: no zero byte can be passed on.
PROGRAM = re.compile(r"/[^\x00]{1,4095}")
ARGUMENT = re.compile(r"[^\x00]{0,4096}")
#: sockaddr_un has 108 bytes, the last of them zero.
LONGEST_PATH = 107
#: How many words a gate's command may have.
MOST_WORDS = 64


def matching(pattern: re.Pattern[str], expected: str) -> AfterValidator:
    """A check that all of a text matches; `expected` says what does."""

    def check(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


def _usable_socket(text: str) -> str:
    parts = SOCKET.fullmatch(text)
    if parts is None or len(parts["path"] or "") > LONGEST_PATH or int(parts["port"] or 1) > 65_535:
        raise ValueError("expected an admin socket such as unix:///run/haproxy/admin.sock or tcp://10.0.0.5:9999")
    return text


def _usable_command(words: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(words) <= MOST_WORDS or PROGRAM.fullmatch(words[0]) is None:
        raise ValueError(f"expected the absolute path of a program, then its arguments, at most {MOST_WORDS} in all")
    return words


def _without_path(url: AnyHttpUrl) -> AnyHttpUrl:
    if url.path not in (None, "", "/") or url.query or url.fragment or url.username or url.password:
        raise ValueError("expected only a scheme, an address and a port, such as http://10.0.0.11:8080")
    return url


Name = Annotated[str, matching(NAME, "a name: letters, digits, '.', '_' and '-', at most 63")]
AppName = Annotated[str, matching(APP, "an app's name: a letter, then letters, digits, '_' and '-', at most 63")]
Mount = Annotated[str, matching(MOUNT, "a mount path: / or /Segment/")]
Root = Annotated[str, matching(ROOT, "an absolute path of letters, digits, '.', '_' and '-'")]
Identity = Annotated[str, matching(PATH, "the path of a private key")]
User = Annotated[str, matching(USER, "a login name")]
Address = Annotated[str, matching(ADDRESS, "a host name or an IP address")]
BaseUrl = Annotated[AnyHttpUrl, AfterValidator(_without_path)]
HaproxyName = Annotated[
    str, matching(HAPROXY_NAME, "a name in HAProxy: letters, digits, '_', '.', ':' and '-', at most 63")
]
AdminSocket = Annotated[str, AfterValidator(_usable_socket)]
Argument = Annotated[str, matching(ARGUMENT, "text of at most 4096 characters, without a zero byte")]
Command = Annotated[tuple[Argument, ...], AfterValidator(_usable_command)]
Cron = Annotated[str, AfterValidator(usable)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Record(BaseModel):
    """Immutable, and refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Unreachable(StrEnum):
    """What to do before commit when a frontend can't be reached."""

    ABORT = "abort"
    DRAIN = "drain"


class Distribution(StrEnum):
    """How an app's installed clients get new versions in an environment (docs/ota.md, "Distribution")."""

    #: Over the air, and through the stores.
    HYBRID = "hybrid"
    #: Through the stores alone. Browsers are updated as ever.
    STORE_ONLY = "store-only"


class Policy(Record):
    """How deployments of a fleet go. Times are limits in seconds, unless named otherwise.

    `keep` earlier activations stay on a frontend, and none goes before it has been there for `keep_hours`.
    `peers`: frontends may fetch what they lack from each other, over HTTP at each other's `url`.
    """

    unreachable: Unreachable = Unreachable.ABORT
    max_drained: Annotated[int, Field(ge=0)] = 0
    verify: Literal["all"] | Annotated[int, Field(ge=0, le=100_000)] = 16
    stage_seconds: Seconds = 900
    verify_seconds: Seconds = 300
    arm_seconds: Seconds = 10
    activate_seconds: Seconds = 10
    hold_hours: Annotated[float, Field(gt=0, le=8_760)] = 96
    keep: Annotated[int, Field(ge=1)] = 5
    keep_hours: Annotated[float, Field(ge=0, le=87_600)] = 168
    peers: bool = False

    @model_validator(mode="after")
    def _drain_needs_room(self) -> Policy:
        if self.unreachable is Unreachable.DRAIN and self.max_drained == 0:
            raise ValueError("unreachable: drain needs max_drained of at least 1")
        return self


class Frontend(Record):
    """One server of a fleet: how to log in, where its tree lies, and the URL at which it answers itself."""

    name: Name
    address: Address
    port: Annotated[int, Field(ge=1, le=65_535)] = 22
    user: User
    host_key: HostKey
    identity: Identity | None = None
    root: Root
    url: BaseUrl

    @property
    def base_url(self) -> str:
        """The URL without the slash at its end."""
        return str(self.url).rstrip("/")


class EnvironmentType(StrEnum):
    """What an environment is for, in LifeTime's words."""

    DEVELOPMENT = "Development"
    TEST = "Test"
    PRODUCTION = "Production"


class Environment(Record):
    """An environment. `order` counts from 0, as they stand in the file.

    `two_step` says that a plan which LifeTime's API starts stops before the flip, until it is continued; `four_eyes`
    that whoever deploys can't be who continues.
    """

    name: Name
    order: Annotated[int, Field(ge=0)] = 0
    type: EnvironmentType = EnvironmentType.PRODUCTION
    two_step: bool = False
    four_eyes: bool = False


class MountedApp(Record):
    """An app of a fleet: where it is mounted, and how its installed clients get new versions in this environment."""

    name: AppName
    mount: Mount
    distribution: Distribution = Distribution.HYBRID


class LoadBalancer(Record):
    """What stands before a fleet: the admin socket of every HAProxy, and the backend that holds the frontends.

    `servers` maps frontends to the names that they have in the backend, where these differ from their own.
    """

    kind: Literal["haproxy"]
    sockets: tuple[AdminSocket, ...]
    backend: HaproxyName
    servers: Mapping[Name, HaproxyName] = Field(default_factory=dict)

    def server(self, frontend: str) -> str:
        """The name of a frontend in the backend."""
        return self.servers.get(frontend, frontend)

    @model_validator(mode="after")
    def _distinct(self) -> LoadBalancer:
        if not self.sockets:
            raise ValueError("a load balancer needs at least one socket")
        if len(set(self.sockets)) < len(self.sockets):
            raise ValueError("the same socket twice")
        return self


class Gate(Record):
    """A command of the operators: its words, which no shell reads, and for how many seconds it may run."""

    command: Command
    seconds: Annotated[float, Field(gt=0, le=3600)] = 60


class Gates(Record):
    """The commands that run at the gates of a fleet's deployments (docs/gates.md): at each one or none."""

    before_stage: Gate | None = None
    before_commit: Gate | None = None
    after_activate: Gate | None = None
    on_abort: Gate | None = None


class Healing(StrEnum):
    """What is done about what audits find (docs/audits.md, "Healing")."""

    REPORT = "report"
    HEAL = "heal"
    DRAIN = "drain"


class Audits(Record):
    """When a fleet is audited, and what is done about what is found. Times of the schedules are in UTC.

    `quick` and `deep` are cron expressions of five fields, or None: never on its own. Each audit begins up to
    `jitter_seconds` after its moment. `at_once` frontends are looked at side by side.
    """

    quick: Cron | None = None
    deep: Cron | None = None
    jitter_seconds: Annotated[float, Field(ge=0, le=3600)] = 30
    at_once: Annotated[int, Field(ge=1, le=1000)] = 8
    policy: Healing = Healing.REPORT
    seconds: Seconds = 900


class Fleet(Record):
    """The frontends that serve the same apps behind one address.

    `host` is the Host header under which the frontends serve the apps, where they tell sites apart by name; `url` is
    the public address, behind which the load balancer stands. `load_balancer` is how to take a frontend out of rotation
    there. `gates` are commands that run as a deployment goes on; `audits` say when it is audited.
    `four_eyes` is the environment's.
    """

    environment: Name
    name: Name
    apps: tuple[MountedApp, ...]
    frontends: tuple[Frontend, ...]
    policy: Policy = Policy()
    load_balancer: LoadBalancer | None = None
    gates: Gates = Gates()
    audits: Audits = Audits()
    host: Address | None = None
    url: BaseUrl | None = None
    four_eyes: bool = False

    @property
    def key(self) -> str:
        """``environment/fleet``: the fleet's name in the ledger."""
        return f"{self.environment}/{self.name}"

    def frontend(self, name: str) -> Frontend | None:
        """The frontend of that name, or None."""
        return next((f for f in self.frontends if f.name == name), None)

    @model_validator(mode="after")
    def _whole(self) -> Fleet:
        if not self.frontends:
            raise ValueError("a fleet needs at least one frontend")
        if not self.apps:
            raise ValueError("a fleet needs at least one app")
        mounts = [app.mount for app in self.apps]
        if "/" in mounts and len(mounts) > 1:
            raise ValueError("an app that is mounted at / must be the fleet's only app")
        for what, values in (
            ("mount path", mounts),
            ("frontend name", [f.name for f in self.frontends]),
            ("root on one address", [f"{f.address}:{f.port}{f.root}" for f in self.frontends]),
            ("url", [f.base_url for f in self.frontends]),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"the same {what} twice: {twice[0]}")
        return self

    @model_validator(mode="after")
    def _drainable(self) -> Fleet:
        if self.load_balancer is None:
            if self.policy.unreachable is Unreachable.DRAIN:
                raise ValueError("unreachable: drain needs a load_balancer")
            return self
        names = [frontend.name for frontend in self.frontends]
        if unknown := sorted(set(self.load_balancer.servers) - set(names)):
            raise ValueError(f"servers names no frontend of the fleet: {unknown[0]}")
        if len({self.load_balancer.server(name) for name in names}) < len(names):
            raise ValueError("two frontends are the same server of the load balancer")
        return self


class Inventory(Record):
    """All fleets, sorted by environment and name; and the environments, in the order of the file."""

    fleets: tuple[Fleet, ...]
    environments: tuple[Environment, ...] = ()

    def environment(self, name: str) -> Environment | None:
        """The environment of that name, or None."""
        return next((each for each in self.environments if each.name == name), None)
