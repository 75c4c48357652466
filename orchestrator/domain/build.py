"""An installed app that was built from a release and is out in the field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

#: A build's id, as whoever builds names it.
ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")
PLATFORM = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Build:
    """One build of an app for an environment. `version` is the release that it was built from; `platform` may be ""."""

    environment: str
    app: str
    id: str
    version: str
    platform: str
    actor: str
    created_at: datetime
    retired_at: datetime | None = None
