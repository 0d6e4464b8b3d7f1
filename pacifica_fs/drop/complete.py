"""Who says that a bundle is complete: a pure decision from what is known about it.

In this order: nothing is complete while a file is open, has a temporary name, or was left without its end by a crash;
`.commit` says so at once; so does the sidecar's own `files` list, once all of it is there (and until then nothing else
does); a sidecar that was closed after the last file says so after `quiet`; else `quiet_unmarked` must pass. Where an
upload cannot be taken back, quiet alone never says it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import msgspec

COMMIT = ".commit"
OWN = ".metadata.json"
"""How the sidecar of a single file is called, after the name of the file."""
GAPS = 4
"""How many times the longest gap between two writes must pass in quiet."""

_TEMPORARY = re.compile(
    r"""^(
        \..+\.[A-Za-z0-9]{6}          # rsync
      | .*(\.part|\.partial|\.filepart|\.crdownload|\.tmp|~)
      | \..*\.sw[a-z] | 4913           # vim
      | \.\#.* | \#.*\#                # emacs
      | \.~lock\..*\# | ~\$.*          # office programs
      | \.goutputstream-.*
      | \.nfs[0-9a-f]{16,} | \.fuse_hidden[0-9a-f]+
    )$""",
    re.VERBOSE | re.DOTALL,
)


_UNFINISHED = frozenset({".~tmp~", ".rsync-partial"})
"""Folders in which rsync (--delay-updates, --partial-dir) keeps files under their later names."""


def temporary(path: str) -> bool:
    """True where programs write what they rename or move later; `path` is relative to the bundle."""
    *folders, name = path.split("/")
    return _TEMPORARY.match(name) is not None or not _UNFINISHED.isdisjoint(folders)


def plain(path: str) -> str:
    """`path` for people and for JSON: bytes of it that are no UTF-8 as `\\xe9`."""
    return os.fsencode(path).decode(errors="backslashreplace")


class Rules(msgspec.Struct, frozen=True):
    """The configured times in seconds, and whether an upload can be taken back."""

    quiet: float
    quiet_unmarked: float
    reversible: bool = True


class Facts(msgspec.Struct, frozen=True):
    """What is known about a bundle now. Times are seconds of one monotonic clock.

    `data` says whether there is any file but the sidecar, `follows` whether the bundle follows one of its name that was
    sent: without data there is nothing in it to send. `listed` is true where the sidecar has a `files` list, and
    `missing` those of it that are not there. `changed` is the time of the last change, `sidecar` and `last_data` those
    of the last close of each; None: never.
    """

    now: float
    changed: float
    data: bool = True
    follows: bool = False
    committed: bool = False
    gap: float = 0.0
    sidecar: float | None = None
    last_data: float | None = None
    listed: bool = False
    missing: Sequence[str] = ()
    opened: Sequence[str] = ()
    temporary: Sequence[str] = ()
    unclosed: Sequence[str] = ()


class Decision(msgspec.Struct, frozen=True):
    """`seal` now; or wait, at the latest until `at` (None: until something changes), because of `reason`."""

    seal: bool
    at: float | None
    reason: str


def decide(facts: Facts, rules: Rules) -> Decision:
    """Is the bundle of `facts` complete?"""
    if facts.unclosed:
        return Decision(False, None, f"{_some(facts.unclosed)} was being written when the mount stopped")
    if facts.opened:
        return Decision(False, None, f"{_some(facts.opened)} is still being written")
    if facts.temporary:
        return Decision(False, None, f"{_some(facts.temporary)} has the name of an unfinished file")
    if facts.follows and not facts.data:
        return Decision(False, None, "new files: what was sent before stays as it is")
    if facts.committed:
        return Decision(True, None, COMMIT)
    if facts.listed:
        if facts.missing:
            return Decision(False, None, f"the list is not complete: {_some(facts.missing)} is missing")
        return Decision(True, None, "all files of the list are there")
    if not facts.data:
        return Decision(False, None, "there are no files yet")
    if not rules.reversible:
        return Decision(False, None, f"this cannot be taken back, so it starts only with `touch {COMMIT}`")
    marked = facts.sidecar is not None and (facts.last_data is None or facts.sidecar >= facts.last_data)
    quiet = max(rules.quiet if marked else rules.quiet_unmarked, GAPS * facts.gap)
    at = facts.changed + quiet
    if facts.now >= at:
        return Decision(True, None, f"nothing was written for {quiet:.0f} s")
    why = "the sidecar is there" if marked else "no sidecar came after the last file"
    return Decision(False, at, f"{why}; starts after {quiet:.0f} s without a write, or with `touch {COMMIT}`")


def _some(names: Sequence[str]) -> str:
    first = plain(names[0])
    return first if len(names) == 1 else f"{first} (and {len(names) - 1} more)"
