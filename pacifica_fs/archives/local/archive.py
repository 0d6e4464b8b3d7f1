"""Reading a `local` archive, and its entry point."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ...archive import Arrival, Built, Capabilities, Data, Effects, Where
from ...config import ArchiveSettings
from ...errors import BadAnswer, NotFound, PacificaFSError, Unreachable
from ...model import Container, FileRef, Group, Health, Listing, View
from .inbox import LocalInbox
from .layout import Head, Layout, Record, digest_of

CHUNK = 1 << 20


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`path`: the archive's folder; by default one among this program's own state."""

    path: str = ""


def build(settings: ArchiveSettings, effects: Effects) -> Built:
    """The entry point of the kind; ConfigError if the folder cannot be used."""
    options = settings.options_as(Options)
    root = Path(options.path).expanduser() if options.path else effects.state / "local" / settings.name
    layout = Layout(root.absolute())
    layout.prepare()
    layout.sweep()
    return Built(LocalArchive(settings.name, layout), LocalInbox(layout, settings.hash, effects))


class LocalArchive:
    """Transactions in a folder. Any thread; nothing is kept in memory."""

    kind = "local"
    views = (
        View("transactions", purpose="all transactions by id"),
        View("recent", newest=100, purpose="the newest 100"),
    )
    capabilities = Capabilities(ranges=True, batch=64, instant=True, parallel=8)

    def __init__(self, name: str, layout: Layout) -> None:
        self.name = name
        self._layout = layout

    @property
    def identity(self) -> str:
        """The user that the mount runs as: this machine's permissions decide."""
        return f"uid {os.getuid()}"

    def groups(self, dimension: str, where: Where) -> Listing[Group]:
        """None: a folder is listed by id only."""
        raise NotFound(f"there is no view by {dimension}")

    def containers(self, where: Where, limit: int) -> Listing[Container]:
        """Newest first; one look at the folder and one small file for each that is shown."""
        if where:
            raise NotFound(f"there is no view by {', '.join(where)}")
        ids = self._layout.ids()
        if not ids:
            self._layout.check()
        found = []
        for id in ids[:limit]:
            try:
                found.append(self.container(str(id)))
            except NotFound:  # removed by hand since the folder was read
                continue
        return Listing(tuple(found), complete=len(ids) <= limit)

    def container(self, id: str) -> Container:
        """What `transaction.json` says, without the files."""
        head: Head = self._layout.read(id, Head)
        info = msgspec.to_builtins(head)
        del info["submitted_ns"]
        return Container(self.name, head.id, head.submitted_ns, info)

    def files(self, container: str) -> Sequence[FileRef]:
        """From one `transaction.json`."""
        record: Record = self._layout.read(container, Record)
        return [
            FileRef(
                archive=self.name,
                container=container,
                id=f"{container}/{number}",
                parts=tuple(file.path.split("/")),
                size=file.size,
                mtime_ns=file.mtime_ns,
                digest=digest_of(file),
                mime_type=file.mime_type,
            )
            for number, file in enumerate(record.files)
        ]

    def open(self, files: Sequence[FileRef], *, start: int = 0, attempt: int = 0) -> Iterator[Arrival]:
        """The bytes as they are on disk."""
        for index, file in enumerate(files):
            yield from self._read(index, file, start)

    def probe(self) -> Health:
        """Is the folder there?"""
        before = time.monotonic()
        try:
            self._layout.check()
        except PacificaFSError as error:
            return Health(False, self.identity, error=str(error), services={"folder": str(error)})
        return Health(True, self.identity, time.monotonic() - before, services={"folder": "ok"})

    def close(self) -> None:
        """Nothing to give back."""

    def _read(self, index: int, file: FileRef, start: int) -> Iterator[Arrival]:
        folder = self._layout.folder(file.container) / "files"
        path = folder.joinpath(*file.parts)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            self._layout.check()
            raise BadAnswer(f"{path}: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode) or not path.resolve().is_relative_to(folder.resolve()):
                raise BadAnswer(f"{path}: not a plain file")
            offset = start
            while data := self._chunk(fd, offset, path):
                yield Data(index, offset, data)
                offset += len(data)
            if offset < file.size:
                raise BadAnswer(f"{path}: ends after {offset} of {file.size} bytes")
        finally:
            os.close(fd)

    def _chunk(self, fd: int, offset: int, path: Path) -> bytes:
        try:
            return os.pread(fd, CHUNK, offset)
        except OSError as error:
            raise Unreachable(f"{path}: {error.strerror}") from error
