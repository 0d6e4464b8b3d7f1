"""The composition root: configuration in, a running file system out. Nothing else knows what exists.

Kinds of archives are found by entry point, so another package can bring one.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec

from ..archive import Archive, Built, Effects, Listener
from ..clock import Clock
from ..config import ArchiveSettings, Config, Places, secrets
from ..content.content import Content, ReadPolicy
from ..drop.drop import Drop, Target
from ..errors import ConfigError
from ..events.desk import Desk
from ..events.folder import EventsFolder
from ..events.prefetch import Prefetch
from ..model import Event, FileRef, Health
from ..mount.operations import Look, Operations
from ..mount.session import MountOptions, caller, serve
from ..tree import views
from ..tree.shelf import Shelf
from ..tree.virtual import Entries, FixedFile, ListedFolder
from . import export, kinds, metrics, status
from .bare import Bare
from .follow import Follow
from .health import Watch
from .log import Tail
from .notify import Notifier, watchdog
from .pulse import EVERY, Pulse
from .stacks import stacks

log = logging.getLogger(__name__)

WAITING = 128  # requests that may wait for the listings of archives that do not answer, all archives together
REQUEST_TIMEOUTS = (
    Path("/proc/sys/fs/fuse/max_request_timeout"),
    Path("/proc/sys/fs/fuse/default_request_timeout"),
)


class Finding(msgspec.Struct, frozen=True):
    """What `check` found about one archive."""

    archive: str
    kind: str
    health: Health
    uploads: bool


class App:
    """Everything of one mount. Made by `build`, which contacts nobody; `serve` runs it."""

    def __init__(
        self,
        config: Config,
        places: Places,
        clock: Clock,
        built: Mapping[str, Built],
        tail: Tail | None,
        owner: str,
        environ: Mapping[str, str],
    ) -> None:
        self.config = config
        self.places = places
        self.archives: Mapping[str, Archive] = {name: each.archive for name, each in built.items()}
        self._tail, self._clock, self._environ = tail, clock, environ
        self._pulse: Pulse | None = None
        self._ends: list[Callable[[], None]] = []
        self._metrics: Callable[[], str] = str
        self._notifier = Notifier()
        settings = {each.name: each for each in config.archives}
        self.content = Content(
            places.cache / "content",
            config.cache.limit,
            self.archives,
            {name: ReadPolicy(each.read, each.read_wait) for name, each in settings.items()},
            clock,
            kernel_timeout=kernel_timeout(),
            stale=lambda ref: self.trees[ref.archive].doubt(ref.container),
        )
        self.watch = Watch(self.archives, clock)
        self._shelf = Shelf(places.cache / "listings")
        self.trees = {
            name: views.ArchiveTree(
                archive,
                settings[name].listing_ttl,
                settings[name].listing_limit,
                clock,
                self._shelf,
                max(16, WAITING // len(self.archives)),
                partial(self.watch.suspect, name),
                places.cache / "reading",
                settings[name].read_wait,
                self.content.gather,
            )
            for name, archive in self.archives.items()
        }
        self._prefetch = Prefetch(
            self.content,
            {name: each.prefetch_rules for name, each in settings.items()},
            {name: tree.is_called for name, tree in self.trees.items()},
        )
        self.desks = {
            name: Desk(name, archive, places.state / "events" / name, clock, partial(self._told, name))
            for name, archive in self.archives.items()
            if isinstance(archive, Listener)
        }
        self._follow = Follow({name: tree.follow for name, tree in self.trees.items()})
        self.drop = Drop(
            places.state / "spool",
            config.drop,
            {
                name: Target(settings[name], each.archive, each.inbox)
                for name, each in built.items()
                if each.inbox is not None
            },
            self._adopt,
            clock,
            owner,
            ingested=lambda name: self.trees[name].forget(),
            caller=caller,
        )
        self._inboxes = {name for name, each in built.items() if each.inbox is not None}
        self.requests: Counter[str] = Counter()

    @classmethod
    def build(
        cls,
        config: Config,
        places: Places,
        clock: Clock,
        environ: Mapping[str, str],
        *,
        tail: Tail | None = None,
        owner: str = "",
    ) -> App:
        """Everything that `config` names. Raises ConfigError; creates the state and cache folders (0700)."""
        for folder in (places.state, places.cache):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise ConfigError(
                    f"{folder}: cannot be made: {error.strerror}; set [drop] path or [cache] path"
                ) from error
        _warn_of_readable_secrets(config)
        effects = Effects(clock=clock, state=places.state, cache=places.cache, environ=environ)
        built = {each.name: build_archive(each, effects) for each in config.archives}
        for each in config.archives:
            if each.prefetch and not isinstance(built[each.name].archive, Listener):
                raise ConfigError(f"{each.source}: archives.{each.name}.prefetch: kind '{each.kind}' has no events")
        return cls(config, places, clock, built, tail, owner or f"pid {os.getpid()}", environ)

    def root(self) -> ListedFolder:
        """The mount's top folder."""
        fixed: Entries = [
            ("README.txt", FixedFile(("README",), readme(self.archives))),
            *[(name, tree.root(self._events(name))) for name, tree in self.trees.items()],
            ("status", status.tree(self._sources())),
        ]
        # What takes uploads is known only once the spool is ours.
        return views.root(lambda: [*fixed, ("drop", self.drop.folder())])

    def serve(self, mountpoint: Path, options: MountOptions, on_ready: Callable[[], None]) -> None:
        """Mount and run in the foreground until unmounted or told to stop."""

        watched = watchdog(self._environ)
        pulse = self._pulse = Pulse(mountpoint, self._alive, min(EVERY, watched / 3) if watched else EVERY)

        def ready() -> None:
            if self.config.metrics.listen:
                self._ends.append(export.listen(self.config.metrics.listen, self._metrics))
            self._notifier.ready(self._summary())
            pulse.start()
            on_ready()

        serve(
            self.root(),
            self.content,
            mountpoint,
            options,
            on_init=self._start,
            on_ready=ready,
            on_stop=self._stop,
            requests=self.requests,
            spare=self._spare,
        )
        self._close()

    @contextmanager
    def without_mount(self, uploads: bool = False) -> Iterator[Bare]:
        """The tree for this process alone, while the context lasts; `uploads`: with a drop that works."""
        self.content.start()
        if uploads:
            self.drop.start()
        try:
            yield Bare(Operations(self.root(), self.content, Look(os.getuid(), os.getgid()), spare=self._spare))
        finally:
            self.content.close()
            if uploads:
                self.drop.stop()
            self._close()

    def _close(self) -> None:
        for archive in self.archives.values():
            archive.close()
        self._shelf.close()

    def check(self) -> list[Finding]:
        """Ask every archive; takes as long as the slowest time-out."""
        return [
            Finding(name, archive.kind, archive.probe(), name in self._inboxes)
            for name, archive in self.archives.items()
        ]

    def _alive(self) -> None:
        """The mount answered."""
        self._notifier.alive(self._summary())
        if self.config.metrics.textfile:
            export.write(Path(self.config.metrics.textfile).expanduser(), self._metrics())

    def _summary(self) -> str:
        """The status line for systemd."""
        states = Counter(upload.state for upload in self.drop.uploads() if upload.state != "done")
        bundles = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        lost = [name for name, up in self._reachable().items() if not up]
        words = [f"mounted on {self._pulse.mountpoint}" if self._pulse else "mounted"]
        words += [f"bundles: {bundles}"] if bundles else []
        words += [f"out of reach: {', '.join(lost)}"] if lost else []
        return "; ".join(words)

    def _start(self) -> None:
        self.content.start()
        self.drop.start()
        self.watch.start()
        self._follow.start()
        self._prefetch.start()

    def _stop(self) -> None:
        self._notifier.stopping()
        if self._pulse is not None:
            self._pulse.stop()
        for end in self._ends:
            end()
        self.watch.stop()
        self._follow.stop()
        self._prefetch.stop()
        self.content.close()
        self.drop.stop()

    def _events(self, name: str) -> Entries:
        """`events/` of an archive that has them."""
        desk, tree = self.desks.get(name), self.trees[name]
        if desk is None:
            return ()
        return [("events", EventsFolder(desk, lambda e: tree.files(e.container or e.id, e.files, e.mtime_ns)))]

    def _told(self, name: str, event: Event) -> None:
        """An event came: its archive has changed."""
        self.trees[name].forget()
        self._prefetch.told(name, event)

    def _spare(self) -> tuple[int, int]:
        disk = shutil.disk_usage(self.places.state)
        return disk.total, disk.free

    def _adopt(self, ref: FileRef, source: Path) -> bool:
        return self.content.adopt(ref, source)

    def _sources(self) -> status.Sources:
        snapshots = metrics.Snapshots(
            numbers=lambda: {k: v for k, v in self.content.usage().items() if isinstance(v, int | float)},
            states=lambda: Counter((upload.archive, upload.state) for upload in self.drop.uploads()),
            reachable=self._reachable,
            downloads=lambda: len(self.content.downloads()),
            requests=lambda: dict(self.requests),  # a copy: the mount's threads add to it meanwhile
            oldest=self._oldest,
            spare=self._spare,
            pulse=lambda: self._pulse.age if self._pulse else 0.0,
        )
        self._metrics = lambda: metrics.text(snapshots)
        return status.Sources(
            uploads=self.drop.uploads,
            downloads=self.content.downloads,
            cache=lambda: {**self.content.usage(), "pins": self.content.pins()},
            archives=self.archives,
            events={name: desk.notes for name, desk in self.desks.items()},
            watch=self.watch,
            metrics=self._metrics,
            threads=stacks,
            log=lambda: self._tail.text() if self._tail else "",
        )

    def _oldest(self) -> dict[str, float]:
        """Seconds since the oldest bundle that is not ingested began, by archive."""
        now, found = self._clock.now(), dict.fromkeys(sorted(self._inboxes), 0.0)
        for upload in self.drop.uploads():
            if upload.state != "done":
                age = now - datetime.fromisoformat(upload.created).timestamp()
                found[upload.archive] = max(found.get(upload.archive, 0.0), age)
        return found

    def _reachable(self) -> dict[str, float]:
        found = {name: self.watch.last(name) for name in self.archives}
        return {name: float(last[0].reachable) for name, last in found.items() if last is not None}


def build_archive(settings: ArchiveSettings, effects: Effects) -> Built:
    """The archive of one configuration table; ConfigError if the kind is unknown or its options are wrong."""
    build = kinds.load(settings.kind, f"{settings.source}: [archives.{settings.name}]")
    return build(settings, effects)


def _warn_of_readable_secrets(config: Config) -> None:
    keys = secrets(config)
    for name in config.sources if keys else ():
        try:
            mode = os.stat(name).st_mode
        except OSError:
            continue  # read a moment ago; `check` says more
        if mode & 0o077:
            log.warning("%s: others can read this file, which holds %s; chmod 600 it", name, " and ".join(keys))


def kernel_timeout() -> float | None:
    """Seconds after which this kernel aborts a mount with an unanswered request; None where it never does."""
    limits = []
    for path in REQUEST_TIMEOUTS:
        try:
            limits.append(float(path.read_text()))
        except (OSError, ValueError):
            continue
    return min((limit for limit in limits if limit > 0), default=None)


def readme(archives: Mapping[str, Archive]) -> str:
    """`README.txt` at the top of the mount."""
    lines = [
        "This folder is pacifica-fs: archives of scientific data as files.",
        "",
        *(f"{name + '/':<16}archive of kind {archive.kind}, read-only" for name, archive in archives.items()),
        f"{'drop/':<16}put a folder with files and metadata.json into drop/ARCHIVE/ to archive it",
        f"{'status/':<16}what is under way: uploads/, downloads.json, archives/, cache.json, metrics, log",
        "",
        "Read: content is fetched when a file is read; listing costs nothing of it. cp, tar, rsync, grep work.",
        "",
        "Archive:  cp -r run7 drop/ARCHIVE/",
        "          touch drop/ARCHIVE/run7/.commit          (or wait: it is sent when it has been quiet)",
        "          cat status/uploads/ARCHIVE/run7/status.json",
        "          cat status/uploads/ARCHIVE/run7/problems.txt",
        "",
        'metadata.json:  {"project": "1234a", "instrument": 54, "keys": {"Tag": "first"}}',
        "",
        "Once cp returned, the files are safe on this machine's disk; once the state is 'done', in the archive.",
        "More: pacifica-fs --help, pacifica-fs status, pacifica-fs check",
    ]
    return "\n".join(lines) + "\n"
