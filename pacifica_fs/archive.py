"""What an archive and an inbox promise: two narrow protocols, and the events of a fetch.

A kind of archive is one file or package that implements these and is named by an entry point of the group
`pacifica_fs.archives`. Its `build(settings, effects)` returns a `Built`. Everything else of this program knows only
this module. `tests/contract/` has the suite that each kind passes.

Threading: every method may be called from any thread, several at once. Methods that talk to a server block, with the
deadlines of `transport.http`; no caller holds a lock meanwhile.

Errors: those of `pacifica_fs.errors` only. `NotFound` only where the archive itself said so; an outage is
`Unreachable`, a nonsensical answer `BadAnswer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from .clock import Clock
from .model import (
    Bundle,
    Container,
    Event,
    FileRef,
    Group,
    Health,
    Listing,
    Metadata,
    Problem,
    Progress,
    Ticket,
    View,
)

if TYPE_CHECKING:
    from .config import ArchiveSettings

Where = Mapping[str, str]
ANONYMOUS = "anonymous"
"""The identity of who has none."""


class Capabilities(msgspec.Struct, frozen=True):
    """What an archive can do cheaply; declared, so that nobody has to try.

    `ranges`: `open` of a file from `start` > 0 costs no more than from 0. `batch`: how many files one `open` may
    ask for. `instant`: the first byte comes within milliseconds, so nothing needs to be staged ahead. `parallel`:
    how many `open` streams at once are good for the server. `gathers`: `open` of a batch of small files
    asks for several of them at once, so it is cheaper than a stream for each, even where it is `instant`. `local`:
    `container` is answered from this machine in far less than a millisecond, so it is asked for whole listings, and not
    noted down for an outage. `growing`: a container may get more files after it was listed.
    """

    ranges: bool = False
    batch: int = 1
    instant: bool = False
    parallel: int = 4
    local: bool = False
    gathers: bool = False
    growing: bool = False


class Waiting(msgspec.Struct, frozen=True):
    """The archive is preparing bytes; `reason` is a sentence for `status/downloads.json`, `url` what is asked."""

    reason: str
    url: str = ""
    polls: int = 0


class Data(msgspec.Struct, frozen=True):
    """Bytes of the request's file number `index`, at `offset` of that file. Offsets of a file only grow."""

    index: int
    offset: int
    data: bytes | memoryview


Arrival = Waiting | Data


class Inside(msgspec.Struct, frozen=True):
    """One folder of a container: the raw paths of the folders in it, and its files; all `parts` are from the top."""

    folders: tuple[tuple[str, ...], ...]
    files: tuple[FileRef, ...]


class Archive(Protocol):
    """A place that keeps data sets, as containers of immutable files."""

    @property
    def name(self) -> str:
        """The configured name."""

    @property
    def kind(self) -> str:
        """The entry point's name."""

    @property
    def identity(self) -> str:
        """As whom the archive is read: another text for each who may see other content, ANONYMOUS for what anybody may;
        no secret. Content of one identity is never shown to another.
        """

    @property
    def capabilities(self) -> Capabilities:
        """What is cheap here; constant."""

    @property
    def views(self) -> tuple[View, ...]:
        """The ways to containers that this archive offers; constant. `tree.views` makes folders of them."""

    def groups(self, dimension: str, where: Where) -> Listing[Group]:
        """The values of `dimension` among containers that match `where` (dimension → value).

        NotFound if a value of `where` does not exist.
        """

    def containers(self, where: Where, limit: int) -> Listing[Container]:
        """Containers that match `where`, newest first, at most `limit`.

        One request for a listing (or a page of it), never one for each entry. `complete` is false if there are more.
        """

    def container(self, id: str) -> Container:
        """What is known about one container, with `info`. NotFound if the archive has no such id."""

    def files(self, container: str) -> Sequence[FileRef]:
        """All files of a container, in one request where the archive can. NotFound as `container`.

        Also what the server makes of it (exports): files of `size` UNKNOWN, which `open` gives from the start only.

        Files do not change; a repeated call may raise an outage but does not give other content.
        """

    def open(self, files: Sequence[FileRef], *, start: int = 0, attempt: int = 0) -> Iterator[Arrival]:
        """Bytes of `files` (of one container, at most `capabilities.batch`), as they arrive.

        A generator: the caller pulls, and closes it (`close()`) when it wants no more, upon which everything that the
        archive prepared for it is given back. While it waits for the server it yields `Waiting` at least every two
        seconds, so that a caller can watch its deadlines. `start` is an offset into the only file; an archive
        without `ranges` may begin at 0 all the same, `Data.offset` tells. It ends after the last byte of the last
        file; ending before is `BadAnswer` or `Unreachable`, raised, never a silent end. Bytes are *not* verified
        here: the content store does that for all kinds. `attempt` counts what the caller tried before and found
        wrong or broken: an archive with several ways to the same bytes takes the next of them.
        """

    def probe(self) -> Health:
        """Ask every server of this archive for a sign of life; never raises."""

    def close(self) -> None:
        """Give back connections; further calls may fail."""


@runtime_checkable
class Finder(Protocol):
    """What an archive may have besides: entries by their names, without the listing of their folder.

    Optional; without it a name is looked up in its folder's listing, and, where that is not complete, as a container's
    id. It is asked first in views that are `unlisted`, and in others for what an incomplete listing does not show.
    `name` is what a user typed: a label or id made safe by `tree.names`, or anything else, such as a name of which only
    a trailing id is right: what is found is shown under that name. NotFound is final, except for a name with a `~`,
    which is then looked up in the listing. No request for what cannot be a name here (`.git`).
    """

    def find_group(self, dimension: str, where: Where, name: str) -> Group:
        """The value of `dimension` called `name`, among containers that match `where`. NotFound."""

    def find_container(self, where: Where, name: str) -> Container:
        """The container called `name`, if it matches `where`; `info` may be empty. NotFound."""


@runtime_checkable
class Folded(Protocol):
    """What an archive may have besides: large containers one folder at a time, where `files` would take minutes."""

    def folder(self, container: str, path: tuple[str, ...]) -> Inside | None:
        """The folder at the raw `path`; None where `files` is the better way to this container. NotFound."""


@runtime_checkable
class Gathers(Protocol):
    """What an `instant` archive may have besides: some files come better in one `open` with others, up to `batch`."""

    def gathers(self, file: FileRef) -> bool:
        """Whether this is such a file. Asks nobody."""

    def open_group(self, group: str, files: Sequence[FileRef]) -> Iterator[Arrival]:
        """As `open`: all such files of a group (see `Archive.groups`), whatever container they are in."""


@runtime_checkable
class Recalls(Protocol):
    """What an archive may have besides: files on tape, which are `Offline` to `open` until they are recalled."""

    def recall(self, file: FileRef) -> bool:
        """Ask for a file to be brought back from tape; False: it is not on one. Returns before it is there.

        NotPermitted where the configuration forbids it.
        """


@runtime_checkable
class Versioned(Protocol):
    """What an archive may have besides: a cheap way to see that listings are as they were. Optional.

    It is asked every few seconds while somebody looks at the archive, in place of whole listings.
    """

    def version(self) -> str:
        """Equal texts: no listing has changed between the calls. One small request, or a few."""


@runtime_checkable
class Listener(Protocol):
    """What an archive may have besides: events that tell of new containers. Optional; gives it a folder `events/`."""

    def event(self, data: bytes) -> Event:
        """What an event says, from its JSON. Invalid, whose sentence says what is wrong. Asks nobody."""


class Inbox(Protocol):
    """Where an archive takes uploads."""

    @property
    def reversible(self) -> bool:
        """False where what is uploaded cannot be taken back: such bundles are never sealed by quiet alone."""

    @property
    def hash(self) -> str:
        """The algorithm for file digests that this archive wants (`sha1`)."""

    def check(self, bundle: Bundle) -> Sequence[Problem]:
        """Everything that would make the archive refuse `bundle`, found before a byte is sent; empty: go ahead.

        Looks at the local rules first and asks the server then. `bundle.files` may be empty while data is still
        copied: then only the metadata is judged. Raises `Unreachable` if the server could not be asked.
        """

    def send(self, bundle: Bundle, sent: Callable[[int], None], last: Callable[[], None]) -> Ticket:
        """Stream the bundle; returns once the server received it whole.

        `sent` is called with the number of bytes passed on so far (of `length(bundle)`). `last` is called exactly
        once, just before the part without which the server cannot accept the upload: an exception before that call
        means that nothing was ingested; an exception after it means that nobody knows (the caller must `find`).
        `Denied`, `Invalid` or `TooLarge`-like refusals that the server states are errors too.
        """

    def length(self, bundle: Bundle) -> int:
        """Bytes that `send` will pass on, with framing."""

    def poll(self, ticket: Ticket) -> Progress:
        """How far the job is. NotFound if the server does not know it (any more)."""

    def find(self, bundle: Bundle) -> Sequence[str]:
        """Ids of containers that hold this bundle: by its id among the key/values, else by its exact content.

        Empty: the archive was asked and has none (yet).
        """


@runtime_checkable
class Choosy(Protocol):
    """What an inbox may have besides: a say in which files make a bundle, and where it lies. Optional."""

    @property
    def layout(self) -> str:
        """Which folder is a bundle, where `layout` is not configured: `{dataset}/{revision}`."""

    @property
    def whole(self) -> bool:
        """True where a container is one upload: files that an earlier one had are sent again with what is new."""

    @property
    def manifest(self) -> str:
        """A file of this name lists a bundle's files: the bundle is complete once all of them are there.

        The archive may list one by itself that was not sent.
        """

    def listed(self, content: bytes) -> Mapping[str, int]:
        """Paths and sizes that a manifest's `content` lists. BadAnswer if it is none (yet)."""

    def leaves_out(self, path: str, metadata: Metadata) -> str:
        """Why the file at `path` is no part of what is sent; "" if it is."""

    def place(self, container: str) -> str:
        """Where the mount shows a container, below the archive's folder."""


@runtime_checkable
class Adds(Protocol):
    """What an inbox may have besides: its bundles become part of a container that has other files, too. Optional."""

    def added(self, bundle: Bundle, container: str) -> Sequence[FileRef]:
        """What the archive has of this bundle, by the paths that the files have in it. NotFound as `Archive.files`."""


@runtime_checkable
class Guides(Protocol):
    """What an inbox may have besides: texts that tell a user what to write into a sidecar. Optional.

    They are shown in `drop/ARCHIVE/`, where they can be read.
    """

    def guide(self, path: Sequence[str]) -> Sequence[str] | None:
        """The names in the folder `path`, or None where it is a text; NotFound. Asks no server.

        At the top (an empty path) all names begin with a dot. What is not listed may be there all the same.
        """

    def guide_text(self, path: Sequence[str], user: str) -> str:
        """The text at `path` for a user by the login name `user`; empty: for who uses the archive.

        May ask the archive, for some seconds at most. Invalid where the path asks for what makes no sense.
        """


class Sidecars(msgspec.Struct, frozen=True):
    """What an inbox takes in sidecars, where it has this as `sidecars`; else the fields that the drop knows.

    `fields` are the names; those of `structured` may be lists or objects, and are given as JSON text. `each`: a file
    may have a sidecar of its own, `FILE.metadata.json`, which is no data then.
    """

    fields: frozenset[str]
    structured: frozenset[str] = frozenset()
    each: bool = False


class Effects(msgspec.Struct, frozen=True):
    """What a kind may use of the outside world; tests pass their own."""

    clock: Clock
    state: Path
    cache: Path
    agent: str = "pacifica-fs"
    environ: Mapping[str, str] = {}


class Built(msgspec.Struct, frozen=True):
    """What a kind makes of its settings: `inbox` is None where the archive takes no uploads."""

    archive: Archive
    inbox: Inbox | None = None


class Build(Protocol):
    """The entry point of a kind."""

    def __call__(self, settings: ArchiveSettings, effects: Effects) -> Built:
        """Make the archive of `settings`; ConfigError if they are wrong. Contacts no server."""
