"""A small app on a real nginx, made by hand, in which everything that the observer must find can be broken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.ota.answers import Answer
from orchestrator.ota.documents import url_path
from tests.integration.nginx import free_ports, nginx

# There is one frontend, so that nothing is ever ahead of it: a pin matters to parts alone.
HTTP = """
    map $args $asked {{ default none; "~^(?<hash>[A-Za-z0-9+_]{{22}})$" $hash; }}
    map $cookie_lockstep $pin {{ default none; "~^(?<name>[0-9]+-[0-9a-f]{{16}})$" $name; }}
    map $http_sec_fetch_dest $is_part {{ default no; empty yes; }}
    map $served $named {{ default ""; "~/activations/(?<name>[^/]+)$" $name; }}
    map $is_part $cookie {{ default "lockstep=$named; Path=/; HttpOnly"; yes ""; }}
    # Clients take compressed answers, and hash what they hold.
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    server {{
        listen 127.0.0.1:{port};
        root {root}/current;
        set $served $realpath_root;
        set $pinned $is_part;
        if (-d {root}/activations/$pin) {{ set $pinned "$is_part, there"; }}
        if ($pinned = "yes, there") {{ set $served {root}/activations/$pin; }}
        if (-f {root}/failed) {{ return 503; }}
        if (-f {root}/moved) {{ return 302 http://127.0.0.1:1$request_uri; }}
        if (-f {root}/by-hash/$asked) {{ rewrite ^ /-/by-hash last; }}
        location = /-/by-hash {{ internal; alias {root}/by-hash/$asked; }}
        location = /App/moduleservices/moduleversioninfo {{
            root $served;
            try_files /-/version.json =404;
            add_header Lockstep-Activation $named;
            add_header Set-Cookie $cookie;
        }}
        location / {{
            root $served;
            try_files $uri =404;
            add_header Lockstep-Activation $named;
            add_header Set-Cookie $cookie;
        }}
    }}
"""


def activation(epoch: int) -> str:
    return f"{epoch}-{epoch:016x}"


class Site:
    """The tree that nginx serves, at ``url``."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        for name in ("activations", "by-hash"):
            (root / name).mkdir(parents=True)

    def stage(self, epoch: int, files: Mapping[str, bytes]) -> str:
        """Lay out an activation whose release has these files. Returns its token."""
        tree = self.root / "activations" / activation(epoch)
        for path, content in files.items():
            place = tree / "App" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            self.put(self.by_hash(content), content)
        versions = {url_path(f"/App/{path}"): f"?{Answer(200, content).ota}" for path, content in files.items()}
        token = Answer(200, json.dumps(versions).encode()).ota.replace("+", "_")
        (tree / "-").mkdir()
        (tree / "-" / "version.json").write_text(json.dumps({"versionToken": token}))
        integrity = {url_path(f"/App/{path}"): Answer(200, content).integrity for path, content in files.items()}
        self.precache(epoch).write_text(f"text {json.dumps({'versionToken': token, 'integrity': integrity})}")
        manifest = {"versionToken": token, "urlVersions": versions, "urlMappings": {}, "urlMappingsNoCache": {}}
        info = {"manifest": manifest, "data": {"modules": {}}}
        self.put(self.root / "by-hash" / token, json.dumps(info).encode())
        return token

    def activate(self, name: str) -> None:
        """Serve this activation from now on, by one rename."""
        link = self.root / "next"
        link.symlink_to(f"activations/{name}")
        link.rename(self.root / "current")

    def put(self, place: Path, content: bytes) -> None:
        """Serve this there from now on, by one rename: nobody may meet half of it."""
        new = self.root / "new"
        new.write_bytes(content)
        new.rename(place)

    def by_hash(self, content: bytes) -> Path:
        return self.root / "by-hash" / Answer(200, content).ota

    def by_path(self, epoch: int, path: str) -> Path:
        return self.root / "activations" / activation(epoch) / "App" / path

    def version(self, epoch: int) -> Path:
        return self.root / "activations" / activation(epoch) / "-" / "version.json"

    def precache(self, epoch: int) -> Path:
        return self.root / "activations" / activation(epoch) / "App" / "precache.manifest"

    def turn(self, how: str) -> None:
        """From now on every answer is a failure (``failed``) or a redirect (``moved``)."""
        (self.root / how).touch()


@contextmanager
def observed_site(root: Path) -> Iterator[Site]:
    """The site while its nginx runs."""
    (port,) = free_ports(1)
    site = Site(root / "site", port)
    with nginx(root / "nginx", HTTP.format(root=site.root, port=port), [port]):
        yield site
