"""A Pacifica site as an archive: the entry point of the kind `pacifica`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from ...archive import Arrival, Built, Capabilities, Effects, Waiting, Where
from ...config import ArchiveSettings
from ...errors import ConfigError, NotFound, PacificaFSError
from ...model import Container, Event, FileRef, Group, Health, Listing
from ...transport.http import Http
from ...transport.pump import Pumps
from . import events, rows
from .cartrun import Carts
from .catalogue import Catalogue
from .direct import ArchiveInterface, HashProxy
from .inbox import PacificaInbox
from .ladder import Ladder, Rung
from .metadata import Metadata
from .options import Options, options
from .policy import Policy
from .probe import probe
from .services import service
from .template import Template, parse
from .views import views

BATCH = 32


class PacificaArchive:
    """Transactions of a site, listed by its policy or metadata service, read through the cheapest way configured."""

    kind = "pacifica"

    def __init__(
        self,
        settings: ArchiveSettings,
        chosen: Options,
        services: dict[str, Http],
        catalogue: Catalogue,
        policy: Policy | None,
        effects: Effects,
    ) -> None:
        self.name = settings.name
        self.views = views(isinstance(catalogue, Metadata))
        self.identity = chosen.identity
        self._login = chosen.login
        self._services = services
        self._catalogue = catalogue
        self._policy = policy
        self._clock = effects.clock
        self._pumps = Pumps()
        self._ladder = Ladder(_rungs(chosen, services, effects), effects.clock)
        self.capabilities = Capabilities(
            ranges=bool(chosen.archive_interface) and chosen.ranges == "trusted",
            batch=BATCH,
            instant=bool(chosen.archive_interface or chosen.files_by_hash),
            parallel=chosen.parallel,
        )

    def groups(self, dimension: str, where: Where) -> Listing[Group]:
        """See Archive."""
        return self._catalogue.groups(dimension, where)

    def find_group(self, dimension: str, where: Where, name: str) -> Group:
        """See Finder."""
        return self._catalogue.group(dimension, where, name)

    def find_container(self, where: Where, name: str) -> Container:
        """See Finder: a transaction by its number, if it matches."""
        found = self._catalogue.newest({**where, "transaction": self._checked(name)}, 1).entries
        if not found:
            raise NotFound(f"transaction {name} is not here")
        return found[0]

    def event(self, data: bytes) -> Event:
        """See Listener."""
        return events.event(self.name, data)

    def version(self) -> str:
        """See Versioned."""
        return self._catalogue.version()

    def containers(self, where: Where, limit: int) -> Listing[Container]:
        """See Archive."""
        return self._catalogue.newest(where, limit)

    def container(self, id: str) -> Container:
        """See Archive."""
        found = self._catalogue.transaction(self._checked(id))
        time = rows.container(self.name, found.row).mtime_ns
        return Container(self.name, id, time, rows.info(found.row, found.keys, found.release))

    def files(self, container: str) -> Sequence[FileRef]:
        """See Archive."""
        found = self._catalogue.files(self._checked(container))
        return rows.file_refs(self.name, container, found)

    def open(self, files: Sequence[FileRef], *, start: int = 0, attempt: int = 0) -> Iterator[Arrival]:
        """See Archive. A thread of its own talks to the servers, so a caller never waits longer than two seconds."""
        last = Waiting("waiting for the site")
        source = self._ladder.read(tuple(files), start, attempt)
        arrivals: Generator[Arrival, None, None] = self._pumps.run(source, lambda: last)
        with closing(arrivals):
            for arrival in arrivals:
                if isinstance(arrival, Waiting):
                    last = arrival
                yield arrival

    def probe(self) -> Health:
        """See Archive."""
        return probe(self._services, self._policy, self._login, self._clock)

    def close(self) -> None:
        """See Archive. Carts that are being given back get a moment to finish."""
        self._pumps.close()
        for http in self._services.values():
            http.close()

    def _checked(self, id: str) -> str:
        if not rows.is_id(id):
            raise NotFound(f"{id!r} is not the number of a transaction")
        return id


def from_url(url: str) -> dict[str, str]:
    """The options that `pacifica+https://POLICY` stands for; the other services come as `?cart=https://…`."""
    return {"policy": url}


def build(settings: ArchiveSettings, effects: Effects) -> Built:
    """The archive, and its inbox where `ingest` is configured. ConfigError if the options are wrong."""
    chosen = options(settings, effects.environ)
    services = {name: service(settings, chosen, effects, url) for name, url in chosen.addresses().items()}
    policy = Policy(services["policy"], settings.name, chosen.login) if "policy" in services else None
    metadata = Metadata(services["metadata"], settings.name) if "metadata" in services else None
    catalogue: Catalogue | None = metadata or policy
    if catalogue is None:
        raise PacificaFSError("unreachable: options() has checked it")
    archive = PacificaArchive(settings, chosen, services, catalogue, policy, effects)
    if policy is None or "ingest" not in services:
        return Built(archive)
    template = _template(settings, chosen.template) if chosen.template else None
    return Built(
        archive,
        PacificaInbox(
            settings, chosen.login, services["ingest"], policy, metadata, catalogue, template, chosen.first_choice
        ),
    )


def _template(settings: ArchiveSettings, name: str) -> Template:
    """The site's uploader.json; a relative name is looked for beside the configuration."""
    path = Path(settings.source).parent / Path(name).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{settings.source}: [archives.{settings.name}]: template: {path} cannot be read: {error.strerror}"
        ) from error
    return parse(content, str(path))


def _rungs(chosen: Options, services: dict[str, Http], effects: Effects) -> list[Rung]:
    rungs: list[Rung] = []
    if "archive_interface" in services:
        rungs.append(ArchiveInterface(services["archive_interface"], chosen.ranges == "trusted"))
    if "files_by_hash" in services:
        rungs.append(HashProxy(services["files_by_hash"]))
    if "cart" in services:
        rungs.append(Carts(services["cart"], effects.clock, chosen.cart_stuck))
    return rungs
