"""The folder `events/` of an archive: what is written into it is an event; its files appear in a folder beside it.

A name that was written exists until it is closed. An event that was accepted is `EVENT-ID/` and `EVENT-ID.json` from
then on; its own name can still be found for a moment, for programs that set its time or rename it after they closed it.

Threading: nodes and handles may be used from any thread.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

from ..errors import Denied, NotFound, NotPermitted, PacificaFSError, TooLarge
from ..model import Event
from ..tree.names import safe_entries, safe_name
from ..tree.nodes import DIRECTORY, FILE, Attributes, Directory, Node, inode
from ..tree.virtual import Entries, FixedFile
from .desk import Desk
from .store import KEPT, Kept

Content = Callable[[Event], Directory]

LARGEST = 64 << 20
LINGERS = 60.0
"""Seconds for which the name of an accepted event can be found."""
README = "README.txt"
JSON = ".json"
TEXT = """Copy an event into this folder, under any name: a CloudEvent of the site's notifications (0.1 or 1.0), or the
JSON of a transaction's information. When it was closed without an error, its files are in EVENT-ID/, and the event
itself is EVENT-ID.json; rm that to forget it. Why one is refused (EINVAL) stands in status/events/{archive}.json.
The newest {kept} are kept.

    cp event.json {archive}/events/
    pacifica-fs events --listen 127.0.0.1:8080        receives them from the site
"""


class EventsFolder:
    """The folder. `content(event)` makes the folder with an event's files."""

    def __init__(self, desk: Desk, content: Content) -> None:
        self._desk = desk
        self._content = content
        self._lock = threading.Lock()
        self._written: dict[str, EventFile] = {}
        self.ino = inode(desk.archive, "events")

    def attributes(self) -> Attributes:
        """A directory's, its owner's alone."""
        return Attributes(DIRECTORY | 0o700)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._desk.archive.encode()}

    def entries(self) -> Entries:
        """The README, and each event with its files, the newest first."""
        entries: list[tuple[str, Node]] = [(README, self._readme())]
        kept = self._desk.store.kept()
        for name, id in _names(kept).items():
            entries += [(name, self._event(kept[id])), (name + JSON, EventDocument(self._desk, kept[id]))]
        return entries

    def lookup(self, name: str) -> Node:
        """An event's folder or document, or what is being written; NotFound."""
        if name == README:
            return self._readme()
        kept = self._desk.store.kept()
        names = _names(kept)
        if name in names:
            return self._event(kept[names[name]])
        stem = name.removesuffix(JSON)
        if name.endswith(JSON) and stem in names:
            return EventDocument(self._desk, kept[names[stem]])
        with self._lock:
            file = self._written.get(name)
            if file is None or file.gone:
                raise NotFound(name)
            return file

    def create(self, name: str, flags: int, mode: int) -> tuple[EventFile, EventHandle]:
        """A file to write an event into."""
        file = EventFile(self, self._desk, name)
        with self._lock:
            for old in [old for old, one in self._written.items() if one.gone]:
                del self._written[old]
            self._written[name] = file
        return file, file.open(flags)

    def unlink(self, name: str) -> None:
        """Forget an event, by its document; or what was written."""
        stem = name.removesuffix(JSON)
        names = _names(self._desk.store.kept())
        if name.endswith(JSON) and stem in names:
            self._desk.store.remove(names[stem])
            return
        with self._lock:
            if self._written.pop(name, None) is None:
                raise NotPermitted(f"rm {name}.json forgets an event") if name in names else NotFound(name)

    def rename(self, name: str, to: object, new: str) -> None:
        """What is being written, or was a moment ago, gets another name."""
        with self._lock:
            file = self._written.pop(name, None)
            if file is None:
                raise NotPermitted("events keep their names")
            if to is not self and not isinstance(to, EventsFolder):
                self._written[name] = file
                raise NotPermitted("an event stays in its folder")
            file.name = new
            self._written[new] = file

    def mkdir(self, name: str, mode: int) -> None:
        """Refused."""
        raise NotPermitted("only files can be events")

    def rmdir(self, name: str) -> None:
        """Refused."""
        raise NotPermitted(f"rm {name}.json forgets an event")

    def set_times(self, mtime_ns: int) -> None:
        """Without effect."""

    def set_mode(self, mode: int) -> None:
        """Without effect."""

    def _event(self, kept: Kept) -> EventFolder:
        return EventFolder(self._desk, kept, self._content)

    def _readme(self) -> FixedFile:
        text = TEXT.format(archive=self._desk.archive, kept=KEPT)
        return FixedFile((self._desk.archive, "events", README), text)


class EventFolder:
    """One event's files; its JSON is read when somebody looks."""

    __slots__ = ("_content", "_desk", "_kept", "ino")

    def __init__(self, desk: Desk, kept: Kept, content: Content) -> None:
        self._desk, self._kept, self._content = desk, kept, content
        self.ino = inode(desk.archive, "event folder", kept.id)

    def attributes(self) -> Attributes:
        """A directory's, with the time at which it came."""
        return Attributes(DIRECTORY, 0, self._kept.came_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._desk.archive.encode()}

    def entries(self) -> Entries:
        """The files and folders of its transaction, without a request."""
        return self._content(self._desk.store.event(self._kept.id)).entries()

    def lookup(self, name: str) -> Node:
        """One of them; NotFound."""
        return self._content(self._desk.store.event(self._kept.id)).lookup(name)


class EventDocument:
    """The event as it came."""

    __slots__ = ("_desk", "_kept", "ino")

    def __init__(self, desk: Desk, kept: Kept) -> None:
        self._desk, self._kept = desk, kept
        self.ino = inode(desk.archive, "event", kept.id)

    def attributes(self) -> Attributes:
        """With its size."""
        return Attributes(FILE, self._kept.size, self._kept.came_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._desk.archive.encode()}

    def render(self) -> bytes:
        """Its JSON. NotFound where it was forgotten meanwhile."""
        return self._desk.store.data(self._kept.id)


def _names(kept: Mapping[str, Kept]) -> Mapping[str, str]:
    return safe_entries(((id, "") for id in kept), (README, *(safe_name(id) for id in kept if id.endswith(JSON))))


class EventFile:
    """A file that becomes an event when it is closed."""

    def __init__(self, folder: EventsFolder, desk: Desk, name: str) -> None:
        self._desk = desk
        self.name = name
        self.ino = inode(desk.archive, "event being written", name, str(time.monotonic_ns()))
        self._lock = threading.Lock()
        self._data = bytearray()
        self._dirty = False
        self._open = 0
        self._until = float("inf")
        self._mtime_ns = time.time_ns()

    @property
    def gone(self) -> bool:
        """Whether its name is to be found no more."""
        return self._open == 0 and time.monotonic() > self._until

    def attributes(self) -> Attributes:
        """With the size so far."""
        return Attributes(FILE | 0o600, len(self._data), self._mtime_ns, ino=self.ino)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._desk.archive.encode()}

    def open(self, flags: int) -> EventHandle:
        """For writing; Denied for reading alone."""
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise Denied("an event is read as EVENT-ID.json")
        with self._lock:
            self._open += 1
        if flags & os.O_TRUNC:
            self.truncate(0)
        return EventHandle(self, bool(flags & os.O_APPEND))

    def truncate(self, size: int) -> None:
        """Set the size; TooLarge."""
        if size > LARGEST:
            raise TooLarge(f"an event has at most {LARGEST} bytes")
        with self._lock:
            self._dirty = self._dirty or size != len(self._data)
            del self._data[size:]
            self._data.extend(bytes(size - len(self._data)))

    def set_times(self, mtime_ns: int) -> None:
        """Shown as long as it is there."""
        self._mtime_ns = mtime_ns

    def set_mode(self, mode: int) -> None:
        """Without effect."""

    def read(self, size: int, offset: int) -> bytes:
        """What was written."""
        with self._lock:
            return bytes(self._data[offset : offset + size])

    def write(self, data: memoryview, offset: int | None) -> int:
        """At `offset`, or at the end. TooLarge."""
        with self._lock:
            at = len(self._data) if offset is None else offset
            if at + len(data) > LARGEST:
                raise TooLarge(f"an event has at most {LARGEST} bytes")
            if at > len(self._data):
                self._data.extend(bytes(at - len(self._data)))
            self._data[at : at + len(data)] = data
            self._dirty = True
            return len(data)

    def judge(self) -> None:
        """Take what was written as an event, if there is anything new. Invalid, NoSpace."""
        with self._lock:
            if not self._dirty or not self._data:
                return
            data = bytes(self._data)
            self._dirty = False
        try:
            self._desk.take(self.name, data)
        except PacificaFSError:
            self._until = 0.0
            raise
        self._until = time.monotonic() + LINGERS

    def release(self) -> None:
        """One of its handles is gone; without anything in it there is no event, and no name."""
        with self._lock:
            self._open -= 1
            if not self._data:
                self._until = min(self._until, time.monotonic() + LINGERS)


class EventHandle:
    """An open event."""

    direct = True

    def __init__(self, file: EventFile, appends: bool) -> None:
        self._file = file
        self._appends = appends

    def read(self, size: int, offset: int) -> bytes:
        """What was written."""
        return self._file.read(size, offset)

    def write(self, data: memoryview, offset: int) -> int:
        """All of it, or TooLarge."""
        return self._file.write(data, None if self._appends else offset)

    def truncate(self, size: int) -> None:
        """Set the size."""
        self._file.truncate(size)

    def flush(self) -> None:
        """A close: the event is taken, or refused. Durable."""
        self._file.judge()

    def fsync(self) -> None:
        """As a close."""
        self._file.judge()

    def attributes(self) -> Attributes:
        """The file's."""
        return self._file.attributes()

    def release(self) -> None:
        """Closed."""
        self._file.release()
