"""The frozen values that every floor above speaks in.

All are immutable and may be shared between threads. Times are integer nanoseconds since the epoch, UTC;
sizes are bytes. `msgspec.Struct` is used instead of dataclasses because listings make tens of thousands
of these at once; `gc=False` keeps those out of the garbage collector's rounds, which immutable values without
references to themselves do not need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

UNKNOWN = -1
"""The `size` of a file that nobody knows before it was read."""

STRONG = frozenset({"sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s"})


class Digest(msgspec.Struct, frozen=True, gc=False):
    """A content's hash: `algorithm` is a name of hashlib with a fixed size, `value` lower-case hex."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """`sha1:f1d2…` as a value; raises ValueError for anything else."""
        algorithm, colon, value = text.partition(":")
        if not colon or not algorithm or not value:
            raise ValueError(f"not a digest: {text!r}")
        return cls(algorithm, value.lower())

    @property
    def strong(self) -> bool:
        """True where equal digests mean equal bytes, also against somebody who wants them to differ."""
        return self.algorithm in STRONG

    @property
    def computable(self) -> bool:
        """True where this machine can compute `algorithm` (a server may claim any word)."""
        return self.algorithm in hashlib.algorithms_available and not self.algorithm.startswith("shake")

    def hasher(self) -> hashlib._Hash:
        """A fresh hashlib object of this algorithm."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


class FileRef(msgspec.Struct, frozen=True, gc=False):
    """One file of a container, as its archive lists it.

    `parts` are the raw components of its path below the container, as the server says them: they may hold
    slashes, be `..` or be too long. `tree.names` makes them safe; nothing else may use them as a path.
    `validator` (an ETag) pins the content where there is no digest. `size` may be UNKNOWN, for what the server makes
    when it is asked (an export): such a file is shown with size 0, and is read through a spool of its own at each
    open, neither kept nor verified. `extra` is what else a kind knows of the file, by words of its own (`md5`,
    `version`): shown as `user.pacifica.WORD`, and handed back to it in `open`.
    """

    archive: str
    container: str
    id: str
    parts: tuple[str, ...]
    size: int
    mtime_ns: int
    digest: Digest | None = None
    validator: str | None = None
    mime_type: str | None = None
    extra: tuple[tuple[str, str], ...] = ()


class Container(msgspec.Struct, frozen=True):
    """What an archive lists as one unit. `info` is what `ID.json` shows; listings may leave it empty.

    `label` is the name of its folder, as the server says it (`tree.names` makes it safe); empty: its id. The id is
    unique in the archive, the label need not be: equal ones of one folder are shown as `LABEL~ID`. Containers with
    labels are looked up through their listing, or by `archive.Finder` where the view is `unlisted`.
    """

    archive: str
    id: str
    mtime_ns: int = 0
    info: Mapping[str, Any] = {}
    label: str = ""


class Group(msgspec.Struct, frozen=True):
    """One value of a dimension by which containers are grouped: a project, a user, a day.

    `id` is the value in a `where`; `label` is the folder's name, as of a Container; `info`, where there is some, is
    shown as a JSON document beside the folder.
    """

    id: str
    label: str = ""
    mtime_ns: int = 0
    info: Mapping[str, Any] = {}


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """Entries, and whether they are all: `remark` says to a user why not and where to look instead.

    A listing of groups may be complete and have a remark, on what it is complete of; it is shown as a README.txt.
    """

    entries: tuple[T, ...]
    complete: bool = True
    remark: str = ""


class View(msgspec.Struct, frozen=True):
    """One way to containers: the folder `name`, then a folder level for each dimension, then containers.

    `View("projects", ("project",))` is `projects/1234a/67`. `newest` limits to that many containers. `where` is a
    condition that all of its containers match (`{"released": "yes"}`). An empty `name` puts the levels directly into
    the archive's folder, beside the named views.

    `unlisted`: a name is looked up by itself (`archive.Finder`) instead of in its folder's listing, for archives
    where listings are long and a look-up is cheap. `missing`: why this view cannot be had as configured, and what to
    do; its folder then holds a README.txt that says so. `terms` makes it a search folder: a name such as
    `project=1234a,after=2020-05-01` is looked up there as `containers({"project": "1234a", "after": …})`; it maps each
    dimension that `containers` takes, in any combination, to a few words about its values.
    """

    name: str
    dimensions: tuple[str, ...] = ()
    newest: int = 0
    purpose: str = ""
    where: Mapping[str, str] = {}
    unlisted: bool = False
    missing: str = ""
    terms: Mapping[str, str] = {}


class Event(msgspec.Struct, frozen=True):
    """What an archive told of a new container: its `files`, without a request.

    `id` is the event's own; `container` may be empty where the event does not say. `where` has the container's values
    of dimensions, `keys` its key/value pairs, as far as the event has them. `type` is for the status.
    """

    id: str
    container: str = ""
    files: tuple[FileRef, ...] = ()
    mtime_ns: int = 0
    where: Mapping[str, str] = {}
    keys: tuple[tuple[str, str], ...] = ()
    type: str = ""


class Metadata(msgspec.Struct, frozen=True):
    """What a sidecar says, in one form for all kinds.

    `fields` are the named values (`submitter`, `project`, `instrument`, …), all as text; `keys` the key/value pairs in
    their order, the same key more than once if the sidecar says so; `native` the entries of a native list
    that neither covers, kept as they were; `files` the list of paths that make the bundle complete, if given.
    """

    fields: Mapping[str, str] = {}
    keys: tuple[tuple[str, str], ...] = ()
    native: tuple[Mapping[str, Any], ...] = ()
    files: tuple[str, ...] | None = None


class BundleFile(msgspec.Struct, frozen=True):
    """One file of a bundle: `path` is relative to it, with `/` between components; `source` is where its bytes are."""

    path: str
    size: int
    mtime_ns: int
    digest: Digest
    source: Path
    mime_type: str = "application/octet-stream"


class Bundle(msgspec.Struct, frozen=True):
    """One upload: what an inbox checks and sends. `id` is ours and rides along as a key/value.

    `left_out` are paths that are not in `files` because the inbox leaves them out (see `archive.Choosy`). `each` is
    what files' own sidecars (`FILE.metadata.json`) say, by the path of the file (see `archive.Sidecars`).
    """

    id: str
    archive: str
    name: str
    files: tuple[BundleFile, ...]
    metadata: Metadata
    created_ns: int = 0
    left_out: tuple[str, ...] = ()
    each: Mapping[str, Metadata] = {}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class Problem(msgspec.Struct, frozen=True):
    """One thing that keeps a bundle from being sent, for a scientist: what is wrong, and what to do."""

    what: str
    remedy: str = ""
    path: str = ""


class Ticket(msgspec.Struct, frozen=True):
    """What a server gave for an upload that it received whole. `details` is for the status, never for logic."""

    job: str
    details: Mapping[str, Any] = {}


class Progress(msgspec.Struct, frozen=True):
    """How far an ingest job is. `outcome` is `""` while it runs, then `done` or `failed`.

    `task` and `percent` are the server's own words; `container` is set once `done`; `message` says why it `failed`.
    `details` is for the status, on top of the ticket's, never for logic.
    """

    outcome: str = ""
    task: str = ""
    percent: float = 0.0
    message: str = ""
    container: str = ""
    details: Mapping[str, Any] = {}


class Health(msgspec.Struct, frozen=True):
    """What a probe of an archive found. `services` maps each server of it to `ok` or to what is wrong."""

    reachable: bool
    identity: str = ""
    latency: float | None = None
    error: str = ""
    services: Mapping[str, str] = {}
