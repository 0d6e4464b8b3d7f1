"""`status/index.html`: the status as one page for a browser, with nothing to load from elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import msgspec

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100%; margin: .3em 0 1.6em }
th, td { text-align: left; padding: .25em .8em .25em 0; border-bottom: 1px solid #ddd; vertical-align: top }
.done, .ok, .verified { color: #17692b } .held, .unconfirmed, .waiting { color: #8a5a00 }
.failed, .wrong, .corrupt { color: #b00020 } .sending, .ingesting, .receiving { color: #0550ae }
.none, .small { color: #666 } progress { width: 100% }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #ddd } th, td { border-color: #3a3d44 } }
"""
EVERY = 5
SHOWN = 200


class Picture(msgspec.Struct, frozen=True):
    """What the page shows, with the fields of docs/status.md."""

    uploads: Sequence[Mapping[str, Any]]
    downloads: Sequence[Mapping[str, Any]]
    cache: Mapping[str, Any]
    archives: Sequence[Mapping[str, Any]]


def render(picture: Picture) -> str:
    """The page. What is in a bundle's folder is its user's alone, so of uploads only names and states are shown."""
    uploads = [
        (f"{each.get('archive')}/{each.get('name')}", _state(each.get("state")), each.get("updated", ""))
        for each in picture.uploads[:SHOWN]
    ]
    downloads = [
        (
            "/".join(str(each.get(key) or "") for key in ("archive", "container", "path")),
            _state(each.get("state")),
            _Raw(f'<progress max="{_count(each, "size") or 1}" value="{_count(each, "bytes")}"></progress>'),
            each.get("error") or each.get("waiting_for") or "",
        )
        for each in picture.downloads
    ]
    archives = [
        (
            each.get("name", ""),
            each.get("kind", ""),
            _state("not asked yet" if each.get("reachable") is None else "ok" if each["reachable"] else "wrong"),
            each.get("identity") or "",
            each.get("error") or "",
        )
        for each in picture.archives
    ]
    used, limit = _count(picture.cache, "size"), _count(picture.cache, "limit")
    hits = f"{picture.cache.get('hits', 0)} hits, {picture.cache.get('misses', 0)} misses"
    cache = f'<progress max="{limit or 1}" value="{used}"></progress><p class="small">'
    cache += f"{_size(used)} of {_size(limit)} in {picture.cache.get('files', 0)} files, {hits}</p>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="{EVERY}">'
        f"<title>pacifica-fs</title><style>{STYLE}</style><h1>pacifica-fs</h1>"
        f"<h2>Uploads</h2>{_table(('bundle', 'state', 'since'), uploads)}"
        f"<h2>Downloads</h2>{_table(('file', 'state', 'so far', 'waits for'), downloads)}"
        f"<h2>Archives</h2>{_table(('archive', 'kind', 'answers', 'as', 'error'), archives)}"
        f"<h2>Cache</h2>{cache}</html>\n"
    )


class _Raw(str):
    """Text that is HTML already."""


def _state(word: object) -> _Raw:
    text = escape(str(word), quote=True)
    return _Raw(f'<span class="{text}">{text}</span>')


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return '<p class="none">none</p>'
    head = "".join(f"<th>{escape(column)}" for column in columns)
    lines = ["".join(f"<td>{cell if isinstance(cell, _Raw) else escape(str(cell))}" for cell in row) for row in rows]
    return f"<table><tr>{head}" + "".join(f"<tr>{line}" for line in lines) + "</table>"


def _count(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    return int(value) if isinstance(value, int | float) else 0


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
