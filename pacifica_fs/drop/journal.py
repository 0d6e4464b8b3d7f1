"""What `bundle.json` holds: everything about a bundle that must survive the daemon, as readable JSON.

Times are ISO-8601 UTC strings with milliseconds, sizes bytes, digests `sha1:…`. The format's version is the spool's.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..model import Metadata, Problem, Ticket
from .states import REVISABLE, Event, State, step

NAME = "bundle.json"


class Entry(msgspec.Struct, frozen=True):
    """One file of a bundle once sealed. `role` is `data`, `sidecar`, `known` (ingested before, not sent again) or
    `left` (the archive's rules leave it out).
    """

    path: str
    size: int
    mtime_ns: int
    digest: str = ""
    mode: int = 0o644
    role: str = "data"


class LeftOut(msgspec.Struct, frozen=True):
    """A file that is not part of the upload, and why."""

    path: str
    why: str


class Journal(msgspec.Struct, frozen=True):
    """One state of a bundle. `end_sent` is noted before the part without which the server can accept nothing.

    `outage` says that the problems are nobody's fault and are tried again; `ended_before` that some earlier try sent
    its end, so the archive is asked before anything is sent again; `inherited` is the metadata of the bundle
    that this one follows; `place` is where the archive's folder shows the container `transaction`; `single` that it is
    one file of `drop/ARCHIVE/`; `committed` that the user said it is complete; `again` that the user wants to have sent
    what the archive has already; `told` is the last state that `[drop] on_state` was told; `audited` that the archive
    was asked afterwards whether it has it twice; `uid` is the user who made it (-1: the daemon's).
    """

    id: str
    archive: str
    name: str
    state: State
    created: str
    updated: str
    follows: str = ""
    single: bool = False
    inherited: Metadata | None = None
    metadata: Metadata | None = None
    sidecar: str = ""
    committed: bool = False
    sealed_by: str = ""
    files: tuple[Entry, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    not_kept: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    outage: bool = False
    attempts: int = 0
    end_sent: str = ""
    ended_before: bool = False
    ticket: Ticket | None = None
    transaction: str = ""
    place: str = ""
    duplicates: tuple[str, ...] = ()
    unconfirmed_since: str = ""
    cleared: bool = False
    again: bool = False
    told: str = ""
    audited: bool = False
    receipt: Mapping[str, Any] = {}
    uid: int = -1
    times: Mapping[str, str] = {}

    @property
    def revisable(self) -> bool:
        """True while a change of a file is a change of this bundle, and not of one that follows it."""
        return self.state in REVISABLE and not self.end_sent and not self.transaction

    @property
    def unsent(self) -> bool:
        """True for what is done without having been sent: the archive had every file of it before."""
        return self.state == State.DONE and not self.receipt

    @property
    def size(self) -> int:
        """Bytes that are, or will be, sent as files."""
        return sum(entry.size for entry in self.files if entry.role == "data")

    def after(self, event: Event, now: float, **changes: Any) -> Journal:
        """The journal after `event` at the time `now`, with `changes` of fields."""
        state = step(self.state, event)
        times = self.times if state == self.state else {**self.times, state.value: stamp(now)}
        return msgspec.structs.replace(self, state=state, updated=stamp(now), times=times, **changes)


def stamp(seconds: float) -> str:
    """Seconds since the epoch as ISO-8601 UTC."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text: str) -> float:
    """What `stamp` made, as seconds since the epoch; 0 for none."""
    return datetime.datetime.fromisoformat(text).timestamp() if text else 0.0


def encode(journal: Journal) -> bytes:
    """As the bytes of the file."""
    try:
        data = msgspec.json.encode(journal, enc_hook=_text_of)
    except UnicodeEncodeError:  # a server's words, perhaps: names that are no text never come here
        data = msgspec.json.encode(_mended(msgspec.to_builtins(journal, enc_hook=_text_of)))
    return msgspec.json.format(data, indent=1) + b"\n"


def load(folder: Path) -> Journal:
    """The journal of the bundle in `folder`; OSError, or ValueError where it cannot be understood."""
    return msgspec.json.decode((folder / NAME).read_bytes(), type=Journal)


def _mended(value: Any) -> Any:
    """`value` with what UTF-8 cannot hold replaced."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return [_mended(one) for one in value] if isinstance(value, list | tuple) else value


def _text_of(value: object) -> object:
    # Tickets and receipts hold what a kind of archive put there: the status shows it, nothing computes with it.
    return str(value)
