"""What a site lists: experiments, the data sets of each, and their files, whole or one directory at a time.

All methods may be called from any thread, and ask the server.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import islice

from cachetools import LRUCache, TTLCache

from ...archive import Inside
from ...clock import Clock
from ...errors import BadAnswer, Denied, NotFound
from ...model import Container, FileRef, Group, Listing
from . import naming, rows
from .client import Client, Row, id_of
from .directories import Directories
from .options import Options
from .rows import Making

NAMES_KEPT = 20_000
COUNTED = 50_000
COUNTS_FOR = 600.0


class Catalogue:
    """One site's records as this program's values."""

    def __init__(self, client: Client, making: Making, options: Options, limit: int, clock: Clock) -> None:
        self._client = client
        self._making = making
        self._options = options
        self._limit = limit
        self._lock = threading.Lock()
        self._names: LRUCache[str, Row] = LRUCache(NAMES_KEPT)
        self._directories = Directories(client, clock)
        # How many files a data set has, and its time, so that a listing need not ask for them again.
        self._sizes: TTLCache[str, tuple[int, int]] = TTLCache(COUNTED, COUNTS_FOR, clock.monotonic)

    def experiments(self) -> Listing[Group]:
        """All that are shown to us."""
        found = list(islice(self._client.rows("experiment"), self._limit + 1))
        names = self._named(found)
        entries = tuple(rows.group(row, self._making, names) for row in found[: self._limit])
        complete = len(found) <= self._limit
        return Listing(entries, complete, "" if complete else "Experiments are found by their number, too: cd 12")

    def experiment(self, id: str) -> Group:
        """One experiment; NotFound, Denied."""
        row = self._row("experiment", id)
        return rows.group(row, self._making, self._named([row]))

    def datasets(self, experiment: str, limit: int) -> Listing[Container]:
        """Those of one experiment; NotFound."""
        found = list(islice(self._client.rows("dataset", experiments__id=experiment), limit + 1))
        if not found:
            self._row("experiment", experiment)
        return self._listing(found, limit)

    def newest(self, limit: int) -> Listing[Container]:
        """The newest of all data sets."""
        return self._listing(self._client.newest("dataset", limit + 1), limit)

    def dataset(self, id: str, experiment: str = "") -> Container:
        """One data set, if it is one of `experiment`; NotFound, Denied."""
        row = self._row("dataset", id)
        if experiment and experiment not in [id_of(uri) for uri in row.get("experiments") or ()]:
            raise NotFound(f"data set {id} is not one of experiment {experiment}")
        return self._container(row, self._named([row]))

    def files(self, dataset: str) -> Sequence[FileRef]:
        """All files of a data set; NotFound."""
        _, time = self._size(dataset)
        found = [self._file(row, dataset, time) for row in self._client.rows("dataset_file", dataset__id=dataset)]
        return naming.distinct(self._shown(found))

    def folder(self, dataset: str, path: tuple[str, ...]) -> Inside | None:
        """One directory of a data set; None where all of it is better listed at once. NotFound."""
        count, time = self._size(dataset)
        if count <= self._options.whole_dataset:
            return None
        place = self._directories.place(dataset, path)
        found: dict[str, FileRef] = {}
        # No directory of the site's shows a slash at the end of a value; to ask for what is not there costs little.
        ended = [f"{spelling}/" for spelling in place.spellings if spelling]
        for spelling in dict.fromkeys([*place.spellings, *ended]):
            for row in self._client.rows("dataset_file", dataset__id=dataset, directory=spelling):
                found[str(row.get("id"))] = self._file(row, dataset, time)
        # No filter matches a directory that is null.
        for row in self._client.some("dataset_file", [id for id in place.ids if id not in found]):
            found[str(row.get("id"))] = self._file(row, dataset, time)
        for row in place.rows:
            found[str(row.get("id"))] = self._file(row, dataset, time)
        if not found and not place.below and path:
            raise NotFound("/".join(path))
        return Inside(place.below, tuple(naming.distinct(self._shown(found.values()), place.below)))

    def _file(self, row: Row, dataset: str, time: int) -> FileRef:
        if id_of(row.get("dataset")) not in ("", dataset):
            raise BadAnswer(f"a file of another data set than {dataset} was listed: is its filter known there?")
        return rows.file(row, self._making, dataset, time)

    def _shown(self, files: Iterable[FileRef]) -> list[FileRef]:
        """Unverified ones are hidden, unless they are to be listed."""
        everything = self._options.unverified == "list"
        return [file for file in files if everything or ("verified", "yes") in file.extra]

    def _size(self, dataset: str) -> tuple[int, int]:
        """Number of files and time of a data set."""
        known = self._sizes.get(dataset)
        if known is None:
            self.dataset(dataset)
            known = self._sizes.get(dataset, (0, 0))
        return known

    def _listing(self, found: list[Row], limit: int) -> Listing[Container]:
        names = self._named(found)
        entries = sorted((self._container(row, names) for row in found), key=lambda each: int(each.id), reverse=True)
        complete = len(entries) <= limit
        return Listing(
            tuple(entries[:limit]), complete, "" if complete else "Data sets are found by their number, too."
        )

    def _container(self, row: Row, names: rows.Names) -> Container:
        made = rows.container(row, self._making, names)
        # Releases before 4 do not count.
        with self._lock:
            self._sizes[made.id] = (int(row.get("dataset_datafile_count") or 0), made.mtime_ns)
        return made

    def _row(self, resource: str, id: str) -> Row:
        try:
            return self._client.row(resource, id)
        except Denied as refused:
            # A record that is not for us is refused as a wrong key is.
            self._client.who()
            raise Denied(f"{resource} {id} is there, but not for this identity") from refused

    def _named(self, found: list[Row]) -> rows.Names:
        """The parameter names that `found` speak of: one request for all that are new."""
        wanted = rows.name_ids(found)
        with self._lock:
            missing = sorted(wanted - set(self._names), key=int)
        fetched = self._client.some("parametername", missing) if missing else []
        with self._lock:
            for row in fetched:
                self._names[str(row.get("id"))] = row
            return {id: self._names[id] for id in wanted if id in self._names}
