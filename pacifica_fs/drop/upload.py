"""What a user sees of a bundle: one frozen value for the status tree and the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..model import Problem
from .journal import Journal, LeftOut
from .states import State


class Upload(msgspec.Struct, frozen=True):
    """One bundle. Times are ISO-8601 UTC strings, sizes bytes, `percent` 0 to 100; "" and 0 are "not (yet)".

    `files` is the number of files, `bytes` their size, `sent` how many bytes went out so far (with framing);
    `job` and `task` are the server's words; `transaction` the container that was made and `path` where the mount shows
    it; `details` is what the archive says of it besides; `sidecar` the file that was taken as such;
    `waiting_for` says what has to happen next. `follows` is the
    id of the earlier bundle of the same name. `outage` is true where it is held only because the archive could not be
    asked: that is tried again by itself. `uid` is whose it is (-1: not noted by an earlier version).
    """

    archive: str
    name: str
    id: str
    state: str
    files: int = 0
    bytes: int = 0
    sent: int = 0
    job: str = ""
    task: str = ""
    percent: float = 0.0
    transaction: str = ""
    path: str = ""
    details: Mapping[str, Any] = {}
    sidecar: str = ""
    problems: tuple[Problem, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    not_kept: tuple[str, ...] = ()
    created: str = ""
    updated: str = ""
    waiting_for: str = ""
    receipt: Mapping[str, Any] = {}
    follows: str = ""
    duplicates: tuple[str, ...] = ()
    attempts: int = 0
    outage: bool = False
    uid: int = -1
    times: Mapping[str, str] = {}
    metadata: Mapping[str, Any] = {}


def explain(problems: Sequence[Problem]) -> str:
    """Problems as a text for people: `problems.txt` of a status folder, `PROBLEMS.txt` of a held one."""
    lines = []
    for problem in problems:
        named = not problem.path or problem.what.startswith(problem.path)
        lines.append(f"* {problem.what}" if named else f"* {problem.path}: {problem.what}")
        if problem.remedy:
            lines.append(f"    {problem.remedy}")
    return "".join(f"{line}\n" for line in lines)


_WAITING = {
    State.OPEN: "more files, or `touch .commit`",
    State.SEALED: "the check",
    State.CHECKING: "the check, and its turn",
    State.SENDING: "the upload",
    State.INGESTING: "the server's ingest",
    State.HELD: "somebody: see the problems",
    State.UNCONFIRMED: "the archive, which is asked whether it has this",
    State.FAILED: "somebody: see the problems, then `pacifica-fs retry`",
}
_OUTAGE = "the archive, which could not be asked and is asked again"


def upload(
    journal: Journal,
    *,
    files: int | None = None,
    size: int | None = None,
    sent: int = 0,
    task: str = "",
    percent: float = 0.0,
    waiting_for: str = "",
) -> Upload:
    """`journal` as a user sees it, with what only the running daemon knows."""
    data = [entry for entry in journal.files if entry.role == "data"]
    done = journal.state == State.DONE
    return Upload(
        archive=journal.archive,
        name=journal.name,
        id=journal.id,
        state=journal.state.value,
        files=len(data) if files is None else files,
        bytes=journal.size if size is None else size,
        sent=sent,
        job=journal.ticket.job if journal.ticket else "",
        task=task,
        percent=100.0 if done else percent,
        transaction=journal.transaction,
        path=f"{journal.archive}/{journal.place or f'transactions/{journal.transaction}'}"
        if journal.transaction
        else "",
        details=journal.ticket.details if journal.ticket else {},
        sidecar=journal.sidecar,
        problems=journal.problems,
        left_out=journal.left_out,
        not_kept=journal.not_kept,
        created=journal.created,
        updated=journal.updated,
        waiting_for=waiting_for or (_OUTAGE if journal.outage else _WAITING.get(journal.state, "")),
        receipt=journal.receipt,
        follows=journal.follows,
        duplicates=journal.duplicates,
        attempts=journal.attempts,
        outage=journal.outage,
        uid=journal.uid,
        times=journal.times,
        metadata=msgspec.to_builtins(journal.metadata) if journal.metadata else {},
    )
