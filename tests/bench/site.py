"""What the frontends' nginx serves where another tool deploys: the tree below `current`, as tutorials have it."""

from __future__ import annotations

from collections.abc import Sequence

#: The same for every tool, so that the same clients can watch it.
MOUNT = "/ToDo/"

_RECIPE = """\
server {{
{listen}
    server_name {name};
    root {root}/current;
    etag on;
    # HAProxy asks every lab's frontends here.
    location = /-/lockstep/health {{
        return 200;
    }}
    location {mount} {{
        alias {root}/current/;
        index index.html;
        add_header Cache-Control no-cache;
    }}
}}
"""


def plain(*, root: str, listen: Sequence[str], server_name: str = "_") -> str:
    """Configuration for nginx' `http` block."""
    lines = "\n".join(f"    listen {address};" for address in listen)
    return _RECIPE.format(listen=lines, name=server_name, root=root, mount=MOUNT)
