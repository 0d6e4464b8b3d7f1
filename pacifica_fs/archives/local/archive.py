"""The reading side of a local archive: names from one scan, a transaction from one JSON, bytes from plain files."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator, Sequence

import msgspec

from ...archive import Arrival, Capabilities, Data, Where
from ...errors import Corrupt, Invalid, NotFound, PacificaFSError
from ...model import Container, FileRef, Group, Health, Listing, View
from .folder import ArchiveFolder
from .record import FILES, Header, Record, load, references

CHUNK = 1 << 20


class LocalArchive:
    """Implements `archive.Archive`; keeps no state, so every method may be called from any thread."""

    kind = "local"
    capabilities = Capabilities(ranges=True, instant=True, parallel=8, local=True)
    views = (
        View("transactions", purpose="every transaction, newest first"),
        View("recent", newest=100, purpose="the newest transactions"),
    )

    def __init__(self, name: str, folder: ArchiveFolder, identity: str) -> None:
        self.name = name
        self.identity = identity
        self._folder = folder

    def groups(self, dimension: str, where: Where) -> Listing[Group]:
        """There are no dimensions here: always NotFound."""
        raise NotFound(f"{self.name}: transactions are not grouped by {dimension}")

    def containers(self, where: Where, limit: int) -> Listing[Container]:
        """Transactions, highest id first; their times are those of their folders, which are not read for it."""
        if where:
            raise NotFound(f"{self.name}: transactions are not grouped by {', '.join(where)}")
        ids = self._folder.ids()
        newest = heapq.nlargest(limit, ids) if limit < len(ids) else sorted(ids, reverse=True)
        entries = []
        with self._folder.errors(f"{self._folder.transactions} cannot be listed"):
            here = os.open(self._folder.transactions, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for id in newest:
                    try:
                        found = os.stat(str(id), dir_fd=here, follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # somebody removed it since the scan
                    if stat.S_ISDIR(found.st_mode):
                        entries.append(Container(self.name, str(id), found.st_mtime_ns))
            finally:
                os.close(here)
        complete = len(newest) == len(ids)
        remark = "" if complete else f"There are {len(ids)} transactions."
        return Listing(tuple(entries), complete, remark)

    def container(self, id: str) -> Container:
        """What the transaction's JSON says, without its files."""
        header = load(self._folder, id, Header)
        info = msgspec.to_builtins(header)
        info["keys"] = [list(pair) for pair in header.keys]
        return Container(self.name, id, header.submitted_ns, {"id": id, **{k: v for k, v in info.items() if k != "id"}})

    def files(self, container: str) -> Sequence[FileRef]:
        """All files of a transaction, from one read of its JSON."""
        return references(self.name, container, load(self._folder, container, Record))

    def open(self, files: Sequence[FileRef], *, start: int = 0, attempt: int = 0) -> Iterator[Arrival]:
        """Chunks of at most 1 MiB. A file that is missing, or shorter or longer than listed, is Corrupt."""
        if start and len(files) != 1:
            raise Invalid("an offset makes sense for a single file only")
        for number, file in enumerate(files):
            yield from self._read_file(number, file, start)

    def probe(self) -> Health:
        """Whether the folder is there and is an archive."""
        begin = self._folder.clock.monotonic()
        try:
            self._folder.ids()
        except PacificaFSError as error:
            return Health(False, self.identity, error=str(error), services={"folder": str(error)})
        return Health(True, self.identity, self._folder.clock.monotonic() - begin, services={"folder": "ok"})

    def close(self) -> None:
        """Nothing is held."""

    def _read_file(self, number: int, file: FileRef, start: int) -> Iterator[Data]:
        descriptor = self._folder.open_below(file.container, FILES, *file.parts)
        path = f"{self._folder.transactions / file.container / FILES}/{'/'.join(file.parts)}"
        try:
            size = os.fstat(descriptor).st_size
            if size != file.size:
                raise Corrupt(f"{path} has {size} bytes, {file.size} were published: it was changed or is damaged")
            offset = start
            while offset < size:
                with self._folder.errors(f"{path} cannot be read"):
                    data = os.pread(descriptor, min(CHUNK, size - offset), offset)
                if not data:
                    raise Corrupt(f"{path} ends at byte {offset}, {size} were published: it is being changed")
                yield Data(number, offset, data)
                offset += len(data)
        finally:
            os.close(descriptor)
