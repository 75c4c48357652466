"""Two frontends behind an nginx that keeps whatever their headers let it keep, as a CDN or a company's proxy does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.nginx.recipe import render
from tests.integration.frontend_tree import FrontendTree
from tests.integration.nginx import free_ports, nginx

#: It keeps for ten minutes what has no word on it, whatever its status, and what comes with a cookie: all that it may.
PROXY = """
    proxy_cache_path {prefix}/cache levels=1:2 keys_zone=between:8m max_size=256m inactive=1h use_temp_path=off;
    log_format kept "$upstream_cache_status $request_uri";
    upstream frontends {{
        {servers}
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{port};
        access_log {prefix}/kept.log kept;
        location / {{
            proxy_pass http://frontends;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_cache between;
            proxy_cache_key $scheme$host$request_uri;
            proxy_cache_valid any 10m;
            proxy_cache_revalidate on;
            proxy_ignore_headers Set-Cookie;
            add_header X-Cache-Status $upstream_cache_status always;
        }}
    }}
"""

GZIP = """
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    gzip_proxied any;
"""


@dataclass(frozen=True)
class Behind:
    """The proxy's port, the frontends' trees, and what the proxy has kept."""

    port: int
    trees: tuple[FrontendTree, FrontendTree]
    log: Path

    def kept(self, of: Callable[[str], bool] = lambda _: True) -> Counter[str]:
        """How often it answered by itself (HIT), asked (MISS), and so on, for the URLs that are meant."""
        lines = (line.split(" ", 1) for line in self.log.read_text(encoding="utf-8").splitlines())
        return Counter(status for status, url in lines if of(url))


@contextmanager
def behind_a_cache(
    base: Path, *, gzip: bool = False, changed: Callable[[str], str] = lambda recipe: recipe
) -> Iterator[Behind]:
    """Both frontends and the proxy while they run; `changed` may spoil the recipe."""
    trees = FrontendTree(base / "one"), FrontendTree(base / "two")
    prefix, (port, *ports) = base / "nginx", free_ports(3)
    pairs = list(zip(trees, ports, strict=True))
    recipes = "".join(changed(render(root=str(tree.root), listen=[f"127.0.0.1:{at}"])) for tree, at in pairs)
    servers = "\n".join(f"server 127.0.0.1:{at};" for at in ports)
    proxy = PROXY.format(prefix=prefix, port=port, servers=servers)
    with nginx(prefix, (GZIP if gzip else "") + recipes + proxy, [port, *ports]):
        yield Behind(port, trees, prefix / "kept.log")
