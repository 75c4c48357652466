"""A fleet's load balancer, from a document's values to the model's."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter

from inventory.document import Node
from inventory.fields import entries, fields, one_of, plain, validated
from inventory.model import AdminSocket, HaproxyName, LoadBalancer, Policy, Unreachable
from inventory.problem import Report

_SOCKET: TypeAdapter[str] = TypeAdapter(AdminSocket)
_SERVER: TypeAdapter[str] = TypeAdapter(HaproxyName)
_LOAD_BALANCER = TypeAdapter(LoadBalancer)

_SOCKETS = "a list of admin sockets, such as [unix:///run/haproxy/admin.sock]: one of every HAProxy before the fleet"
_NEEDS = {
    "kind": "haproxy",
    "sockets": _SOCKETS,
    "backend": "the name of HAProxy's backend that holds the frontends",
}


def load_balancer(node: Node | None, frontends: Node | None, report: Report) -> LoadBalancer | None:
    """The load balancer of a fleet with these `frontends`; None where there is none, or it is wrong and reported."""
    if node is None or node.content is None:
        return None
    given = fields(node, tuple(LoadBalancer.model_fields), report, _NEEDS)
    rest = {name: value for name, value in given.items() if name in ("kind", "backend")}
    values = {
        **plain(rest),
        "sockets": _sockets(given.get("sockets"), report),
        "servers": _servers(given.get("servers"), frontends, report),
    }
    # Partial: what is wrong with the sockets and servers, or not there, is in the report.
    return validated(_LOAD_BALANCER, values, node, report, given=rest, partial=True)


def check_drainable(policy: Policy, given: Mapping[str, Node], report: Report) -> None:
    """Whether somebody can confirm the drain that a fleet's policy asks for. `given` holds the fleet's fields."""
    balancer, policies = given.get("load_balancer"), given.get("policy")
    if policy.unreachable is Unreachable.DRAIN and policies is not None and (not balancer or balancer.content is None):
        assert isinstance(policies.content, dict)
        at = policies.content["unreachable"]
        expected = "a load_balancer beside policy, which confirms that the frontend is out; or unreachable: abort"
        report.add(at.place, at.field, "needs a load_balancer", expected=expected, found=at.found())


def _sockets(node: Node | None, report: Report) -> list[str] | None:
    if node is None:
        return None
    if not isinstance(node.content, list) or not node.content:
        report.add(node.place, node.field, "is not a list of sockets", expected=_SOCKETS, found=node.found())
        return None
    found: list[str] = []
    for item in node.content:
        socket = validated(_SOCKET, item.plain(), item, report)
        if socket in found:
            report.add(item.place, item.field, "names a socket twice", expected="each once", found=item.found())
        elif socket is not None:
            found.append(socket)
    return found if len(found) == len(node.content) else None


def _servers(node: Node | None, frontends: Node | None, report: Report) -> dict[str, str] | None:
    if node is None or node.content is None:
        return {}
    if not isinstance(node.content, dict):
        entries(node, report)
        return None
    known = frontends.content if frontends is not None and isinstance(frontends.content, dict) else {}
    found: dict[str, str] = {}
    for name, entry in node.content.items():
        server = validated(_SERVER, entry.plain(), entry, report)
        if name not in known:
            expected = one_of(name, known) if known else "a frontend that is named under frontends"
            report.add(entry.key, entry.field, "names no frontend", expected=expected)
        elif server is not None:
            found[name] = server
    return found if len(found) == len(node.content) else None
