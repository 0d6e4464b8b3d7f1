"""The `status/` tree: everything under way, as virtual files made from snapshots; reading it waits for no server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from ..archive import Archive
from ..drop.upload import Upload, explain
from ..tree.names import safe_name
from ..tree.nodes import Node
from ..tree.virtual import Entries, ListedFolder, Symlink, TextFile
from . import page
from .health import Watch

HISTORY = ".history"
PRIVATE = 0o700  # names can be seen by all whom the mount lets in; what is in a bundle's folder is its user's business


class Sources(msgspec.Struct, frozen=True):
    """Where the status comes from: functions that return snapshots at once."""

    uploads: Callable[[], Sequence[Upload]]
    downloads: Callable[[], Sequence[Mapping[str, Any]]]
    cache: Callable[[], Mapping[str, Any]]
    archives: Mapping[str, Archive]
    events: Mapping[str, Callable[[], Sequence[Mapping[str, Any]]]]
    watch: Watch
    metrics: Callable[[], str]
    log: Callable[[], str]
    threads: Callable[[], str] = str


def tree(sources: Sources) -> ListedFolder:
    """The folder `status/`."""
    entries: Entries = [
        ("uploads", ListedFolder(("status", "uploads"), lambda: _uploads(sources))),
        ("jobs", ListedFolder(("status", "jobs"), lambda: [])),
        ("archives", ListedFolder(("status", "archives"), lambda: _archives(sources))),
        ("events", ListedFolder(("status", "events"), lambda: _events(sources))),
        ("downloads.json", TextFile(("status", "downloads"), lambda: as_json(sources.downloads()))),
        ("cache.json", TextFile(("status", "cache"), lambda: as_json(sources.cache()))),
        ("metrics", TextFile(("status", "metrics"), sources.metrics)),
        ("log", TextFile(("status", "log"), sources.log)),
        ("threads", TextFile(("status", "threads"), sources.threads)),
        ("index.html", TextFile(("status", "index.html"), lambda: page.render(_picture(sources)))),
    ]
    return ListedFolder(("status",), lambda: entries)


def as_json(value: Any) -> str:
    """Indented JSON with a final newline, as all status files have it."""
    plain = msgspec.to_builtins(value)
    try:
        # Many times faster than json.dumps, which counts where thousands of bundles have thousands of files each.
        return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n"
    except UnicodeEncodeError:  # half of a character in the words of a server
        return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def _picture(sources: Sources) -> page.Picture:
    return page.Picture(
        uploads=[msgspec.to_builtins(upload) for upload in sources.uploads()],
        downloads=sources.downloads(),
        cache=sources.cache(),
        archives=[_report(sources, name) for name in sources.archives],
    )


def _uploads(sources: Sources) -> Entries:
    def folder(archive: str) -> ListedFolder:
        return ListedFolder(("status", "uploads", archive), lambda: _bundles(sources, archive))

    return [(archive, folder(archive)) for archive in sorted({upload.archive for upload in sources.uploads()})]


def _bundles(sources: Sources, archive: str, prefix: str = "") -> Entries:
    """The newest bundle of each name, or folders where names have several parts (a `layout` with levels)."""
    found: dict[str, Node] = {}
    for upload in sources.uploads():  # newest first: the name belongs to the newest bundle
        if upload.archive == archive and upload.name.startswith(prefix):
            part, deeper, _ = upload.name[len(prefix) :].partition("/")
            name = safe_name(part)
            if deeper:
                found.setdefault(name, _level(sources, archive, f"{prefix}{part}/"))
            else:
                found.setdefault(name, _bundle(sources, upload))
    return sorted(found.items())


def _level(sources: Sources, archive: str, prefix: str) -> ListedFolder:
    key = ("status", "uploads", archive, prefix)
    return ListedFolder(key, lambda: _bundles(sources, archive, prefix))


def _bundle(sources: Sources, upload: Upload, earlier: bool = False) -> ListedFolder:
    key = ("status", "uploads", upload.archive, upload.id, *(["earlier"] if earlier else []))
    xattrs = {"user.pacifica.archive": upload.archive.encode(), "user.pacifica.bundle": upload.id.encode()}
    uid = upload.uid
    depth = 4 + upload.name.count("/") + 2 * earlier

    def now() -> Upload:
        return next((u for u in sources.uploads() if u.id == upload.id), upload)

    def entries() -> Entries:
        state = now()
        files: list[tuple[str, Node]] = [
            ("status.json", TextFile((*key, "status"), lambda: as_json(now()), xattrs, uid)),
            ("problems.txt", TextFile((*key, "problems"), lambda: explain(now().problems), xattrs, uid)),
        ]
        if state.receipt:
            files.append(("receipt.json", TextFile((*key, "receipt"), lambda: as_json(now().receipt), xattrs, uid)))
        if state.transaction:
            place = state.path or f"{upload.archive}/transactions/{state.transaction}"
            files.append(("transaction", Symlink((*key, "transaction"), "../" * depth + place)))
        if not earlier and _earlier(sources, state):
            files.append((HISTORY, ListedFolder((*key, HISTORY), lambda: _history(sources, state), PRIVATE, uid=uid)))
        return files

    return ListedFolder(key, entries, PRIVATE, xattrs, uid)


def _earlier(sources: Sources, newest: Upload) -> list[Upload]:
    return [
        upload
        for upload in sources.uploads()
        if (upload.archive, upload.name) == (newest.archive, newest.name) and upload.id < newest.id
    ]


def _history(sources: Sources, newest: Upload) -> Entries:
    """Earlier bundles of the same name, by id."""
    return [(upload.id, _bundle(sources, upload, True)) for upload in _earlier(sources, newest)]


def _archives(sources: Sources) -> Entries:
    def file(name: str) -> TextFile:
        return TextFile(("status", "archives", name), lambda: _health(sources, name))

    return [(f"{name}.json", file(name)) for name in sources.archives]


def _events(sources: Sources) -> Entries:
    def file(name: str) -> TextFile:
        return TextFile(("status", "events", name), lambda: as_json(sources.events[name]()))

    return [(f"{name}.json", file(name)) for name in sources.events]


def _health(sources: Sources, name: str) -> str:
    return as_json(_report(sources, name))


def _report(sources: Sources, name: str) -> dict[str, Any]:
    archive = sources.archives[name]
    report: dict[str, Any] = {"name": name, "kind": archive.kind}
    last = sources.watch.last(name)
    if last is None:
        report |= {"reachable": None, "error": "not asked yet"}
    else:
        health, when = last
        report |= {
            "reachable": health.reachable,
            "identity": health.identity,
            "latency": health.latency,
            "error": health.error,
            "services": dict(health.services),
            "checked": datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    return report
