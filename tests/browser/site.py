"""An app on real nginx with the real recipe and documents, flipped by renames: fast, for the worker's rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.nginx.recipe import render
from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.release import File, Hasher, Manifest
from orchestrator.ota.layouts import layout
from tests.integration.nginx import free_ports, nginx

APP, MOUNT = "App", "/App/"
CLIENT = Path(__file__).parents[2] / "orchestrator" / "ota" / "browser"

PAGE = """<!doctype html>
<meta charset="utf-8"><title>App</title>
<script src="/App/lockstep.js"></script>
<script>window.version = {version!r}; window.heard = []; window.parts = [];</script>
<body data-version="{version}">
<script>
for (const name of ["installed", "progress", "updated", "attention", "applied", "failed", "rolledback"])
  lockstep.addEventListener(name, (event) => heard.push([name, event.detail]));
</script>
<script src="/App/part.js"></script>
<script>
window.begin = () => lockstep.start({{ mount: "/App/", manual: {manual} }});
if (location.search !== "?wait") window.ready = begin();
</script>
{more}
"""


def app_files(version: str, *, manual: bool = False, more: str = "", **others: bytes) -> dict[str, bytes]:
    """The files of a version, the web client among them; `others` by names in which `__` stands for a dot."""
    page = PAGE.format(version=version, manual="true" if manual else "false", more=more)
    files = {
        "index.html": page.encode(),
        "part.js": f"parts.push({version!r});".encode(),
        "late.js": f"parts.push({version!r});".encode(),
        **{path.name: path.read_bytes() for path in CLIENT.glob("*.js")},
    }
    return {**files, **{name.replace("__", "."): content for name, content in others.items()}}


def described(files: Mapping[str, bytes]) -> Described:
    """A release of these files."""
    made = []
    for path, content in files.items():
        held = Hasher.of([content])
        made.append(File(path, held.size, held.sha256, held.ota))
    return Described.of(Manifest.of(made), lambda file: files[file.path])


class Root:
    """One frontend's tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("objects", "activations", "ahead", "by-hash", "state"):
            (root / name).mkdir(parents=True)
        self.stage(ActivationName(0, "0" * 16), None)
        self.flip(ActivationName(0, "0" * 16))

    def stage(self, name: ActivationName, files: Mapping[str, bytes] | None) -> None:
        """What `layout` says, laid out."""
        release = None if files is None else described(files)
        placements = [] if release is None else [Placement(APP, MOUNT, str(name.epoch), release.manifest.digest)]
        releases = {} if release is None else {release.manifest.digest: release}
        made = layout(Activation.of(name, placements), releases)
        contents = {hashlib.sha256(content).hexdigest(): content for content in (files or {}).values()}
        for sha, content in {**contents, **made.generated}.items():
            if not (self.root / "objects" / sha).exists():
                (self.root / "objects" / sha).write_bytes(content)
        for tree in (*made.releases, made.activation):
            for path, sha in tree.files.items():
                self._link(self.root / tree.path / path, sha)
            for path, target in tree.links.items():
                (self.root / tree.path / path).symlink_to(target)
        for key, sha in made.by_hash.items():
            self._link(self.root / "by-hash" / key, sha)
        (self.root / "ahead" / str(name)).touch()

    def _link(self, path: Path, sha: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.hardlink_to(self.root / "objects" / sha)

    def flip(self, name: ActivationName) -> None:
        """The rename, then the marker's removal."""
        link = self.root / "state" / "next"
        link.symlink_to(f"activations/{name}")
        link.rename(self.root / "current")
        (self.root / "ahead" / str(name)).unlink(missing_ok=True)


class Site:
    """Two frontends behind one address, at ``url``; `asked` reads what they were asked for."""

    def __init__(self, directory: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}{MOUNT}"
        self.roots = [Root(directory / name / "root") for name in ("fe1", "fe2")]
        self._log = directory / "log"
        self._epoch = 0

    def name(self, epoch: int) -> ActivationName:
        """The activation of an epoch."""
        return ActivationName(epoch, f"{epoch:016x}")

    def stage(self, files: Mapping[str, bytes]) -> ActivationName:
        """On both frontends."""
        self._epoch += 1
        for root in self.roots:
            root.stage(self.name(self._epoch), files)
        return self.name(self._epoch)

    def deploy(self, files: Mapping[str, bytes]) -> ActivationName:
        """Stage, then flip both."""
        name = self.stage(files)
        for root in self.roots:
            root.flip(name)
        return name

    def spoil(self, content: bytes, found: bytes) -> None:
        """From now on both frontends hold `found` where `content` should be."""
        for root in self.roots:
            (root.root / "objects" / hashlib.sha256(content).hexdigest()).write_bytes(found)

    def asked(self) -> list[str]:
        """What was asked for so far: path and query."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [json.loads(line)["uri"] for line in lines]


@contextmanager
def site(directory: Path, http: str = "") -> Iterator[Site]:
    """The site while its nginx runs; `http` goes into the balancer's location."""
    port, *ports = free_ports(3)
    made = Site(directory, port)
    recipes = [
        render(root=str(root.root), listen=[f"127.0.0.1:{p}"]) for root, p in zip(made.roots, ports, strict=True)
    ]
    with ExitStack() as stack:
        for number, (recipe, each) in enumerate(zip(recipes, ports, strict=True)):
            stack.enter_context(nginx(directory / f"nginx{number}", recipe, [each]))
        stack.enter_context(nginx(directory / "balancer", _balancer(port, ports, directory / "log", http), [port]))
        yield made


def _balancer(port: int, ports: Sequence[int], log: Path, http: str) -> str:
    servers = " ".join(f"server 127.0.0.1:{each};" for each in ports)
    return f"""
    log_format asked escape=json '{{"uri":"$request_uri"}}';
    upstream fleet {{ {servers} }}
    server {{
        listen 127.0.0.1:{port};
        access_log {log} asked;
        location / {{ proxy_pass http://fleet; {http} }}
        location /App/screenservices/ {{ default_type application/json; return 200 '{{"saved":true}}'; }}
    }}
"""
