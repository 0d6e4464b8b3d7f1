"""Transactions and files that only the metadata service knows: for listings that is all there is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import requests

from tests.servers.pacifica import Site

FIRST = 5_000_000
_BEGIN = datetime(2021, 1, 1)


def transactions(site: Site, project: str, number: int, first: int = FIRST) -> range:
    """`number` transactions of a project, an hour apart."""
    ids = range(first, first + number)
    rows = []
    for n, id in enumerate(ids):
        time = (_BEGIN + timedelta(hours=n)).isoformat()
        rows.append({"_id": id, "created": time, "updated": time})
    _put(site, "transactions", [row | {"description": ""} for row in rows])
    _put(site, "transsip", [row | {"submitter": 103, "instrument": 2003, "project": project} for row in rows])
    return ids


def files(site: Site, transaction: int, number: int, first: int = FIRST) -> None:
    """`number` files of a transaction, fifty in each folder."""
    time = _BEGIN.isoformat()
    same = {"transaction": transaction, "mimetype": "text/plain", "ctime": time, "mtime": time, "encoding": "UTF8"}
    same |= {"hashsum": "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15", "hashtype": "sha1", "size": 4}
    made: list[dict[str, Any]] = [
        {"_id": first + n, "name": f"file{n:05}.dat", "subdir": f"scan{n // 50:03}/raw"} for n in range(number)
    ]
    _put(site, "files", [row | same for row in made])


def _put(site: Site, table: str, rows: list[dict[str, Any]]) -> None:
    with requests.Session() as http:
        http.trust_env = False
        answer = http.put(f"{site.metadata}/{table}", json=rows, timeout=120)
        if answer.status_code != 200:
            raise RuntimeError(f"PUT /{table}: {answer.status_code}: {answer.text[:500]}")
