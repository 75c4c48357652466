"""Files that get damaged where anybody takes bytes for text, or a name for something else than a name."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

#: By name; `@` stands for what makes a release's bytes its own, so that none of them lies on a frontend already.
_CONTENTS = {
    "crlf.js": b"one\r\n@\r\nthree\r\n",
    "cr.js": b"one\r@\rthree\r",
    "lf.js": b"one\n@\nthree\n",
    "mixed.js": b"one\r\n@\nthree\rfour\n\rfive\r\r\n",
    "only a line end.txt": b"@\r\n\r\n",
    "no end.css": b"one\r\n@",
    "bom.html": b"\xef\xbb\xbf<p>@</p>\r\n",
    "utf-16.html": b"\xff\xfe<\x00p\x00>\x00@\x00\r\x00\n\x00",
    "utf-16-be.txt": b"\xfe\xff\x00<\x00@\x00\r\x00\n",
    "latin-1.html": b"<p>gr\xfc\xdfe @ \x80\x9f\xa0\xff</p>",
    "broken utf-8.js": b"'\xc3\x28 @ \xed\xa0\x80 \xf8'",
    "nul.bin": b"\x00@\x00\x00\r\n\x00",
    "nul.js": b"var a = '\x00@';\x00",
    "ctrl-z.txt": b"one\x1a@\x1a",
    "every byte.bin": bytes(range(256)) + b"@" + bytes(range(255, -1, -1)),
    "like gzip.js": b"\x1f\x8b\x08\x00@ is not packed at all",
    "like a script.txt": b"#!/bin/sh\necho '@' \"$HOME\" `id` $(id)\n",
    "like ssi.html": b'<!--#include file="index.html" --><!--# echo var="@" -->',
}
#: Names, each of a short text of its own. No release may have a backslash in one.
_NAMES = (
    "a b.js", " leading and trailing .js", "a+b.js", "100%.js", "50%20.js", "a%2Fb.js", "a%2fc.js", "a#b.js", "a?b.js",
    "a&b=c.js", "it's.js", 'say "hi".js', "grüße.js", "名前.js", "emoji🎈.js", "sp ace/+/%2F/#?&.js", "page.html.gz",
    "app.js.gz", "app.js.br", "archive.tar.gz", "x;y=z.js", "~tilde$@!,.js", "a:b.js", "[x]{y}.js", "<a>.js", "`a`.js",
    "-dash.js", "--.js", ".hidden", "no extension", "dots...js", "a|b^c.js", "*.js",
)  # fmt: skip


def awkward(salt: str) -> dict[str, bytes]:
    """Path -> bytes; other bytes for another salt."""
    word = salt.encode()
    files = {f"bytes/{name}": content.replace(b"@", word) for name, content in _CONTENTS.items()}
    files["bytes/packed.js"] = gzip.compress(b"packed by whoever made it " + word, mtime=0)
    files["bytes/packed.js.gz"] = gzip.compress(b"and packed twice " + files["bytes/packed.js"], mtime=0)
    files.update({f"names/{name}": f"{salt} {name}\r\n".encode() for name in _NAMES})
    return {"index.html": f"<title>{salt}</title>\r\n".encode(), **files}


def as_directory(files: Mapping[str, bytes], path: Path) -> Path:
    """A source of a release: a directory."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def as_tar(files: Mapping[str, bytes], path: Path) -> Path:
    """A packed tar archive."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def as_zip(files: Mapping[str, bytes], path: Path) -> Path:
    """A zip archive, every other member of it deflated."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, content) in enumerate(files.items()):
            archive.writestr(name, content, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED)
    return path
