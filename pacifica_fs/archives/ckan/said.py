"""What other programs say, as it may be shown: one line, no secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LONGEST = 400


def message(error: Any, secrets: Iterable[str] = ()) -> str:
    """The text of a loader's error: a dictionary with `message`, a traceback (its last line counts), or anything."""
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("error") or error
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    traceback = any(line.startswith("Traceback (") for line in lines)
    text = (lines[-1] if traceback else " ".join(lines)) if lines else "no reason given"
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text[:LONGEST]
