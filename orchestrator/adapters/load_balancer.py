"""The load balancer of a fleet: every HAProxy before it, of which all must confirm. docs/load-balancer.md.

HAProxy has no fencing token: the last word wins there, so whoever gives one reads the ledger first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from inventory.model import HAPROXY_NAME, LoadBalancer
from inventory.problem import quoted
from orchestrator.adapters.haproxy import ANSWER_SECONDS, Admin, RuntimeApi, Server
from orchestrator.domain.errors import LockstepError, RefusedError, UnansweredError, UsageError

#: Between two looks at a server that is to come up, in seconds.
LOOK_SECONDS = 0.1

T = TypeVar("T")


class HaproxyLoadBalancer:
    """`drain`, `readmit`, `await_up`: each returns who confirmed it. Holds no connection between two calls.

    All HAProxies are asked side by side, and one that fails keeps no other from its word. Every method raises
    `UnansweredError` where one of them did not answer within `seconds` a command: what holds there is unknown;
    `RefusedError` where all answered and one said no, or something else than what it was told.
    """

    def __init__(self, settings: LoadBalancer, seconds: float = ANSWER_SECONDS) -> None:
        self._settings = settings
        self._seconds = seconds

    def drain(self, frontend: str) -> str:
        """Take a frontend out of rotation. What the others confirmed holds, also where one fails."""

        def out(api: RuntimeApi) -> None:
            self._told(api, frontend, "maint", lambda admin: Admin.FORCED_MAINTENANCE in admin)

        self._all(f"drain {frontend}", out)
        return self._everybody()

    def readmit(self, frontend: str) -> str:
        """Let a frontend back into rotation. HAProxy uses it at once, before its first health check."""
        self._all(f"readmit {frontend}", lambda api: self._told(api, frontend, "ready", lambda admin: not admin))
        return self._everybody()

    def await_up(self, frontend: str, seconds: float) -> str:
        """Return once every HAProxy uses a frontend, its newest health check passed; `UnansweredError` if not in time.

        Where ``fall`` is 1 in haproxy.cfg, HAProxy does not tell whether it has checked since the readmission.
        """
        deadline = time.monotonic() + seconds

        def up(api: RuntimeApi) -> None:
            while not self._is_up(api, frontend):
                if time.monotonic() >= deadline:
                    raise UnansweredError(
                        f"HAProxy does not find {frontend} well",
                        where=api.where,
                        expected=f"state UP and a health check that passed, within {seconds:g} s",
                        found="its health check has not passed",
                        remedy="see that its web server answers HAProxy's check (/-/lockstep/health with 200)",
                    )
                time.sleep(LOOK_SECONDS)

        self._all(f"find {frontend} well", up)
        return self._everybody()

    def uses(self, frontend: str) -> bool:
        """Whether any HAProxy may use the frontend. True once one says so, whatever became of the others."""
        found = self._each(lambda api: not self._server(api, frontend).admin)
        if any(used is True for used in found.values()):
            return True
        self._raise(f"tell of {frontend}", found)
        return False

    def rotation(self, frontends: Iterable[str]) -> Mapping[str, bool]:
        """By frontend, whether every HAProxy would use it, were it well."""
        names = tuple(frontends)

        def used(api: RuntimeApi) -> set[str]:
            servers = api.servers(self._settings.backend)
            return {name for name in names if not self._of(servers, name, api).admin}

        found = self._all("tell who is in rotation", used)
        return {name: all(name in used for used in found.values()) for name in names}

    def _told(self, api: RuntimeApi, frontend: str, state: str, holds: Callable[[Admin], bool]) -> None:
        """Tell one HAProxy, and have it read back."""
        api.set_state(self._settings.backend, self._name(frontend), state)
        admin = self._server(api, frontend).admin
        if not holds(admin):
            raise RefusedError(
                f"HAProxy was told {state} of {frontend} and reads back something else",
                where=api.where,
                expected=state,
                found=str(admin),
                remedy="see what else sets it there: a server that it tracks, the DNS, another program at the socket",
            )

    def _is_up(self, api: RuntimeApi, frontend: str) -> bool:
        server = self._server(api, frontend)
        if server.admin or not server.running:
            return False
        return not server.checked or api.passed(self._settings.backend).get(self._name(frontend), False)

    def _name(self, frontend: str) -> str:
        """Its name in HAProxy: whatever it is, it is one word of a command, and no more."""
        name = self._settings.server(frontend)
        if HAPROXY_NAME.fullmatch(name) is None:
            raise UsageError("not the name of a frontend", found=quoted(frontend))
        return name

    def _server(self, api: RuntimeApi, frontend: str) -> Server:
        return self._of(api.servers(self._settings.backend), frontend, api)

    def _of(self, servers: Mapping[str, Server], frontend: str, api: RuntimeApi) -> Server:
        name = self._name(frontend)
        if name not in servers:
            raise RefusedError(
                f"HAProxy does not know {self._settings.backend}/{name}",
                where=api.where,
                expected=f"a server {name} in the backend",
                found=f"{len(servers)} others",
                remedy="correct backend or servers in the fleet's load_balancer, or haproxy.cfg",
            )
        return servers[name]

    def _everybody(self) -> str:
        return f"haproxy {', '.join(self._settings.sockets)}"

    def _all(self, what: str, act: Callable[[RuntimeApi], T]) -> Mapping[str, T]:
        """What each HAProxy answers, by socket; raises where one fails."""
        found = self._each(act)
        self._raise(what, found)
        return {where: answer for where, answer in found.items() if not isinstance(answer, LockstepError)}

    def _each(self, act: Callable[[RuntimeApi], T]) -> Mapping[str, T | LockstepError]:
        def one(where: str) -> T | LockstepError:
            try:
                return act(RuntimeApi(where, self._seconds))
            except (RefusedError, UnansweredError) as error:
                return error

        sockets = self._settings.sockets
        with ThreadPoolExecutor(max_workers=len(sockets)) as pool:
            return dict(zip(sockets, pool.map(one, sockets), strict=True))

    def _raise(self, what: str, found: Mapping[str, object]) -> None:
        """One error for all that failed: unknown if any is, since a no of one says nothing of the other."""
        failed = {where: error for where, error in found.items() if isinstance(error, LockstepError)}
        if not failed:
            return
        first = next((e for e in failed.values() if isinstance(e, UnansweredError)), next(iter(failed.values())))
        if len(found) == 1:
            raise first
        confirmed = [where for where in found if where not in failed]
        lines = [f"{where}: {error.problem.what}; found {error.problem.found}" for where, error in failed.items()]
        if confirmed:
            lines.append(f"confirmed by {', '.join(confirmed)}")
        raise type(first)(
            f"not every HAProxy could {what}",
            where=", ".join(failed),
            expected=f"{len(found)} answers, from {', '.join(found)}; {first.problem.expected}",
            found="; ".join(lines),
            remedy=first.problem.remedy,
        )
