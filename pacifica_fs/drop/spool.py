"""The durable home of bundles: its layout, its owner, and what is found in it after a start.

    SPOOL/format             the version, one line
    SPOOL/lock               held by the daemon that owns the spool; says which process and mount
    SPOOL/bundles/ID/        one bundle: bundle.json (the journal) and files/ (the user's tree, real names)
    SPOOL/queue/             what a user asked for while no daemon ran; see `queue`
    SPOOL/levels/ARCHIVE/    the folders above bundles, where `layout` has any

A bundle appears whole: it is made as `.new-ID` and renamed. Nothing here is ever deleted that the server did not
acknowledge, but what the user removes.
"""

from __future__ import annotations

import datetime
import fcntl
import itertools
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ..clock import Clock
from ..errors import Exists, Invalid, NotFound
from ..model import Metadata
from .bundle import MARK, SpoolBundle
from .complete import plain
from .disk import Disk
from .journal import NAME, Journal, encode, load, stamp
from .states import State
from .version import prepare

_ID = "%Y%m%dT%H%M%S%f"
log = logging.getLogger(__name__)


class Owner(msgspec.Struct, frozen=True):
    """Who holds the lock: its process and what it serves."""

    pid: int
    mount: str

    def __str__(self) -> str:
        return f"process {self.pid}, mounted at {self.mount}"


class Spool:
    """All bundles of one daemon. Threading: any thread; `bundles` is replaced whole, so looking needs no lock."""

    def __init__(
        self,
        root: Path,
        disk: Disk,
        clock: Clock,
        sidecar_names: tuple[str, ...],
        stirred: Callable[[SpoolBundle], None],
        rhythm: float = float("inf"),
    ) -> None:
        """`rhythm`: seconds after which a pause between two files, found at a start, is taken for one of the machine:
        the bundle would have been complete.
        """
        self.root, self.disk, self.clock = root, disk, clock
        self._sidecar_names, self._stirred, self._rhythm = sidecar_names, stirred, rhythm
        self._lock_fd = -1
        self.index = threading.RLock()
        self.bundles: dict[str, SpoolBundle] = {}
        self.by_name: dict[tuple[str, str], tuple[SpoolBundle, ...]] = {}

    def acquire(self, mount: str) -> Owner | None:
        """Become the owner, or say who is. ConfigError if the spool was made by another version."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with os.fdopen(fd, "rb") as stream:
                return _owner(stream.read())
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(Owner(os.getpid(), mount)) + b"\n", 0)
        self._lock_fd = fd
        try:
            prepare(self.root, self.disk)
        except BaseException:
            self.release()
            raise
        return None

    def release(self) -> None:
        """Give the spool to who wants it; nothing is written by this object afterwards."""
        for bundle in list(self.bundles.values()):
            with bundle.lock:
                bundle.stopped = True
        if self._lock_fd >= 0:
            os.ftruncate(self._lock_fd, 0)
            os.close(self._lock_fd)
            self._lock_fd = -1
        self.disk.close()

    def recover(self) -> None:
        """Find what is there; leftovers of half-made bundles (which never held a file) go."""
        found: dict[str, SpoolBundle] = {}
        by_name: dict[tuple[str, str], list[SpoolBundle]] = {}
        for entry in sorted(os.scandir(self.root / "bundles"), key=lambda entry: entry.name):
            if entry.name.startswith(".new-"):
                self.disk.remove_tree(entry.path)
                continue
            if not entry.is_dir(follow_symlinks=False):
                continue
            try:
                journal = load(Path(entry.path))
            except (OSError, ValueError) as error:
                log.error("%s cannot be understood, and is left as it is: %s", entry.path, error)
                continue
            bundle = found[journal.id] = self._bundle(journal)
            by_name.setdefault((journal.archive, journal.name), []).append(bundle)
            if journal.revisable:
                self._settle(bundle)
        self.bundles = found
        self.by_name = {key: tuple(reversed(bundles)) for key, bundles in by_name.items()}

    def create(
        self,
        archive: str,
        name: str,
        *,
        follows: SpoolBundle | None = None,
        inherited: Metadata | None = None,
        single: bool = False,
        uid: int = -1,
    ) -> SpoolBundle:
        """A new, empty bundle, durable when it returns. Exists if one of that name takes files already; Invalid for a
        name that is no text.
        """
        _text_only(name)
        with self.index:
            return self._create(archive, name, follows, inherited, single, uid)

    def _create(
        self, archive: str, name: str, follows: SpoolBundle | None, inherited: Metadata | None, single: bool, uid: int
    ) -> SpoolBundle:
        newest = self.by_name.get((archive, name), ())
        if newest and (newest[0].journal.revisable or follows is None):
            raise Exists(f"drop/{archive}/{name} exists")
        now = self.clock.now()
        id = new_id(now, max(self.bundles, default=""))
        follows_id = follows.journal.id if follows else ""
        journal = Journal(
            id, archive, name, State.OPEN, stamp(now), stamp(now), follows=follows_id, inherited=inherited,
            single=single, uid=uid, times={State.OPEN.value: stamp(now)},
        )  # fmt: skip
        place = self.root / "bundles"
        new = str(place / f".new-{id}")
        self.disk.mkdir(new)
        self.disk.mkdir(f"{new}/files")
        self.disk.replace(f"{new}/{NAME}", encode(journal))
        self.disk.rename(new, str(place / id))
        self.disk.sync_directory(str(place))
        return self._add(journal)

    def discard(self, bundle: SpoolBundle, unless: Callable[[], bool] = lambda: False) -> None:
        """Forget a bundle with all that is in it, as its user wants; not if `unless()`, asked under its lock."""
        with self.index, bundle.lock:
            if unless():
                return
            bundle.stopped = bundle.gone = True
            gone = str(self.root / "bundles" / f".new-{bundle.journal.id}")
            self.disk.rename(str(bundle.folder), gone)
            self._drop(bundle)
        self.disk.remove_tree(gone)
        self.disk.sync_directory(str(self.root / "bundles"))

    def rename(self, bundle: SpoolBundle, new: str) -> None:
        """Another name for a bundle that still takes files."""
        _text_only(new)
        with self.index, bundle.lock:
            if (bundle.journal.archive, new) in self.by_name:
                raise Exists(f"drop/{bundle.journal.archive}/{new} exists")
            self._unname(bundle)
            try:
                bundle.note(name=new)
            finally:
                self._name(bundle)

    def get(self, id: str) -> SpoolBundle:
        """By id; NotFound."""
        try:
            return self.bundles[id]
        except KeyError:
            raise NotFound(f"there is no bundle {id}") from None

    def _bundle(self, journal: Journal) -> SpoolBundle:
        folder = self.root / "bundles" / journal.id
        return SpoolBundle(folder, journal, self.disk, self.clock, self._sidecar_names, self._stirred)

    def _add(self, journal: Journal) -> SpoolBundle:
        bundle = self._bundle(journal)
        self.bundles = {**self.bundles, journal.id: bundle}
        self._name(bundle)
        return bundle

    def _name(self, bundle: SpoolBundle) -> None:
        key = bundle.journal.archive, bundle.journal.name
        self.by_name = {**self.by_name, key: (bundle, *self.by_name.get(key, ()))}

    def _unname(self, bundle: SpoolBundle) -> None:
        key = bundle.journal.archive, bundle.journal.name
        rest = tuple(one for one in self.by_name.get(key, ()) if one is not bundle)
        self.by_name = {k: v for k, v in self.by_name.items() if k != key} | ({key: rest} if rest else {})

    def _drop(self, bundle: SpoolBundle) -> None:
        self.bundles = {id: one for id, one in self.bundles.items() if one is not bundle}
        self._unname(bundle)

    def _settle(self, bundle: SpoolBundle) -> None:
        """What the disk still tells of the past: when files were last changed, in which order and how far apart."""
        if not os.path.isdir(bundle.files):
            self.disk.mkdir(bundle.files)
        data: list[int] = []
        sidecar = 0
        for path, state in walk(bundle.files):
            if (state.st_mode & 0o170000) == 0o040000:
                # Another process may have made this directory and stopped before it synced it.
                bundle.made(path)
            elif bundle.is_sidecar(path):
                sidecar = max(sidecar, state.st_ctime_ns)
            else:
                data.append(state.st_ctime_ns)
        data.sort()
        if bundle.journal.times.keys().isdisjoint((State.HELD, State.FAILED)):  # nobody was asked for a correction
            gaps = ((later - one) / 1e9 for one, later in itertools.pairwise(data))
            bundle.gap = max((gap for gap in gaps if gap <= self._rhythm), default=0.0)
        now = self.clock.monotonic()
        if sidecar:
            bundle.sidecar_at = now
        if data:
            bundle.data_at = now if data[-1] <= sidecar else now + 1e-6


def _text_only(name: str) -> None:
    if plain(name) != name:
        raise Invalid(f"the name {plain(name)} is not UTF-8")


def new_id(now: float, newest: str) -> str:
    """An id that sorts after `newest`, even if the clock went back; it begins with the time, for people."""
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    if newest:
        before = datetime.datetime.strptime(newest.partition("-")[0], _ID).replace(tzinfo=datetime.UTC)
        moment = max(moment, before + datetime.timedelta(microseconds=1))
    return f"{moment.strftime(_ID)}-{secrets.token_hex(4)}"


def _owner(content: bytes) -> Owner:
    try:
        return msgspec.json.decode(content, type=Owner)
    except msgspec.DecodeError:
        return Owner(0, "an unknown place")


def walk(top: str, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Everything below `top` as (path relative to it, stat), in order of names; directories before what is in them."""
    with os.scandir(f"{top}/{prefix}" if prefix else top) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        try:
            state = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield path, state
        if entry.is_dir(follow_symlinks=False):
            yield from walk(top, path)


def unclosed(bundle: SpoolBundle) -> tuple[str, ...]:
    """Files that carry the mark although nobody has them open."""
    opened = set(bundle.handles)
    return tuple(
        path
        for path, state in walk(bundle.files)
        if state.st_mode & MARK and (state.st_mode & 0o170000) == 0o100000 and state.st_ino not in opened
    )


def unmark(bundle: SpoolBundle) -> None:
    """Clear marks that a power cut brought back: the journal of a sealed bundle says that every file was closed."""
    for path in unclosed(bundle) if os.path.isdir(bundle.files) else ():
        bundle.disk.chmod(bundle.real(path), os.lstat(bundle.real(path)).st_mode & 0o777)
