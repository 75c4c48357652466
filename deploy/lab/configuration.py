"""The files that the lab's servers and its users read, as text. The templates lie beside this file."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from importlib import resources

from ruamel.yaml import YAML

from deploy.lab.addresses import BALANCER
from deploy.lab.blueprint import Blueprint, Frontend
from deploy.lab.daemon import MARK

#: The only fleet of the lab's inventory.
ENVIRONMENT, FLEET = "Lab", "web"
#: How many connections an nginx has room for.
CONNECTIONS = 1024

_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")


def sshd_config(lab: Blueprint, frontend: Frontend, optional: str) -> str:
    """A frontend's SSH server: keys only, the lab's user only. `optional`: lines that not every sshd knows."""
    return _filled(
        "sshd_config.in",
        NAME=frontend.name,
        ADDRESS=frontend.address,
        PORT=str(frontend.ssh_port),
        SSHD=str(frontend.sshd),
        AUTHORIZED_KEYS=str(lab.authorized_keys),
        USER=lab.user,
        MARK=MARK,
        OPTIONAL=optional,
    )


def nginx_conf(frontend: Frontend, *, as_root: bool, connections: int = CONNECTIONS) -> str:
    """A frontend's web server, all but the recipe. `connections`: at most, those on which it listens among them."""
    return _filled(
        "nginx.conf.in",
        NAME=frontend.name,
        NGINX=str(frontend.nginx),
        # The lab's directory is closed to everybody but its user, so the workers keep that user.
        USER_LINE="user root;" if as_root else "",
        CONNECTIONS=str(connections),
    )


def haproxy_cfg(lab: Blueprint) -> str:
    """The load balancer over all frontends, and the service behind it."""
    servers = [f"    server {each.name} {each.address}:{each.http_port} check" for each in lab.frontends]
    return _filled(
        "haproxy.cfg.in",
        SOCKET=str(lab.admin_socket),
        ADDRESS=BALANCER,
        PORT=str(lab.balancer_port),
        SERVERS="\n".join(servers),
        SERVICE=lab.service_url.removeprefix("http://"),
    )


def inventory(lab: Blueprint, host_keys: Mapping[str, str]) -> str:
    """The inventory of the lab's fleet. `host_keys` maps frontends to ``ssh-ed25519 <base64>``."""
    frontends = {
        each.name: {
            "address": each.address,
            "port": each.ssh_port,
            "host_key": host_keys[each.name],
            "url": each.url,
            "root": str(each.root),
        }
        for each in lab.frontends
    }
    fleet = {
        "apps": list(lab.apps),
        "url": lab.url,
        "load_balancer": {"kind": "haproxy", "sockets": [f"unix://{lab.admin_socket}"], "backend": "web"},
        "defaults": {"user": lab.user, "identity": str(lab.client_key)},
        "policy": {"peers": True},
        "frontends": frontends,
    }
    document = {
        "apps": {name: {"mount": mount} for name, mount in lab.apps.items()},
        "environments": {ENVIRONMENT: {"fleets": {FLEET: fleet}}},
    }
    yaml = YAML()
    # A host key stays on its line.
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def known_hosts(lab: Blueprint, host_keys: Mapping[str, str]) -> str:
    """The host keys, as OpenSSH's client reads them."""
    return "".join(f"[{each.address}]:{each.ssh_port} {host_keys[each.name]}\n" for each in lab.frontends)


def ssh_config(lab: Blueprint) -> str:
    """How OpenSSH's client gets to each frontend by its name."""
    hosts = [f"Host {each.name}\n  HostName {each.address}\n  Port {each.ssh_port}\n" for each in lab.frontends]
    return "\n".join(
        [
            *hosts,
            "Host *",
            f"  User {lab.user}",
            f"  IdentityFile {lab.client_key}",
            "  IdentitiesOnly yes",
            "  IdentityAgent none",
            f"  UserKnownHostsFile {lab.known_hosts}",
            "  GlobalKnownHostsFile /dev/null",
            "  StrictHostKeyChecking yes",
            "  BatchMode yes",
            "  ConnectTimeout 10",
            "  LogLevel ERROR",
            "",
        ]
    )


def _filled(template: str, **values: str) -> str:
    text = resources.files("deploy.lab").joinpath(template).read_text()
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)
