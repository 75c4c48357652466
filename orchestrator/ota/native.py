"""What installed native clients of a store-only app are served: the version that they have.

docs/ota.md, "Distribution", has the rules. Pure, like `orchestrator.ota.documents`.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.domain.activation import Placement
from orchestrator.domain.described import Described
from orchestrator.ota.documents import Documents, documents

#: Says that the app is store-only, also where no document lies beside it.
MARKER = "native/store-only"


def installed_documents(placement: Placement, releases: Mapping[str, Described]) -> dict[Placement, Documents]:
    """The documents of each release that a build in the field was made from; `releases` are by digest."""
    return {held: documents(held, releases[held.digest]) for held in placement.installed()}


def native_files(placement: Placement, installed: Mapping[Placement, Documents]) -> dict[str, bytes]:
    """What a store-only activation holds below ``-/<Segment>/`` for native clients.

    Clients that do not name their version are answered only where all builds in the field are of one release: else
    nobody knows which of them is asking, and to name another version than its own would be an update.
    """
    if not placement.store_only:
        return {}
    files = {MARKER: b"store-only\n"}
    if len(installed) == 1:
        (made,) = installed.values()
        files.update({f"native/{name}": content for name, content in made.native().items()})
    files.update({f"builds/{made.token}.json": made.info for made in installed.values()})
    return files
