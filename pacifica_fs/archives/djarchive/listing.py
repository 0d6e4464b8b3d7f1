"""A revision's files as values: from its manifest, or from its objects where it has none. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...errors import BadAnswer
from ...model import Digest, FileRef
from . import manifest
from .store import Object


def listed(
    archive: str, container: str, data: bytes, about: Object, times: Mapping[str, int] | None, where: str
) -> tuple[FileRef, ...]:
    """The files of the manifest `data`, and itself. Their validator is the manifest's: it names their version.

    `times` are those of the objects by key; without them every file has the manifest's, which says when the revision
    was published. BadAnswer where a line is wrong, or two say different things of one path.
    """
    refs: dict[str, FileRef] = {}
    folders: dict[str, tuple[str, ...]] = {"": ()}
    for size, digest, path in manifest.parse(data, where):
        id = f"{container}/{path}"
        folder, _, name = path.rpartition("/")
        above = folders.get(folder)
        if above is None:
            above = folders[folder] = tuple(folder.split("/"))
        time = about.mtime_ns if times is None else times.get(id, about.mtime_ns)
        ref = FileRef(archive, container, id, (*above, name), size, time, Digest("sha256", digest), about.etag)
        if refs.setdefault(id, ref) != ref:
            raise BadAnswer(f"{where}: two lines say different things of {path!r}")
    refs[about.key] = FileRef(
        archive, container, about.key, (manifest.NAME,), about.size, about.mtime_ns, None, about.etag, "text/csv"
    )
    return tuple(refs.values())


def loose(archive: str, container: str, prefix: str, objects: Iterable[Object]) -> tuple[FileRef, ...]:
    """The files of a revision without a manifest, each pinned by its own ETag."""
    return tuple(
        FileRef(
            archive, container, each.key, tuple(each.key.removeprefix(prefix).split("/")), each.size, each.mtime_ns,
            None, each.etag,
        )
        for each in objects
    )  # fmt: skip
