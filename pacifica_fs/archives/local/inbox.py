"""Uploads into a `local` archive: copied and verified aside, then published by one rename."""

from __future__ import annotations

import getpass
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ...archive import Effects
from ...errors import Corrupt, NoSpace, Unreachable
from ...model import Bundle, BundleFile, Problem, Progress, Ticket
from .layout import Head, Layout, Record, StoredFile, replace, sync_folder

CHUNK = 1 << 20
FIELDS = ("submitter", "project", "instrument")


class LocalInbox:
    """Takes bundles. Any thread, several processes; the same bundle sent twice is one transaction."""

    reversible = True

    def __init__(self, layout: Layout, hash: str, effects: Effects) -> None:
        self._layout = layout
        self._clock = effects.clock
        self.hash = hash

    def check(self, bundle: Bundle) -> Sequence[Problem]:
        """What this folder could not store."""
        self._layout.check()
        problems = [
            Problem(f"the pair {key} = {value} is given {count} times", "leave one of them", "")
            for (key, value), count in Counter(bundle.metadata.keys).items()
            if count > 1
        ]
        paths = Counter(file.path for file in bundle.files)
        folders = {parent for path in paths for parent in _parents(path)}
        for path, count in paths.items():
            parts = path.split("/")
            if any(part in ("", ".", "..") or "\0" in part for part in parts):
                problems.append(Problem("a name that no file system can store", "rename it", path))
            elif any(len(os.fsencode(part)) > 255 for part in parts):
                problems.append(Problem("a name of more than 255 bytes", "shorten it", path))
            elif count > 1:
                problems.append(Problem(f"the same path {count} times", "rename the others", path))
            elif path in folders:
                problems.append(Problem("a file and a folder of one name", "rename one of them", path))
        return problems

    def length(self, bundle: Bundle) -> int:
        """The bytes of all files."""
        return bundle.size

    def send(self, bundle: Bundle, sent: Callable[[int], None], last: Callable[[], None]) -> Ticket:
        """Copy, verify, fsync, then publish; `last` is called just before the rename that publishes."""
        already = self._layout.published(bundle.id)
        if already is not None:
            last()
            sent(bundle.size)
            return Ticket(already)
        aside = self._layout.incoming / uuid.uuid4().hex
        try:
            aside.mkdir()
            self._copy_all(bundle, aside / "files", sent)
            last()
            return Ticket(self._publish(bundle, aside))
        except OSError as error:
            if error.errno in (NoSpace.errno, 122):
                raise NoSpace(f"the archive's disk is full: {self._layout.root}") from error
            raise Unreachable(f"{error.filename or self._layout.root}: {error.strerror}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def poll(self, ticket: Ticket) -> Progress:
        """Published is done."""
        self._layout.read(ticket.job, Head)
        return Progress("done", "publish", 100.0, container=ticket.job)

    def find(self, bundle: Bundle) -> Sequence[str]:
        """By the bundle's id, which every transaction keeps."""
        found = self._layout.published(bundle.id)
        return [found] if found else []

    def _copy_all(self, bundle: Bundle, to: Path, sent: Callable[[int], None]) -> None:
        to.mkdir()
        folders = {to}
        total = 0
        for file in bundle.files:
            target = to.joinpath(*file.path.split("/"))
            if target.parent not in folders:
                target.parent.mkdir(parents=True, exist_ok=True)
                folders |= {to.joinpath(*parent.split("/")) for parent in _parents(file.path)}
            total = _copy(file, target, total, sent)
        for folder in folders:
            sync_folder(folder)

    def _publish(self, bundle: Bundle, aside: Path) -> str:
        with self._layout.publishing():
            already = self._layout.published(bundle.id)
            if already is not None:
                return already
            id = self._layout.next_id()
            record = msgspec.json.format(msgspec.json.encode(self._record(bundle, id)), indent=1)
            replace(aside / "transaction.json", record.decode() + "\n")
            replace(self._layout.root / "last", id + "\n")
            # Which transaction a bundle becomes is on disk before it does: a crash in between leaves a pointer to
            # nothing, never a transaction that nobody finds.
            replace(self._layout.bundles / bundle.id, id + "\n")
            os.rename(aside, self._layout.transactions / id)
            sync_folder(self._layout.transactions)
            return id

    def _record(self, bundle: Bundle, id: str) -> Record:
        fields = bundle.metadata.fields
        now = self._clock.now()
        return Record(
            id=id,
            submitted=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            submitted_ns=int(now * 1e9),
            submitter=fields.get("submitter") or _login(),
            project=fields.get("project", ""),
            instrument=fields.get("instrument", ""),
            keys=bundle.metadata.keys,
            fields={name: value for name, value in fields.items() if name not in FIELDS},
            bundle=bundle.id,
            name=bundle.name,
            file_count=len(bundle.files),
            size=bundle.size,
            files=tuple(
                StoredFile(file.path, file.size, file.mtime_ns, str(file.digest), file.mime_type)
                for file in bundle.files
            ),
        )


def _copy(file: BundleFile, target: Path, total: int, sent: Callable[[int], None]) -> int:
    """Copy one file, verified and durable. A copy, not a link: the source belongs to somebody who may write to it."""
    hasher = file.digest.hasher()
    buffer = memoryview(bytearray(min(CHUNK, max(1, file.size))))
    copied = 0
    with open(file.source, "rb", buffering=0) as source, open(target, "xb", buffering=0) as out:
        while count := source.readinto(buffer):
            hasher.update(buffer[:count])
            written = 0
            while written < count:
                written += out.write(buffer[written:count])
            copied += count
            sent(total + copied)
        os.fchmod(out.fileno(), 0o444)
        os.utime(out.fileno(), ns=(file.mtime_ns, file.mtime_ns))
        os.fsync(out.fileno())
    if copied != file.size or hasher.hexdigest() != file.digest.value:
        raise Corrupt(f"{file.path}: changed while it was being archived")
    return total + copied


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
