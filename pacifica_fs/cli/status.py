"""`pacifica-fs status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from . import find, snapshot
from .codes import Exit
from .naming import full
from .output import Output, ago, clock_text, plain, printable, remark, size
from .outside import Outside
from .pace import Pace
from .snapshot import Snapshot, Upload
from .wait import over, sentence, waits

HELP = """Show what is under way: uploads, downloads, the cache, and the archives.

The state of an upload goes from open through sealed, checking, sending and ingesting to done. Three states need
somebody: held (something is missing; below the table stands what), failed (the server says so), and unconfirmed (the
connection broke after the upload; the archive is asked). Done uploads are left out unless with --all.

With --watch it also shows how fast uploads and downloads are and the time that they have left.

Where no mount answers, the uploads are read from the spool's journals, and it says so. A dead mount is never waited for
longer than a few seconds; the exit code is then 6.

\b
Examples:
  pacifica-fs status
  pacifica-fs status --watch
  pacifica-fs status --json | jq '.uploads[] | select(.state == "held")'
"""

EVERY = 1.0
RECENT = 5


@click.command("status", help=HELP, short_help="Show uploads, downloads, the cache and the archives.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, with the fields of docs/status.md.")
@click.option(
    "-w", "--watch", is_flag=True, help="Again and again until Ctrl-C; where it is no terminal, at each change."
)
@click.option("-a", "--all", "everything", is_flag=True, help="All uploads, also those long done.")
@click.option("-m", "--mount", "dir", type=Path, metavar="DIR", help="Which mount, if several.")
@click.option(
    "-c", "--config", "file", type=Path, metavar="FILE", help="The mount, or the spool, of this configuration."
)
@click.pass_obj
def command(
    outside: Outside, as_json: bool, watch: bool, everything: bool, dir: Path | None, file: Path | None
) -> Exit:
    """Show."""
    output = Output()
    before: Snapshot | None = None
    pace = Pace()
    while True:
        mount = find.mount(outside, dir, file)
        seen = snapshot.look(outside, mount, file)
        _measure(pace, seen, outside.clock.monotonic())
        if seen != before or output.fancy:
            if as_json:
                output.line(msgspec.json.encode(seen).decode())
            else:
                if watch and output.terminal:
                    output.terminal.clear()
                if watch:
                    output.line(clock_text(outside.clock.now()))
                show(output, seen, outside.clock.now(), everything, pace)
        if not watch:
            return Exit.NO_MOUNT if mount is not None and seen.mount is None else Exit.OK
        before = seen
        outside.clock.sleep(EVERY)


def _measure(pace: Pace, seen: Snapshot, now: float) -> None:
    moving = {
        str(each.get("id")): int(each.get("sent") or 0) for each in seen.uploads if each.get("state") == "sending"
    }
    moving |= {_file(each): int(each.get("bytes") or 0) for each in seen.downloads}
    for key, count in moving.items():
        pace.note(key, count, now)
    pace.keep(set(moving))


def show(output: Output, seen: Snapshot, now: float, everything: bool = False, pace: Pace | None = None) -> None:
    """All tables for people; with rates and the time left where `pace` knows them."""
    pace = pace or Pace()
    if seen.remark:
        remark(f"pacifica-fs: {seen.remark}")
    if seen.mount:
        output.line(f"mounted on {printable(seen.mount)}")
    uploads = list(seen.uploads) if everything else _current(seen.uploads)
    output.table(
        "uploads", ("bundle", "state", "files", "size", "sent", "for", "what"), [_row(u, now, pace) for u in uploads]
    )
    hidden = len(seen.uploads) - len(uploads)
    if hidden:
        output.line(f"  and {hidden} done; pacifica-fs status --all shows them")
    for upload in uploads:
        for problem in upload.get("problems") or ():
            output.line(f"  {printable(full(upload))}: {sentence(problem)}", "yellow")
    if not seen.mount:
        return
    columns: tuple[str, ...] = ("file", "state", "bytes", "of", "for", "waiting for")
    output.table("downloads", columns, [_download(each, now, pace) for each in seen.downloads])
    columns = ("archive", "kind", "answers", "as", "error")
    output.table("archives", columns, [_archive(each) for each in seen.archives])
    cache = seen.cache
    if cache:
        used, limit = size(cache.get("size")), size(cache.get("limit"))
        hits = f"{cache.get('hits', 0)} hits, {cache.get('misses', 0)} misses"
        output.line(f"cache: {used} of {limit} in {cache.get('files', 0)} files, {hits}")


def _current(uploads: Sequence[Upload]) -> list[Upload]:
    """Everything unfinished, and the last few that are done."""
    done = [upload for upload in uploads if upload.get("state") == "done"]
    done.sort(key=lambda upload: str(upload.get("updated")), reverse=True)
    recent = {id(upload) for upload in done[:RECENT]}
    return [upload for upload in uploads if upload.get("state") != "done" or id(upload) in recent]


def _row(upload: Upload, now: float, pace: Pace) -> tuple[str, ...]:
    state = str(upload.get("state", ""))
    if state == "done":
        what = f"transaction {upload.get('transaction', '')}"
    elif state == "ingesting" and upload.get("task"):
        what = f"{upload['task']} {plain(upload.get('percent'))}%"
    elif state == "sending" and (moves := pace.words(str(upload.get("id")), int(upload.get("bytes") or 0))):
        what = moves
    elif over(upload):
        what = ""
    else:
        what = waits(upload)
    sent = size(upload["sent"]) if upload.get("sent") and state in ("sending", "ingesting") else ""
    since = ago(upload.get("updated"), now)
    return full(upload), state, plain(upload.get("files")), size(upload.get("bytes")), sent, since, what


def _file(download: Mapping[str, Any]) -> str:
    return "/".join(str(download.get(key) or "") for key in ("archive", "container", "path"))


def _download(download: Mapping[str, Any], now: float, pace: Pace) -> tuple[str, ...]:
    name = _file(download)
    waiting = str(download.get("error") or "") or pace.words(name, int(download.get("size") or 0))
    waiting = waiting or str(download.get("waiting_for") or "")
    since = ago(download.get("since"), now)
    return name, str(download.get("state", "")), size(download.get("bytes")), size(download.get("size")), since, waiting


def _archive(archive: Mapping[str, Any]) -> tuple[str, ...]:
    reachable = archive.get("reachable")
    answers = "not asked yet" if reachable is None else "ok" if reachable else "wrong"
    latency = archive.get("latency")
    if reachable and isinstance(latency, int | float):
        answers = f"in {latency * 1000:.0f} ms"
    error = "" if reachable is None else str(archive.get("error") or "")
    return (
        str(archive.get("name", "")),
        str(archive.get("kind", "")),
        answers,
        str(archive.get("identity") or ""),
        error,
    )
