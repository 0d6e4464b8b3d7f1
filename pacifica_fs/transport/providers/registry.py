"""Who brings the bytes of a protocol: what is configured, then installed (entry points), then built in, then fsspec."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from ...errors import BadAnswer, ConfigError, PacificaFSError, Unobtainable
from ..failures import shown
from .contract import Context, Delivery, Follow, Opened, Provider, Remote
from .folder import Folder
from .others import LOCAL, Fsspec, known
from .template import Template
from .web import Web

log = logging.getLogger(__name__)
GROUP = "pacifica_fs.providers"
STEPS = 5
_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]*")


class Providers:
    """The providers of one archive. Any thread may use it; what is not configured is made when it is first needed.

    `configured` maps a protocol to a template (`"/vbl/datafile/{id}/"`), a class (`"my_module:Provider"`), or a table
    of options for the provider that there is (`{ anon = true }`; with `use = "…"` for one of the first two).
    """

    def __init__(
        self,
        configured: Mapping[str, Any],
        context: Context,
        place: str = "providers",
        own: Provider | None = None,
    ) -> None:
        """ConfigError, beginning with `place`, if a configured one is wrong.

        `own` brings what has no protocol, which is otherwise an address at the archive's server.
        """
        self._context = context
        self._place = place
        self._web = Web(context.http)
        self._made: dict[str, Provider] = {} if own is None else {"": own}
        self._options: dict[str, Mapping[str, Any]] = {}
        self._remarked: set[str] = set()
        for protocol, value in configured.items():
            self._configure(protocol, value)

    def protocol(self, file: Remote) -> str:
        """The protocol that counts: the archive's field, else the URL's scheme, else an empty text (the archive's own
        address)."""
        return (file.protocol or urlsplit(file.url).scheme).lower()

    def remark(self, file: Remote) -> str:
        """A sentence for the status where field and scheme disagree, else an empty text."""
        scheme = urlsplit(file.url).scheme.lower()
        if not scheme or not file.protocol or scheme == file.protocol.lower():
            return ""
        return (
            f"{file.path or file.id}: the archive says protocol '{file.protocol}', but its URL is {shown(file.url)}: "
            f"'{file.protocol}' counts"
        )

    def provider(self, protocol: str) -> Provider:
        """Who brings `protocol`; Unobtainable, with what to do, if nobody does."""
        made = self._made.get(protocol)
        if made is None:
            try:
                made = self._made[protocol] = self._make(protocol)
            except ConfigError as error:
                # Found out when a file is read, whose reader expects EIO.
                raise Unobtainable(str(error)) from error
        return made

    def open(self, file: Remote, start: int = 0) -> Opened:
        """One file's bytes, from `start` where its provider can; addresses are followed."""
        self._say(file)
        with _judged(file):
            delivery = self.provider(self.protocol(file)).download_datafile(file, start)
        return self._followed(file, delivery, start)

    def open_all(self, files: Sequence[Remote], experiment: str = "") -> Generator[tuple[int, Opened], None, None]:
        """The bytes of many files, of any mixture of protocols, with their indexes; all of one protocol at a time.

        With an `experiment`, `files` are all of it. Each stream is read and closed before the next is pulled. What
        cannot be had of one protocol keeps back no other: its error is raised at the end.
        """
        groups: dict[str, list[int]] = {}
        for index, file in enumerate(files):
            self._say(file)
            groups.setdefault(self.protocol(file), []).append(index)
        failure: PacificaFSError | None = None
        for protocol, indexes in groups.items():
            try:
                yield from self._group(protocol, files, indexes, experiment)
            except PacificaFSError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _group(
        self, protocol: str, files: Sequence[Remote], indexes: Sequence[int], experiment: str
    ) -> Generator[tuple[int, Opened], None, None]:
        chosen = [files[index] for index in indexes]
        provider = self.provider(protocol)
        hook = provider.download_experiment(experiment, chosen) if experiment else provider.download_datafiles(chosen)
        left = set(range(len(chosen)))
        for position, delivery in _pulled(hook, chosen[0]):
            if position not in left:
                raise BadAnswer(f"the provider of '{protocol}' gives a file twice, or one that nobody asked for")
            left.discard(position)
            yield indexes[position], self._followed(chosen[position], delivery, 0)
        if left:
            raise BadAnswer(f"the provider of '{protocol}' leaves out {chosen[min(left)].path or 'a file'}")

    def _followed(self, file: Remote, delivery: Delivery, start: int) -> Opened:
        seen = file.url
        for _ in range(STEPS):
            if not isinstance(delivery, Follow):
                return delivery
            # Relative ones are the archive's.
            url = urljoin(self._context.http.base + "/", delivery.url)
            scheme = urlsplit(url).scheme.lower()
            if url == seen and scheme not in ("http", "https"):
                break
            seen = url
            target = msgspec.structs.replace(file, url=url, protocol=scheme)
            with _judged(file):
                delivery = self.provider(scheme).download_datafile(target, start)
        if not isinstance(delivery, Follow):
            return delivery
        raise Unobtainable(f"{shown(file.url)}: leads from address to address without end")

    def _configure(self, protocol: str, value: Any) -> None:
        place = f"{self._place}.{protocol}"
        if not _PROTOCOL.fullmatch(protocol):
            raise ConfigError(f"{place}: not a protocol: letters, digits, '+', '-' and '.', in lower case")
        options: Mapping[str, Any] = {}
        if isinstance(value, Mapping):
            options = {key: each for key, each in value.items() if key != "use"}
            value = value.get("use", "")
        self._options[protocol] = options
        if not isinstance(value, str):
            raise ConfigError(f'{place}: an address with {{id}}, or "module:Class", was expected, not {value!r}')
        if _CLASS.fullmatch(value):
            self._made[protocol] = self._of_class(place, value, options)
        elif value:
            try:
                self._made[protocol] = Template(value)
            except ValueError as error:
                raise ConfigError(f"{place}: {error}") from error

    def _of_class(self, place: str, value: str, options: Mapping[str, Any]) -> Provider:
        module, _, name = value.partition(":")
        try:
            factory: Any = importlib.import_module(module)
            for part in name.split("."):
                factory = getattr(factory, part)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{place}: {value!r} cannot be loaded: {error}") from error
        return self._built(factory, options, place)

    def _built(self, factory: Any, options: Mapping[str, Any], place: str) -> Provider:
        try:
            made = factory(msgspec.structs.replace(self._context, options=options))
        except PacificaFSError:
            raise
        except Exception as error:
            raise ConfigError(f"{place}: the provider cannot be made: {error!r}") from error
        hooks = ("download_datafile", "download_experiment", "download_datafiles")
        missing = [hook for hook in hooks if not callable(getattr(made, hook, None))]
        if missing:
            raise ConfigError(f"{place}: the provider has no {' and no '.join(missing)}")
        provider: Provider = made
        return provider

    def _make(self, protocol: str) -> Provider:
        options = self._options.get(protocol, {})
        for point in entry_points(group=GROUP, name=protocol):
            try:
                factory = point.load()
            except ImportError as error:
                raise ConfigError(f"the provider of '{protocol}' ({point.value}) cannot be loaded: {error}") from error
            return self._built(factory, options, f"the provider of '{protocol}'")
        if protocol in ("", "http", "https"):
            return self._web
        if protocol == "file":
            return Folder(self._context.roots, self._context.archive)
        if known(protocol):
            return Fsspec(protocol, options)
        hint = f'{self._place} = {{ {protocol} = "/address/{{id}}" }}'
        more = "" if protocol in LOCAL else "; for s3, ftp, sftp and the like install pacifica-fs[fsspec]"
        raise Unobtainable(f"nobody here knows how to read protocol '{protocol}': configure {hint}{more}")

    def _say(self, file: Remote) -> None:
        remark = self.remark(file)
        if remark and remark not in self._remarked and len(self._remarked) < 1000:
            self._remarked.add(remark)
            log.warning("%s: %s", self._context.archive, remark)


class _judged:  # noqa: N801 - reads as a word of the `with` statement
    """Any exception that a provider is not supposed to raise is a BadAnswer."""

    def __init__(self, file: Remote) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, PacificaFSError):
            raise BadAnswer(f"{shown(self._file.url)}: its provider failed: {error!r}") from error


def _pulled(hook: Iterator[tuple[int, Delivery]], file: Remote) -> Iterator[tuple[int, Delivery]]:
    """The items of a hook, what it raises judged; closed with this generator."""
    try:
        while True:
            with _judged(file):
                item = next(hook, None)
            if item is None:
                return
            yield item
    finally:
        close = getattr(hook, "close", None)
        if close is not None:
            close()
