"""What a worker asks of a site that it adopts: argv out, the answer parsed. No I/O.

No script is installed yet and nothing is written: each command is a fixed program of the shell, and what is looked at
comes as its parameters. Where links lead is decided by `orchestrator.domain.adoption.walk`, never on the frontend.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from orchestrator.domain.adoption.site import Held
from orchestrator.domain.adoption.walk import Led, Listing
from orchestrator.domain.errors import RefusedError, UnansweredError
from orchestrator.domain.paths import show
from workers.frontend.answers import printable

T = TypeVar("T")

#: Why something in a listing can't be part of a release, by the program's word for it.
ODD = {
    "closed": "the account may not enter this directory",
    "dangling": "a link that leads to nothing",
    "link": "a link whose target can't be told on a line",
    "name": "a name with a control character or a backslash (? in its place)",
    "other": "neither a file, a directory nor a link",
}
#: How many names are sent together.
NAMES_AT_ONCE = 500
UNREADABLE = "the account can't read it, or it changed meanwhile"

#: The lowest priority first: the frontend serves its clients meanwhile. A name with a line end would look like two
#: lines, so that whatever has control characters in its name is told apart before anything else is asked of it.
_LIST = r"""
LC_ALL=C; export LC_ALL
case $1 in '~/'*) path=$HOME/${1#??} ;; *) path=$1 ;; esac
renice -n 19 -p $$ >/dev/null 2>&1 || :
ionice -c 3 -p $$ >/dev/null 2>&1 || :
[ -d "$path" ] || { echo absent; exit 0; }
cd -P -- "$path" 2>/dev/null && [ -r . ] || { echo locked; exit 0; }
shift
printf 'top %s\n' "$(pwd -P)"
set -- "$@" '(' -name '*[[:cntrl:]]*' -o -name '*\\*' ')' -prune
find . "$@" -exec sh -c '
    for path; do printf "odd name %s\n" "$(printf %s "$path" | tr "\001-\037\177\134" "?")"; done' sh {} + \
    -o -type d -exec sh -c '
    for path; do [ -r "$path" ] && [ -x "$path" ] || printf "odd closed %s\n" "$path"; done' sh {} + \
    -o -type l -exec sh -c '
    for path; do
        target=$(readlink -f -- "$path") || target=
        case $target in *[[:cntrl:]]*) printf "odd link %s\n" "$path"; continue ;; esac
        if [ -f "$path" ]; then
            sum=$(sha256sum <"$path") || sum=-
            printf "link %s %s %s\t%s\n" "$(stat -L -c %s -- "$path")" "${sum%% *}" "$target" "$path"
        elif [ -d "$path" ]; then printf "tree %s\t%s\n" "$target" "$path"
        elif [ -e "$path" ]; then printf "odd other %s\n" "$path"
        else printf "odd dangling %s\n" "$path"
        fi
    done' sh {} + \
    -o ! -type f -exec sh -c 'printf "odd other %s\n" "$@"' sh {} +
find . "$@" -o -type f -exec stat -c 'size %s %n' {} +
find . "$@" -o -type f -exec sha256sum {} +
echo end
"""

#: The names come on standard input, each behind `./`, so that tar takes none for an option.
_FETCH = r"""
LC_ALL=C; export LC_ALL
unset TAR_OPTIONS
renice -n 19 -p $$ >/dev/null 2>&1 || :
cd -P -- "$1" && exec tar -c -h -f - -T -
"""

_TOP = re.compile(r"top (/[^\0-\x1f\x7f]*)")
_SIZE = re.compile(r"size ([0-9]{1,18}) \./(.+)")
_SUM = re.compile(r"([0-9a-f]{64}) [ *]\./(.+)")
_LINK = re.compile(r"link ([0-9]{1,18}) ([0-9a-f]{64}|-) (/[^\0-\x1f\x7f]*)\t\./(.+)")
_TREE = re.compile(r"tree (/[^\0-\x1f\x7f]*)\t\./(.+)")
_ODD = re.compile(rf"odd ({'|'.join(ODD)}) \./(.+)")


@dataclass(frozen=True, slots=True)
class ListSite:
    """List a directory's tree, and hash its files. What `excludes` match is not looked into: a name, or ``/path``."""

    directory: str
    excludes: tuple[str, ...] = ()

    def argv(self) -> tuple[str, ...]:
        """The program, the directory, and what find leaves out."""
        return ("sh", "-c", _LIST, "lockstep-adopt", self.directory, *self._pruned())

    def parse(self, stdout: bytes, status: int | None) -> Listing:
        """The listing; every line must have its form, and the last one must be there."""
        if status == 0 and stdout in (b"absent\n", b"locked\n"):
            raise RefusedError(
                "there is no such directory" if stdout == b"absent\n" else "the account may not enter the directory",
                where=show(self.directory),
                expected="the directory from which the web server serves the app",
                remedy="name it with --from; the account is the one that the inventory names",
            )
        *lines, end, nothing = ["", *stdout.decode("utf-8", "surrogateescape").split("\n")]
        try:
            if (status, end, nothing) != (0, "end", ""):
                raise ValueError(end)
            return _read(lines[1:])
        except ValueError as error:
            raise UnansweredError(
                "no listing that can be understood",
                where=show(self.directory),
                found=f"exit status {status}, {printable(str(error)) or 'nothing'}",
                remedy="the account needs sh, find, stat, readlink and sha256sum on its PATH",
            ) from error

    def _pruned(self) -> Iterator[str]:
        for pattern in self.excludes:
            test = ("-path", f".{pattern}") if pattern.startswith("/") else ("-name", pattern)
            yield from (*test, "-prune", "-o")


@dataclass(frozen=True, slots=True)
class FetchSite:
    """A tar of the files whose names (`names`) come on standard input; links are followed."""

    directory: str

    def argv(self) -> tuple[str, ...]:
        """The program and the directory."""
        return ("sh", "-c", _FETCH, "lockstep-adopt", self.directory)


def names(paths: Iterable[str]) -> Iterator[bytes]:
    """The standard input of `FetchSite`, so many names at once that few packets carry them."""
    waiting = iter(paths)
    while some := list(islice(waiting, NAMES_AT_ONCE)):
        yield "".join(f"./{path}\n" for path in some).encode()


def _read(lines: list[str]) -> Listing:
    """`ValueError` for a line that has not its form, or tells a path again."""
    top = _TOP.fullmatch(lines[0]) if lines else None
    if top is None:
        raise ValueError(lines[0] if lines else "")
    sizes: dict[str, int] = {}
    sums: dict[str, str] = {}
    links: dict[str, Led] = {}
    odd: dict[str, str] = {}
    for line in lines[1:]:
        if size := _SIZE.fullmatch(line):
            _once(sizes, size[2], int(size[1]))
        elif told := _SUM.fullmatch(line):
            _once(sums, told[2], told[1])
        elif (link := _LINK.fullmatch(line)) and link[2] != "-":
            _once(links, link[4], Led(link[3], Held(int(link[1]), link[2])))
        elif link:
            odd[link[4]] = UNREADABLE
        elif tree := _TREE.fullmatch(line):
            _once(links, tree[2], Led(tree[1], None))
        elif strange := _ODD.fullmatch(line):
            # A directory may be told by more than one word, and two names may look alike.
            odd[strange[2]] = ODD[strange[1]]
        else:
            raise ValueError(line)
    odd |= dict.fromkeys(sizes.keys() ^ sums.keys(), UNREADABLE)
    files = {path: Held(sizes[path], sums[path]) for path in sizes.keys() & sums.keys()}
    return Listing(top[1], files, links, odd)


def _once(found: dict[str, T], path: str, value: T) -> None:
    if path in found:
        raise ValueError(path)
    found[path] = value
