"""The directory endpoints of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .api import Query, Refused
from .site import DataFile, Site

PAGE = 1000


def root(site: Site, dataset: int, query: Query, hsm: bool) -> list[Any]:
    """`root-dir-nodes/`: a leading slash in `directory` makes a file invisible here."""
    files = _files(site, dataset)
    entries: list[Any] = _folders(files, "")
    entries += [_file(file, hsm) for file in files if not file.directory]
    number = int(query.get("page", 0))
    page = entries[number * PAGE : (number + 1) * PAGE]
    more = (number + 1) * PAGE < len(entries)
    return [*page, {"next_page": True, "next_page_num": number + 1} if more else {"next_page": False}]


def child(site: Site, dataset: int, query: Query, hsm: bool) -> list[Any]:
    """`child-dir-nodes/`: one level, all of it."""
    path = query.get("dir_path")
    if not path:
        raise Refused(400, "Please specify base directory")
    files = _files(site, dataset)
    return [*_folders(files, path), *(_file(file, hsm) for file in files if file.directory == path)]


def _files(site: Site, dataset: int) -> list[DataFile]:
    return [file for file in site.files.values() if file.dataset == dataset]


def _folders(files: Iterable[DataFile], below: str) -> list[Any]:
    prefix = below + "/" if below else ""
    found: dict[str, None] = {}
    for file in files:
        if file.directory and file.directory.startswith(prefix) and len(file.directory) > len(prefix):
            name = file.directory[len(prefix) :].split("/")[0]
            if name or below:
                found[name] = None
    return [{"name": name, "path": prefix + name, "children": []} for name in sorted(found)]


def _file(file: DataFile, hsm: bool) -> Any:
    online = not (hsm and file.offline)
    return {
        "name": file.filename,
        "id": file.id,
        "verified": bool(file.verified),
        "is_online": online,
        "recall_url": None if online else f"/api/v1/hsm_replica/{file.id}/recall/",
    }
