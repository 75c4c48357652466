"""Inventories to test with."""

from __future__ import annotations

import base64

from inventory import loader
from inventory.problem import InventoryError, InventoryProblem


def blob(*parts: bytes) -> bytes:
    """The parts as SSH writes strings: each behind its length in four bytes."""
    return b"".join(len(part).to_bytes(4) + part for part in parts)


def host_key(number: int) -> str:
    """A well-formed Ed25519 key, another one for each number."""
    return "ssh-ed25519 " + base64.b64encode(blob(b"ssh-ed25519", bytes([number]) * 32)).decode()


#: Two environments, two apps, and each way to write a frontend.
VALID = f"""\
apps:
  ToDo: {{mount: /ToDo/}}
  Portal: {{mount: /Portal/}}
  Landing: {{mount: /}}
environments:
  Production:
    fleets:
      web:
        apps: [ToDo, Portal]
        host: app.example.com
        url: https://app.example.com
        policy: {{unreachable: drain, max_drained: 1, verify: all, arm_seconds: 2.5}}
        load_balancer:
          kind: haproxy
          sockets: [unix:///run/haproxy/admin.sock, "tcp://[fd00::5]:9999"]
          backend: web
          servers: {{fe1: srv1}}
        gates:
          before_stage: {{command: [/opt/check, --fast, ""], seconds: 5}}
          on_abort: {{command: [/opt/tell]}}
        defaults: {{user: deploy, port: 2222, root: /srv/lockstep, identity: ~/.ssh/lockstep}}
        frontends:
          fe2: {{address: 10.0.0.12, host_key: {host_key(2)}, url: "http://10.0.0.12"}}
          fe1: {{address: 10.0.0.11, host_key: {host_key(1)}, url: "http://10.0.0.11", port: 22, user: root}}
      landing:
        apps: [Landing]
        frontends:
          land1:
            address: land1.example.com
            user: deploy
            root: /srv/lockstep
            host_key: {host_key(3)}
            url: http://land1.example.com:8080
  Development:
    fleets:
      web:
        apps: [ToDo]
        frontends:
          dev1:
            address: 192.168.0.31
            user: deploy
            root: /srv/lockstep
            host_key: {host_key(4)}
            url: http://192.168.0.31
"""


def problems(text: str) -> tuple[InventoryProblem, ...]:
    """What is wrong in the text; nothing where it loads."""
    try:
        loader.parse(text, "inventory.yml")
    except InventoryError as error:
        return error.problems
    return ()


def changed(old: str, new: str) -> str:
    """The valid document with one change."""
    assert VALID.count(old) == 1, old
    return VALID.replace(old, new)


def place_of(text: str, fragment: str) -> tuple[int, int]:
    """Line and column, both from 1, of a fragment's only occurrence."""
    assert text.count(fragment) == 1, fragment
    before = text[: text.index(fragment)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")
