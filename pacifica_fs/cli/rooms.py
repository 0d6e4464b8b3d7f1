"""The real `Outside`: the rooms below, each imported when a command needs it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..clock import Clock, SystemClock
from ..config import Config, Places, parse
from ..errors import ConfigError, PacificaFSError
from . import findings, options
from .codes import Exit, Failed
from .findings import Finding
from .options import Parsed
from .outside import MountPoint, Tree

if TYPE_CHECKING:
    from ..model import Health, Problem
    from ..service.app import App

_CODED = re.compile(r"exit (\d+): (.*)", re.DOTALL)


class Rooms:
    """What commands reach the rest of the program through. To be used by one thread."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` is where XDG's and systemd's folders, and secrets, come from."""
        self.clock: Clock = SystemClock()
        self.environ = environ

    def mounts(self) -> Sequence[MountPoint]:
        """All mounts of this program."""
        from ..mount import mounts

        return [MountPoint(each.path, each.source, each.uid == os.getuid()) for each in mounts.table()]

    def of_url(self, url: str) -> Config:
        """One archive."""
        from ..service import kinds

        return parse({"archives": kinds.of_url(url)}, (url,))

    def unmount(self, path: Path, lazy: bool) -> None:
        """Unmount."""
        from ..mount import mounts

        mounts.unmount(path, lazy)

    def settle(self, spool: Path, path: Path, seconds: float) -> bool:
        """Wait for the daemon that the spool's lock names for `path`."""
        try:
            owner = msgspec.json.decode((spool / "lock").read_bytes())
            pid, mount = int(owner["pid"]), str(owner["mount"])
        except (OSError, ValueError, KeyError, TypeError):
            return True
        until = self.clock.monotonic() + seconds
        while mount == str(path) and _alive(pid):
            if self.clock.monotonic() >= until:
                return False
            self.clock.sleep(0.02)
        return True

    def uploads(self, spool: Path) -> Sequence[Mapping[str, Any]]:
        """The bundles of a spool."""
        from ..drop.offline import read_uploads

        return [msgspec.to_builtins(upload) for upload in read_uploads(spool)]

    def queue(self, spool: Path, request: Mapping[str, Any]) -> None:
        """Note a request in the spool."""
        from ..drop import requests

        try:
            requests.queue(spool, requests.parse(msgspec.json.encode(request)))
        except FileNotFoundError:
            raise Failed(f"there is no spool at {spool}", Exit.NO_MOUNT) from None

    def start(self, arguments: Sequence[str]) -> None:
        """Start a daemon; its error comes with the exit code that it would have given itself."""
        from ..mount.session import MountError, spawn

        try:
            spawn(arguments)
        except MountError as error:
            coded = _CODED.fullmatch(str(error))
            code, message = (int(coded[1]), coded[2]) if coded else (Exit.FAILED, str(error))
            raise Failed(message, Exit(code)) from error

    def failed(self, message: str, code: int) -> None:
        """Tell the parent."""
        from ..mount.session import failed

        failed(f"exit {int(code)}: {message}")

    def serve(self, config: Config, places: Places, mountpoint: Path, parsed: Parsed, verbosity: int) -> None:
        """Mount and serve."""
        from ..mount.session import MountOptions
        from ..service.app import App
        from ..service.log import configure

        tail = configure(True, verbosity, config.log.format, self.environ)
        access = options.access(config)
        group = os.getgid() if access.gid is None else access.gid
        mount = MountOptions(
            uid=os.getuid() if parsed.uid is None else parsed.uid,
            gid=group if parsed.gid is None else parsed.gid,
            allow_other=parsed.allow_other,
            fsname=parsed.fsname,
            extra=parsed.extra,
            file_mode=access.file_mode,
            dir_mode=access.dir_mode,
        )
        if parsed.metrics_listen:
            listen = msgspec.structs.replace(config.metrics, listen=parsed.metrics_listen)
            config = msgspec.structs.replace(config, metrics=listen)
        App.build(config, places, self.clock, self.environ, tail=tail, owner=str(mountpoint)).serve(
            mountpoint, mount, lambda: logging.getLogger("pacifica_fs").info("mounted on %s", mountpoint)
        )

    @contextlib.contextmanager
    def tree(self, config: Config, places: Places, uploads: bool = False) -> Iterator[Tree]:
        """The tree without a mount."""
        with _quiet(), self._app(config, places).without_mount(uploads) as tree:
            yield tree

    def probe(self, config: Config, places: Places) -> Sequence[Finding]:
        """Ask every archive."""
        found: list[Finding] = []
        with _quiet():
            for each in self._app(config, places).check():
                found += health(each.archive, each.kind, each.health, each.uploads)
        return found

    def dry_run(self, config: Config, places: Places, sidecar: Path, archive: str) -> Sequence[Finding]:
        """What the drop would say to this sidecar before any data is there."""
        from ..archive import Sidecars
        from ..drop.sidecar import FIELDS, LIMIT, read, with_defaults
        from ..model import Bundle, Metadata

        with sidecar.open("rb") as stream:
            content = stream.read(LIMIT + 1)
        with _quiet():
            target = self._app(config, places).drop.targets.get(archive)
            if target is None:
                known = ", ".join(each.name for each in config.archives)
                raise ConfigError(f"--archive {archive}: no such archive takes uploads; configured are: {known}")
            words: Sidecars = getattr(target.inbox, "sidecars", Sidecars(FIELDS))
            reading = read(content, sidecar.name, words.fields, words.structured)
            if reading.data:
                what = "neither the native nor the short form of a sidecar: in the drop it would be an ordinary file"
                return [findings.wrong(str(sidecar), what, 'Write for example {"project": "1234a"}.')]
            if reading.problems:
                return [_finding(sidecar, problem) for problem in reading.problems]
            metadata = with_defaults(reading.metadata or Metadata(), target.settings.defaults)
            try:
                problems = target.inbox.check(Bundle("check", archive, sidecar.parent.name, (), metadata))
            except PacificaFSError as error:
                return [findings.wrong(archive, f"could not be asked: {error}", "Try again later.")]
        if problems:
            return [_finding(sidecar, problem) for problem in problems]
        said = ", ".join(f"{key} {value}" for key, value in metadata.fields.items())
        return [findings.ok(str(sidecar), f"{archive} would take it ({said or 'no fields'})")]

    def _app(self, config: Config, places: Places) -> App:
        from ..service.app import App

        return App.build(config, places, self.clock, self.environ)


def health(archive: str, kind: str, found: Health, uploads: bool) -> list[Finding]:
    """What a probe of one archive found, for a person."""
    subject = f"archive {archive}"
    who = f" as {found.identity}" if found.identity else ""
    takes = "takes uploads" if uploads else "takes no uploads"
    if found.reachable:
        speed = f", answers in {found.latency * 1000:.0f} ms" if found.latency is not None else ""
        result = [findings.ok(subject, f"{kind}, reached{who}{speed}, {takes}")]
    else:
        result = [
            findings.wrong(
                subject,
                f"{kind}, out of reach: {found.error or 'no answer'}",
                "Check address, network and login.",
            )
        ]
    for service, state in found.services.items():
        if state != "ok":
            result.append(
                findings.wrong(f"{subject}: {service}", state, "Check address and login, and whether it runs.")
            )
    return result


def _finding(sidecar: Path, problem: Problem) -> Finding:
    path = f"{problem.path}: " if problem.path and problem.path != sidecar.name else ""
    return findings.wrong(str(sidecar), f"{path}{problem.what}", problem.remedy)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines: a command's output is its answer."""
    logger = logging.getLogger("pacifica_fs")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
