"""What `check` finds: one sentence each, and what to do about it."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `level` is `ok`, `remark` (works, but you should know) or `wrong`."""

    subject: str
    level: str
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    """All is well with `subject`."""
    return Finding(subject, "ok", text)


def remark(subject: str, text: str, remedy: str = "") -> Finding:
    """`subject` works, but there is something to know."""
    return Finding(subject, "remark", text, remedy)


def wrong(subject: str, text: str, remedy: str) -> Finding:
    """`subject` does not work; `remedy` says what to do."""
    return Finding(subject, "wrong", text, remedy)
