"""A revision's files as values: from its manifest, or from its objects where it has none. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...errors import BadAnswer
from ...filetable import FileTable, Rows, Twice
from ...model import FileRef
from . import manifest
from .store import Object


def listed(
    archive: str,
    container: str,
    data: bytes | memoryview,
    about: Object,
    times: Mapping[str, int] | None,
    where: str,
) -> FileTable:
    """The files of the manifest `data`, and itself. Their validator is the manifest's: it names their version.

    `times` are those of the objects by key; without them every file has the manifest's, which says when the revision
    was published. BadAnswer where a line is wrong, or two say different things of one path.
    """
    rows, prefix, time = Rows(), f"{container}/", about.mtime_ns
    for block in manifest.blocks(data, where):
        digests = bytes.fromhex(b"".join(block.digests).decode())
        keys = (prefix + path.decode("utf-8", "surrogateescape") for path in block.paths)
        rows.add(block.paths, block.sizes, digests, [] if times is None else [times.get(key, time) for key in keys])
    rows.other(
        FileRef(
            archive, container, about.key, (manifest.NAME,), about.size, time, None, about.etag, "text/csv"
        )
    )  # fmt: skip
    try:
        return rows.table(archive, container, prefix, about.etag, time, "sha256")
    except Twice as twice:
        raise BadAnswer(f"{where}: two lines say different things of {str(twice)!r}") from None


def loose(archive: str, container: str, prefix: str, objects: Iterable[Object]) -> tuple[FileRef, ...]:
    """The files of a revision without a manifest, each pinned by its own ETag."""
    return tuple(
        FileRef(
            archive, container, each.key, tuple(each.key.removeprefix(prefix).split("/")), each.size, each.mtime_ns,
            None, each.etag,
        )
        for each in objects
    )  # fmt: skip
