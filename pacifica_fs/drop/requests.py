"""What a user asks of the drop besides writing files, as JSON: through the mount, or noted in `SPOOL/queue/`.

    {"do": "retry", "id": "2027…", "again": false}     send what is held or failed; `again`: what is known, too
    {"do": "discard", "id": "2027…"}                   forget a bundle with its files
    {"do": "take", "id": "2027…", "source": "/data/a.raw", "path": "a.raw"}      a file without a copy; see `taking`

A running daemon gets one as the extended attribute CONTROL of `drop/`, which only the mounting user can set. Without a
daemon it is queued, and done by the next one when it starts.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from ..errors import Invalid, PacificaFSError
from .disk import Disk
from .version import QUEUE

log = logging.getLogger(__name__)

CONTROL = "user.pacifica.control"


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One wish; `id` is a bundle's."""

    do: Literal["retry", "discard", "take"]
    id: str
    again: bool = False
    source: str = ""
    path: str = ""


def parse(data: bytes) -> Request:
    """The request in `data`; Invalid."""
    try:
        return msgspec.json.decode(data, type=Request)
    except msgspec.MsgspecError as error:
        raise Invalid(f"not a request: {error}") from error


def queue(root: Path, request: Request, disk: Disk | None = None) -> None:
    """Note `request` durably for the next daemon of the spool `root`; OSError where there is no spool."""
    name = f"{time.time_ns():020}-{secrets.token_hex(4)}.json"
    (disk or Disk()).replace(str(root / QUEUE / name), msgspec.json.encode(request) + b"\n")


def serve(root: Path, do: Callable[[Request], None], disk: Disk) -> None:
    """Do what was queued, in its order. What cannot be done (any more) is logged and forgotten."""
    for name in sorted(os.listdir(root / QUEUE)):
        path = root / QUEUE / name
        if name.endswith(".json"):
            try:
                request = parse(path.read_bytes())
                do(request)
                log.info("queued %s of %s: done", request.do, request.id)
            except PacificaFSError as error:
                log.warning("queued request %s: %s", name, error)
        disk.unlink(str(path))
