"""What a provider of bytes promises: three hooks, each giving an address to follow or a stream.

The protocol of a file is what its archive says it is, else the scheme of its URL. `docs/providers.md` shows one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..http import Http


class Remote(msgspec.Struct, frozen=True):
    """One file as its archive lists it, for a provider.

    `id` is the archive's own, `url` where it says that the bytes are, `protocol` its field of that name (empty: the
    URL's scheme counts). `path` is the file's path below its container, for messages. `size` in bytes, -1: unknown.
    `validator` is an ETag that must still hold where a download begins in the middle.
    """

    id: str
    url: str
    protocol: str = ""
    path: str = ""
    size: int = -1
    mime_type: str = ""
    validator: str = ""


class Follow(msgspec.Struct, frozen=True):
    """The bytes are at `url`, whose scheme says who is asked next; a relative one is the archive's."""

    url: str


class Opened(Protocol):
    """A stream of bytes; for one thread, closed in any case."""

    @property
    def start(self) -> int:
        """The offset of its first byte: what was asked for, or 0 where the provider cannot begin there."""

    @property
    def size(self) -> int | None:
        """Bytes of the whole file, where that is known before they came."""

    @property
    def validator(self) -> str:
        """The file's strong ETag, or an empty text."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes. `Unreachable` if it breaks off; never a silent end."""

    def close(self) -> None:
        """Give everything back; not all may have been read."""


Delivery = Follow | Opened


class Context(msgspec.Struct, frozen=True):
    """What a provider is made of: the archive that it works for, by name and address.

    `http` signs requests to the archive's own server (and no other), `roots` are the folders of this machine that may
    be read, `options` the provider's own table of the configuration.
    """

    archive: str
    http: Http
    roots: tuple[Path, ...] = ()
    options: Mapping[str, Any] = {}
    environ: Mapping[str, str] = {}


class Provider(Protocol):
    """Brings the bytes of files of one protocol. Made once, from a Context; any thread may call it.

    Hooks may block within the time-outs of `transport.http`. Errors are those of `pacifica_fs.errors`: `Unreachable`
    for an outage, `Denied`, `Unobtainable` where asking again is no use; any other exception is taken for `BadAnswer`.
    What comes is verified like all other content: by size, and by digest where the archive has one.
    """

    def download_datafile(self, file: Remote, start: int = 0) -> Delivery:
        """One file, from the offset `start` if that is cheap."""

    def download_experiment(self, id: str, files: Sequence[Remote]) -> Iterator[tuple[int, Delivery]]:
        """All `files` of this protocol in an experiment, with their indexes, in any order. Pulled one at a time: what
        was given is read and closed before the next is asked for."""

    def download_datafiles(self, files: Sequence[Remote]) -> Iterator[tuple[int, Delivery]]:
        """A list of files, as `download_experiment`."""


class OneByOne:
    """The two hooks for many files by way of the one for one; to inherit from."""

    def download_datafile(self, file: Remote, start: int = 0) -> Delivery:
        """See Provider."""
        raise NotImplementedError

    def download_experiment(self, id: str, files: Sequence[Remote]) -> Iterator[tuple[int, Delivery]]:
        """See Provider."""
        yield from self.download_datafiles(files)

    def download_datafiles(self, files: Sequence[Remote]) -> Iterator[tuple[int, Delivery]]:
        """See Provider."""
        for index, file in enumerate(files):
            yield index, self.download_datafile(file)
