"""What a user gets for an ingested bundle: where it is, which bytes, and what was compared. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..model import FileRef
from .journal import Entry, Journal, stamp


def receipt(journal: Journal, pairs: Sequence[tuple[Entry, FileRef]], now: float, identity: str) -> dict[str, Any]:
    """The content of `receipt.json`; docs/drop.md has every field."""
    sidecar = next((entry for entry in journal.files if entry.role == "sidecar"), None)
    return {
        "archive": journal.archive,
        "transaction": journal.transaction,
        "bundle": journal.id,
        "name": journal.name,
        "identity": identity,
        "compared": stamp(now),
        "times": dict(journal.times),
        "sidecar": {"path": sidecar.path, "size": sidecar.size, "digest": sidecar.digest} if sidecar else None,
        "files": [
            {
                "path": entry.path,
                "size": entry.size,
                "digest": entry.digest,
                "id": ref.id,
                "verified": "digest" if _same_algorithm(entry, ref) else "size",
            }
            for entry, ref in pairs
        ],
    }


def _same_algorithm(entry: Entry, ref: FileRef) -> bool:
    return ref.digest is not None and entry.digest.partition(":")[0] == ref.digest.algorithm
