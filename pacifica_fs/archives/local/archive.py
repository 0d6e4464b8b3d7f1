"""The reading side of a local archive: names from one scan, a transaction from one JSON, bytes from plain files."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator, Sequence

import msgspec

from ...archive import Arrival, Capabilities, Data, Where
from ...errors import Corrupt, Invalid, PacificaFSError
from ...model import Container, FileRef, Group, Health, Listing, View
from .folder import ArchiveFolder
from .index import Index
from .record import FILES, Header, Record, load, references

CHUNK = 1 << 20
TERMS = {
    "project": "a project",
    "instrument": "an instrument",
    "user": "who submitted it",
    "after": "2020, 2020-05 or 2020-05-17: submitted then or later (UTC)",
    "before": "the same: submitted before it began",
    "key": "a key of the transaction",
    "value": "its value; only together with key",
}


class LocalArchive:
    """Implements `archive.Archive`; keeps no state but a disposable index. Any thread."""

    kind = "local"
    capabilities = Capabilities(ranges=True, instant=True, parallel=8, local=True)
    views = (
        View("transactions", purpose="every transaction, newest first"),
        View("recent", newest=100, purpose="the newest transactions"),
        View("projects", ("project",), purpose="by project"),
        View("instruments", ("instrument",), purpose="by instrument"),
        View("users", ("user",), purpose="by who submitted it"),
        View("dates", ("year", "month", "day"), purpose="by the day of its submission (UTC)"),
        View("keys", ("key", "value"), purpose="by its keys and their values"),
        View("search", purpose="by several of these at once", terms=TERMS),
    )

    def __init__(self, name: str, folder: ArchiveFolder, identity: str, index: Index) -> None:
        self.name = name
        self.identity = identity
        self._folder = folder
        self._index = index

    def groups(self, dimension: str, where: Where) -> Listing[Group]:
        """See Archive. Values that transactions have; what a transaction leaves empty is in no group."""
        return Listing(tuple(self._index.groups(dimension, where, self._folder.ids(), self._header)))

    def version(self) -> str:
        """See Versioned: the time of the folder with the transactions."""
        self._folder.require()
        with self._folder.errors(f"{self._folder.transactions} cannot be read"):
            return str(self._folder.transactions.stat().st_mtime_ns)

    def containers(self, where: Where, limit: int) -> Listing[Container]:
        """Transactions, highest id first; their times are those of their folders, which are not read for it."""
        ids = self._folder.ids()
        if where:
            ids = self._index.containers(where, ids, self._header, limit + 1)
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
        remark = "" if complete else "There are more transactions." if where else f"There are {len(ids)} transactions."
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
        """Let go of the index."""
        self._index.close()

    def _header(self, id: str) -> Header:
        return load(self._folder, id, Header)

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
