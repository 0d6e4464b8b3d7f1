"""A CKAN site as an archive: the entry point of the kind `ckan`."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ...archive import ANONYMOUS, Arrival, Built, Capabilities, Data, Effects, Waiting, Where
from ...config import ArchiveSettings
from ...errors import NotFound, PacificaFSError, Stale
from ...model import UNKNOWN, Container, FileRef, Group, Health, Listing, View
from ...transport.credentials import Secrets
from ...transport.http import Http, Timeouts
from ...transport.providers import Context, Providers, Remote
from ...transport.providers.contract import Opened
from ...transport.pump import Pumps
from .api import Api, Token, judge
from .catalogue import Catalogue
from .inbox import CkanInbox
from .options import Options, options
from .site import Site

VIEWS = (
    View("", ("organisation",), purpose="organisations, their packages, and the files of those", unlisted=True),
    View("packages", (), purpose="every package by its name or id", unlisted=True),
)
CHUNK = 1 << 20


class CkanArchive:
    """Organisations, packages and resources of a site."""

    kind = "ckan"
    views = VIEWS

    def __init__(
        self, settings: ArchiveSettings, chosen: Options, http: Http, token: Token, site: Site, effects: Effects
    ) -> None:
        self.name = settings.name
        self.capabilities = Capabilities(ranges=True, instant=True, parallel=chosen.parallel)
        self._token, self._site, self._http = token, site, http
        self._api = Api(http)
        self._clock = effects.clock
        self._pumps = Pumps()
        self._catalogue = Catalogue(settings.name, self._api, http, effects.clock)
        self._providers = Providers(
            chosen.providers,
            Context(settings.name, http, tuple(map(Path, chosen.provider_roots)), environ=effects.environ),
            f"{settings.source}: archives.{settings.name}.providers",
        )

    @property
    def identity(self) -> str:
        """By the token; a fingerprint of it, which tells nobody anything."""
        value = self._token.value
        return f"token {hashlib.sha256(value.encode()).hexdigest()[:12]}" if value else ANONYMOUS

    def groups(self, dimension: str, where: Where) -> Listing[Group]:
        """See Archive."""
        if dimension != "organisation" or where:
            raise NotFound(f"{self.name} does not group packages by {dimension}")
        return self._catalogue.organisations()

    def containers(self, where: Where, limit: int) -> Listing[Container]:
        """See Archive."""
        return self._catalogue.packages(where, limit)

    def container(self, id: str) -> Container:
        """See Archive."""
        return self._catalogue.package(id)

    def find_group(self, dimension: str, where: Where, name: str) -> Group:
        """See Finder."""
        if dimension != "organisation" or where:
            raise NotFound(name)
        return self._catalogue.organisation(name)

    def find_container(self, where: Where, name: str) -> Container:
        """See Finder: by name or id."""
        return self._catalogue.package(name, where)

    def files(self, container: str) -> Sequence[FileRef]:
        """See Archive."""
        return self._catalogue.files(container)

    def open(self, files: Sequence[FileRef], *, start: int = 0, attempt: int = 0) -> Iterator[Arrival]:
        """See Archive. A thread of its own talks to the servers, so a caller never waits longer than two seconds."""
        last = Waiting("waiting for the site", self._http.base)
        arrivals: Generator[Arrival, None, None] = self._pumps.run(self._read(files[0], start), lambda: last)
        with closing(arrivals):
            yield from arrivals

    def probe(self) -> Health:
        """See Archive. Says that a token is not valid, which the site itself does not."""
        begun = self._clock.monotonic()
        try:
            identity, error = self._site.who(), ""
        except PacificaFSError as failure:
            return Health(False, self.identity, None, str(failure), {"site": str(failure)})
        latency = self._clock.monotonic() - begun
        if self._token.value and not identity:
            error = "the token is not valid (any more): the site takes us for the public. Make a new one there"
        services = {"site": "ok", **({"token": error} if error else {})}
        return Health(True, identity or "anonymous", latency, error, services)

    def close(self) -> None:
        """See Archive."""
        self._site.close()
        self._pumps.close()
        self._http.close()

    def _read(self, ref: FileRef, start: int) -> Generator[Arrival | None, None, None]:
        extra = dict(ref.extra)
        made = extra.get("made")
        if made == "schema":
            found = self._api.read("datastore_info", id=ref.id.partition("/")[0])
            fields = [field for field in found.get("fields", ()) if not field["id"].startswith("_")]
            text = msgspec.json.format(msgspec.json.encode({"fields": fields, "meta": found.get("meta")}), indent=2)
            yield Data(0, 0, text + b"\n")
            return
        url = extra.get("url", "")
        if made == "dump":
            # Chunked, without length or ranges; the catalogue knows the file as one of unknown size.
            url = self._http.url("datastore", "dump", ref.id.partition("/")[0]) + "?format=csv"
        elif extra.get("url_type") == "upload":
            # The site's own idea of its address may be another one than ours.
            url = self._http.base + urlsplit(url).path
        remote = Remote(
            ref.id, url, path="/".join(ref.parts), size=-1 if ref.size == UNKNOWN else ref.size,
            mime_type=ref.mime_type or "", validator=extra.get("etag", "") if start else "",
        )  # fmt: skip
        with closing(self._providers.open(remote, 0 if ref.size == UNKNOWN else start)) as opened:
            self._same(ref, opened)
            offset = opened.start
            for piece in opened.chunks():
                skipped = min(len(piece), max(0, start - offset))
                if skipped < len(piece):
                    yield Data(0, offset + skipped, memoryview(piece)[skipped:])
                offset += len(piece)

    def _same(self, ref: FileRef, opened: Opened) -> None:
        """Stale if the content is another than the one listed, or than an earlier part of it."""
        if ref.size == UNKNOWN:
            return
        if opened.size is not None and opened.size != ref.size:
            raise Stale(f"{'/'.join(ref.parts)}: has {opened.size} bytes now, {ref.size} when it was listed")
        self._site.pin(f"{ref.id} {ref.validator}", opened.validator)


def build(settings: ArchiveSettings, effects: Effects) -> Built:
    """The archive and its inbox. ConfigError if the options are wrong."""
    chosen = options(settings)
    secrets = Secrets(settings.name, effects.environ)
    host = urlsplit(chosen.url).hostname or ""
    token = Token(lambda: secrets.get("token", configured=chosen.token, host=host))

    def http(base: str, login: Token | None) -> Http:
        return Http(
            base, clock=effects.clock, login=login, verify=chosen.verify, agent=effects.agent, judge=judge,
            timeouts=Timeouts(chosen.timeouts.connect, chosen.timeouts.read),
        )  # fmt: skip

    main = http(chosen.url, token)
    site = Site(Api(main), effects.clock)
    archive = CkanArchive(settings, chosen, main, token, site, effects)
    pusher = http(chosen.datapusher, None) if chosen.datapusher else None
    return Built(archive, CkanInbox(settings, chosen, main, token, site, pusher, effects))
