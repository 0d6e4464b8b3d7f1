"""`pacifica-fs wait`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from ..config import Duration
from ..errors import WaitTimeout
from . import find, naming, snapshot
from .codes import STATES, Exit, Failed
from .output import Output, plain, printable, remark
from .outside import MountPoint, Outside
from .snapshot import Upload

HELP = """Wait until the bundle NAME is ingested, or needs somebody.

NAME is the bundle's name, ARCHIVE/NAME, its id, or its path (or that of a file in it) below the mount's drop/. The exit
code is 0 when it is done, 3 held, 4 failed, 5 unconfirmed, 124 when the time is over, 6 when there is no mount that
could bring it further, 7 when there is no such bundle. What is wrong with it is printed on standard error.

\b
Examples:
  pacifica-fs wait run-42
  pacifica-fs wait emsl/run-42 --timeout 2h && rm -r run-42
  pacifica-fs wait ~/archives/drop/emsl/run-42
"""

GRACE = 30.0
"""Seconds for which a mount may be gone before `wait` gives up: a service restarts in that time."""


class Time(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """`90`, `30s`, `'15 min'`, `2h` as seconds."""

    """`90`, `30s`, `'15 min'`, `2h` as seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        try:
            return Duration.parse(float(text) if text.replace(".", "", 1).isdecimal() else text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("wait", help=HELP, short_help="Wait until a bundle is ingested or needs somebody.")
@click.option("-t", "--timeout", type=Time(), metavar="TIME", help="Give up after this time: 90, 30s, '15 min', 2h.")
@click.option("-m", "--mount", "dir", type=Path, metavar="DIR", help="Which mount, if several.")
@click.option(
    "-c", "--config", "file", type=Path, metavar="FILE", help="The mount, or the spool, of this configuration."
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the exit code says it all.")
@click.argument("name")
@click.pass_obj
def command(
    outside: Outside, timeout: float | None, dir: Path | None, file: Path | None, quiet: bool, name: str
) -> Exit:
    """Wait."""
    last = None
    for upload in Waiting(outside, dir, file, timeout).states(name):
        if not quiet and _line(upload) != last:
            last = _line(upload)
            Output().line(last)
    state = str(upload.get("state"))
    if not quiet:
        _explain(upload, state)
    return STATES[state]


class Waiting:
    """One bundle, looked at again and again until it moves no more."""

    def __init__(self, outside: Outside, dir: Path | None, file: Path | None, timeout: float | None) -> None:
        """`timeout` in seconds, None for ever."""
        self.outside, self.dir, self.file = outside, dir, file
        self.clock = outside.clock
        self.deadline = None if timeout is None else self.clock.monotonic() + timeout
        self.patience = self.clock.monotonic() + GRACE

    def states(self, name: str) -> Iterator[Upload]:
        """Each state of the bundle, the last one final; Failed for no such bundle, no mount, or no more time."""
        upload, answered = self._first(name)
        pause = 0.1
        while True:
            yield upload
            if over(upload):
                return
            if answered:
                self.patience = self.clock.monotonic() + GRACE
            self._pause(pause, upload)
            pause = min(pause * 1.5, 2.0)
            again, answered = self._again(upload)
            upload = again or upload

    def _first(self, name: str) -> tuple[Upload, bool]:
        mount = self._mount(name)
        seen = snapshot.look(self.outside, mount, self.file)
        if seen.remark:
            remark(f"pacifica-fs: {seen.remark}")
        return naming.choose(seen.uploads, name, mount), seen.mount is not None

    def _mount(self, name: str) -> MountPoint | None:
        """The mount that -m names, else the one that `name` is a path into, else the only one."""
        if self.dir is None and "/" in name:
            for mount in self.outside.mounts():
                if mount.path in find.real(name).parents:
                    self.dir = mount.path
        return find.mount(self.outside, self.dir, self.file)

    def _again(self, upload: Upload) -> tuple[Upload | None, bool]:
        """The bundle now, and whether a mount answered."""
        try:
            mount = find.mount(self.outside, self.dir, self.file)
        except Failed:
            return None, False
        if mount is None:
            return None, False
        try:
            found = snapshot.one(mount, str(upload["archive"]), str(upload["name"]))
            if found is not None and found.get("id") == upload.get("id"):
                return found, True
            return self._moved(mount, upload), True
        except (WaitTimeout, OSError, msgspec.DecodeError):
            return None, False

    def _moved(self, mount: MountPoint, upload: Upload) -> Upload:
        """The bundle under another name or among earlier ones, else the follow-on that took its name."""
        everything = snapshot.from_mount(mount, history=True).uploads
        for same in ("id", "name"):
            for each in everything:
                if each.get(same) == upload.get(same) and each.get("archive") == upload.get("archive"):
                    return each
        raise Failed(f"the bundle {naming.full(upload)} was removed", Exit.UNKNOWN_BUNDLE)

    def _pause(self, seconds: float, upload: Upload) -> None:
        now = self.clock.monotonic()
        name, state = naming.full(upload), upload.get("state")
        if self.deadline is not None and now >= self.deadline:
            raise Failed(f"{name} is still {state}", Exit.TIMED_OUT)
        if now >= self.patience:
            raise Failed(f"{name} stays {state}: no mount brings it further; mount again", Exit.NO_MOUNT)
        ends = [self.patience] + ([] if self.deadline is None else [self.deadline])
        self.clock.sleep(max(min(seconds, min(ends) - now), 0.001))


def over(upload: Upload) -> bool:
    """True where the bundle moves no more by itself; what only an outage holds is tried again."""
    return upload.get("state") in STATES and not upload.get("outage")


def _line(upload: Upload) -> str:
    parts = [naming.full(upload), str(upload.get("state"))]
    task, percent = upload.get("task"), upload.get("percent")
    if upload.get("state") == "ingesting" and task:
        parts.append(f"{task} {plain(percent)}%" if percent not in (None, "") else str(task))
    if upload.get("state") == "done" and upload.get("transaction"):
        parts.append(f"transaction {upload['transaction']}")
    if upload.get("waiting_for") and not over(upload):
        parts.append(waits(upload))
    return "  ".join(map(printable, parts))


def waits(upload: Upload) -> str:
    """What has to happen next; an open bundle says it in a sentence, the others with a word."""
    words = str(upload.get("waiting_for") or "")
    return words if upload.get("state") == "open" or not words else f"waits for {words}"


def _explain(upload: Upload, state: str) -> None:
    for problem in upload.get("problems") or ():
        remark(f"  {sentence(problem)}")
    if state == "done":
        for left in upload.get("left_out") or ():
            remark(f"  left out: {sentence(left)}")


def sentence(problem: object) -> str:
    """A problem, as text or as an object with `what`, `remedy` and `path`, in one line."""
    if not isinstance(problem, dict):
        return printable(problem)
    text = str(problem.get("what") or problem.get("why") or "")
    path = str(problem.get("path") or "")
    path = "" if not path or text.startswith((f"{path}:", f"{path},")) else f"{path}: "
    remedy = f"; {problem['remedy']}" if problem.get("remedy") else ""
    return printable(f"{path}{text}{remedy}")
