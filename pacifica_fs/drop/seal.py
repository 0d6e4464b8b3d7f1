"""What is in a bundle: its files with digests, what an archive does not keep, and the value that an inbox takes."""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from ..archive import Choosy, Sidecars
from ..model import Bundle, BundleFile, Digest, Metadata
from .bundle import MARK, SpoolBundle
from .complete import COMMIT, OWN, plain, temporary
from .journal import Entry, Journal, LeftOut, seconds
from .sidecar import FIELDS, LIMIT, Reading, read
from .spool import walk

CHUNK = 4 << 20
_TYPES = frozenset({"application", "audio", "font", "example", "image", "message", "model", "text", "video"})


WORDS = Sidecars(FIELDS)


class Inventory(msgspec.Struct, frozen=True):
    """What a look at a bundle's tree found; paths relative, in order. The names of `foreign` are no UTF-8."""

    files: tuple[tuple[str, os.stat_result], ...] = ()
    empty: tuple[str, ...] = ()
    temporary: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    unclosed: tuple[str, ...] = ()


def look(bundle: SpoolBundle) -> Inventory:
    """Everything in `bundle` but `.commit`; no lock is held, so who decides by it compares `generation` after."""
    opened = set(bundle.handles)
    files: list[tuple[str, os.stat_result]] = []
    unfinished: list[str] = []
    unclosed: list[str] = []
    directories: dict[str, bool] = {}
    foreign: list[str] = []
    for path, state in walk(bundle.files):
        parent, _, name = path.rpartition("/")
        if plain(name) != name:
            foreign.append(path)
        directories[parent] = True
        if stat.S_ISDIR(state.st_mode):
            directories[path] = False
        elif path != COMMIT and stat.S_ISREG(state.st_mode):
            files.append((path, state))
            if temporary(path):
                unfinished.append(path)
            if state.st_mode & MARK and state.st_ino not in opened:
                unclosed.append(path)
    empty = tuple(path for path, full in directories.items() if path and not full)
    return Inventory(tuple(files), empty, tuple(unfinished), tuple(foreign), tuple(unclosed))


def sidecar(bundle: SpoolBundle, words: Sidecars = WORDS) -> tuple[str, Reading]:
    """The file that is the bundle's sidecar and what it says; ("", …) if there is none."""
    for name in bundle.sidecar_names:
        reading = _reading(bundle, name, words)
        if not reading.data:
            return name, reading
    return "", Reading()


def own_sidecars(bundle: SpoolBundle, words: Sidecars) -> dict[str, Reading]:
    """What the sidecars of single files say, by the path of the file, where the kind of archive has such."""
    found = {}
    for path, _ in walk(bundle.files) if words.each and os.path.isdir(bundle.files) else ():
        name = path + OWN
        if not path.endswith(OWN) and os.path.isfile(bundle.real(name)):
            reading = _reading(bundle, name, words)
            if not reading.data:
                found[path] = reading
    return found


def _reading(bundle: SpoolBundle, name: str, words: Sidecars) -> Reading:
    try:
        with open(bundle.real(name), "rb") as stream:
            return read(stream.read(LIMIT + 1), name, words.fields, words.structured)
    except (FileNotFoundError, IsADirectoryError):
        return Reading()


class Interrupted(Exception):
    """What was being hashed changed, or the daemon stops."""


def entries(
    bundle: SpoolBundle,
    found: Inventory,
    taken: str,
    algorithm: str,
    go_on: Callable[[], bool],
    own: Iterable[str] = (),
) -> list[Entry]:
    """The files with their digests; those that nobody hashed while they were written are read now.

    Raises Interrupted as soon as `go_on` says no, or if a file is not what it was.
    """
    result = []
    sidecars = {taken, *(path + OWN for path in own)}
    for path, state in found.files:
        key = state.st_size, state.st_mtime_ns
        known = bundle.digests.get(state.st_ino)
        if known is not None and known[:2] == key and known[2].algorithm == algorithm:
            digest = known[2]
        else:
            digest = _hash(bundle.real(path), key, algorithm, go_on)
            bundle.digests[state.st_ino] = (*key, digest)
        role = "sidecar" if path in sidecars else "data"
        result.append(Entry(path, *key, str(digest), state.st_mode & 0o777, role))
    return result


def chosen(files: Iterable[Entry], metadata: Metadata, choosy: Choosy) -> tuple[list[Entry], list[LeftOut]]:
    """`files` with the role `left` where the archive's rules leave them out, and the list."""
    result, left_out = [], []
    for entry in files:
        why = choosy.leaves_out(entry.path, metadata) if entry.role == "data" else ""
        if why:
            left_out.append(LeftOut(entry.path, why))
        result.append(msgspec.structs.replace(entry, role="left") if why else entry)
    return result, left_out


def known_already(files: Iterable[Entry], earlier: Iterable[Journal]) -> tuple[tuple[Entry, ...], tuple[LeftOut, ...]]:
    """`files` with the role `known` where an earlier bundle brought the same content to the same path, and the list."""
    there: dict[tuple[str, str], str] = {}
    for journal in earlier:
        for entry in journal.files:
            if entry.role == "data":
                there.setdefault((entry.path, entry.digest), journal.transaction)
    result, left_out = [], []
    for entry in files:
        transaction = there.get((entry.path, entry.digest)) if entry.role == "data" else None
        if transaction:
            result.append(msgspec.structs.replace(entry, role="known"))
            left_out.append(LeftOut(entry.path, f"already in transaction {transaction}"))
        else:
            result.append(entry)
    return tuple(result), tuple(left_out)


def not_kept(found: Inventory) -> tuple[str, ...]:
    """What the spool has and an archive does not take."""
    remarks = [f"the empty directory {plain(path)}" for path in found.empty]
    if any(state.st_mtime_ns % 1_000_000_000 for _, state in found.files):
        remarks.append("fractions of a second of modification times, where the archive has whole seconds")
    if any(state.st_mode & 0o111 for _, state in found.files):
        remarks.append("modes (some files are executable)")
    return tuple(remarks)


def as_bundle(bundle: SpoolBundle, metadata: Metadata, words: Sidecars = WORDS) -> Bundle:
    """The value that an inbox checks and sends."""
    journal = bundle.journal
    types = mimetypes.MimeTypes()
    files = tuple(
        BundleFile(
            entry.path, entry.size, entry.mtime_ns, Digest.parse(entry.digest), Path(bundle.real(entry.path)),
            mime_type(types, entry.path),
        )
        for entry in journal.files
        if entry.role == "data"
    )  # fmt: skip
    left = tuple(entry.path for entry in journal.files if entry.role == "left")
    paths = {file.path for file in files}
    own = {path: one.metadata for path, one in own_sidecars(bundle, words).items() if one.metadata and path in paths}
    created_ns = int(seconds(journal.created) * 1e9)
    return Bundle(journal.id, journal.archive, journal.name, files, metadata, created_ns, left, own)


def mime_type(types: mimetypes.MimeTypes, path: str) -> str:
    """By the name's suffix; a compressed file is just bytes, and types outside the registered families are, too."""
    found, encoding = types.guess_type(path)
    if found is None or encoding or found.partition("/")[0] not in _TYPES:
        return "application/octet-stream"
    return found


def _hash(real: str, key: tuple[int, int], algorithm: str, go_on: Callable[[], bool]) -> Digest:
    hasher = Digest(algorithm, "").hasher()
    try:
        with open(real, "rb", buffering=0) as stream:
            while data := stream.read(CHUNK):
                hasher.update(data)
                if not go_on():
                    raise Interrupted
            after = os.fstat(stream.fileno())
    except FileNotFoundError:
        raise Interrupted from None
    if (after.st_size, after.st_mtime_ns) != key:
        raise Interrupted
    return Digest(algorithm, hasher.hexdigest())
