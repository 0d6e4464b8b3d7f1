"""A MyTardis site as an archive: the entry point of the kind `mytardis`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from ...archive import Arrival, Built, Capabilities, Data, Effects, Inside, Waiting, Where
from ...config import ArchiveSettings
from ...errors import BadAnswer, NotFound, PacificaFSError, Unverified
from ...model import Container, FileRef, Group, Health, Listing, View
from ...transport.credentials import Secrets
from ...transport.failures import shown
from ...transport.http import Http, Timeouts
from ...transport.providers import Context, Providers, Remote
from ...transport.providers.contract import Opened
from ...transport.pump import Pumps
from . import logins, naming
from .catalogue import Catalogue
from .client import Client, judge
from .downloads import Downloads
from .options import Options, options
from .probe import probe
from .rows import Making
from .tape import Tape

BATCH = 32
VIEWS = (View("", ("experiment",), purpose="experiments, their data sets, and the files of those", unlisted=True),)


class MyTardisArchive:
    """Experiments and data sets of a site; bytes by its own address, or by the provider of a replica's protocol."""

    kind = "mytardis"
    views = VIEWS

    def __init__(
        self, settings: ArchiveSettings, identity: str, chosen: Options, client: Client, effects: Effects
    ) -> None:
        self.name = settings.name
        self.identity = identity
        self._options = chosen
        self._client = client
        self._clock = effects.clock
        self._pumps = Pumps(room=8)
        making = Making(settings.name, chosen.zone, chosen.names)
        self._catalogue = Catalogue(client, making, chosen, settings.listing_limit, effects.clock)
        self._tape = Tape(client, chosen, effects.clock)
        self._downloads = Downloads(client, chosen, effects.clock)
        roots = tuple(Path(root) for root in chosen.provider_roots)
        self._providers = Providers(
            chosen.providers,
            Context(settings.name, client.http, roots, environ=effects.environ),
            f"{settings.source}: archives.{settings.name}.providers",
            own=self._downloads,
        )

    @property
    def capabilities(self) -> Capabilities:
        """Ranges are found out: see Downloads."""
        return Capabilities(
            ranges=self._downloads.ranges,
            batch=BATCH,
            instant=True,
            parallel=self._options.parallel,
            growing=True,
        )

    def groups(self, dimension: str, where: Where) -> Listing[Group]:
        """See Archive."""
        if dimension != "experiment" or where:
            raise NotFound(f"{self.name} does not group data sets by {dimension}")
        return self._catalogue.experiments()

    def containers(self, where: Where, limit: int) -> Listing[Container]:
        """See Archive."""
        experiment = self._experiment(where)
        return self._catalogue.datasets(experiment, limit) if experiment else self._catalogue.newest(limit)

    def container(self, id: str) -> Container:
        """See Archive."""
        return self._catalogue.dataset(self._checked(id))

    def find_group(self, dimension: str, where: Where, name: str) -> Group:
        """See Finder: by the id at the end of any name."""
        if dimension != "experiment" or where:
            raise NotFound(name)
        return self._catalogue.experiment(self._checked(naming.trailing_id(name)))

    def find_container(self, where: Where, name: str) -> Container:
        """See Finder."""
        return self._catalogue.dataset(self._checked(naming.trailing_id(name)), self._experiment(where))

    def files(self, container: str) -> Sequence[FileRef]:
        """See Archive."""
        return self._catalogue.files(self._checked(container))

    def folder(self, container: str, path: tuple[str, ...]) -> Inside | None:
        """See Folded."""
        return self._catalogue.folder(self._checked(container), path)

    def recall(self, file: FileRef) -> bool:
        """See Recalls."""
        return self._tape.recall(file)

    def open(self, files: Sequence[FileRef], *, start: int = 0, attempt: int = 0) -> Iterator[Arrival]:
        """See Archive. A thread of its own talks to the servers, so a caller never waits longer than two seconds."""
        return self._pumped(self._read(tuple(files), start))

    def open_group(self, group: str, files: Sequence[FileRef]) -> Iterator[Arrival]:
        """See Gathers: through the providers' hook for an experiment."""
        return self._pumped(self._read(tuple(files), 0, group))

    def _pumped(self, source: Generator[Arrival | None, None, None]) -> Iterator[Arrival]:
        last = Waiting("waiting for the site", self._client.http.base)
        arrivals: Generator[Arrival, None, None] = self._pumps.run(source, lambda: last)
        with closing(arrivals):
            for arrival in arrivals:
                if isinstance(arrival, Waiting):
                    last = arrival
                yield arrival

    def probe(self) -> Health:
        """See Archive."""
        return probe(self._client, self._tape, self._clock)

    def close(self) -> None:
        """See Archive."""
        self._pumps.close()
        self._client.http.close()

    def gathers(self, file: FileRef) -> bool:
        """See Gathers: a provider may bring many files at once."""
        return any(word == "protocol" for word, _ in file.extra)

    def _read(
        self, files: Sequence[FileRef], start: int, experiment: str = ""
    ) -> Generator[Arrival | None, None, None]:
        wanted: dict[int, Remote] = {}
        failure: PacificaFSError | None = None
        for index, ref in enumerate(files):
            try:
                yield from self._cleared(ref)
            except PacificaFSError as error:
                failure = failure or error  # keeps back no other file
            else:
                wanted[index] = _remote(ref)
        if len(files) == 1 and wanted and not experiment:
            yield from _data(0, self._providers.open(wanted[0], start), start, files[0])
        elif wanted:
            indexes = list(wanted)
            with closing(self._providers.open_all(list(wanted.values()), experiment)) as streams:
                for position, opened in streams:
                    yield from _data(indexes[position], opened, 0, files[indexes[position]])
        if failure is not None:
            raise failure

    def _cleared(self, ref: FileRef) -> Iterator[Waiting]:
        """Returns once `ref` may be asked for; Unverified, Offline."""
        remote = _remote(ref)
        if remark := self._providers.remark(remote):
            yield Waiting(remark, shown(remote.url))
        if ("verified", "yes") not in ref.extra:
            raise Unverified(f"{remote.path}: the site has no verified copy of this file")
        if not remote.protocol:
            yield from self._tape.fetch(ref)

    def _experiment(self, where: Where) -> str:
        unknown = sorted(set(where) - {"experiment"})
        if unknown:
            raise NotFound(f"{self.name} does not list data sets by {unknown[0]}")
        return self._checked(where["experiment"]) if where else ""

    def _checked(self, id: str) -> str:
        if naming.trailing_id(id) != id or not id:
            raise NotFound(f"{id!r} is not the number of anything")
        return id


def build(settings: ArchiveSettings, effects: Effects) -> Built:
    """The archive. ConfigError if the options are wrong."""
    chosen = options(settings, effects.environ)
    secrets = Secrets(settings.name, effects.environ)
    login = logins.make(settings.name, chosen, secrets)
    http = Http(
        chosen.url,
        clock=effects.clock,
        login=login,
        verify=chosen.verify,
        timeouts=Timeouts(chosen.timeouts.connect, chosen.timeouts.read),
        agent=effects.agent,
        judge=judge,
    )
    client = Client(http, chosen, effects.clock, login if isinstance(login, logins.Session) else None)
    return Built(MyTardisArchive(settings, logins.identity(chosen, secrets), chosen, client, effects))


def _remote(ref: FileRef) -> Remote:
    extra = dict(ref.extra)
    return Remote(
        ref.id, extra.get("url", ""), extra.get("protocol", ""), "/".join(ref.parts), ref.size, ref.mime_type or ""
    )


def _data(index: int, opened: Opened, start: int, ref: FileRef) -> Iterator[Data]:
    """The bytes from `start`; what a server that knows no ranges sends before it is dropped."""
    with closing(opened):
        offset = opened.start
        for piece in opened.chunks():
            skipped = min(len(piece), max(0, start - offset))
            if skipped < len(piece):
                yield Data(index, offset + skipped, memoryview(piece)[skipped:])
            offset += len(piece)
        if offset < ref.size:
            raise BadAnswer(f"{'/'.join(ref.parts)}: {offset} bytes came, and not {ref.size}")
