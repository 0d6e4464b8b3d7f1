"""Every exit code of every command, in one place; `--help` and docs/exit-codes.md show this table."""

from __future__ import annotations

from enum import IntEnum

from ..errors import PacificaFSError


class Failed(PacificaFSError):
    """A command cannot go on: the sentence for the user, and its exit code."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


class Exit(IntEnum):
    """What a command's exit code says; each has its `meaning` for users."""

    OK = 0
    FAILED = 1
    USAGE = 2
    HELD = 3
    REJECTED = 4
    UNCONFIRMED = 5
    NO_MOUNT = 6
    UNKNOWN_BUNDLE = 7
    TIMED_OUT = 124
    INTERRUPTED = 130
    BROKEN_PIPE = 141

    @property
    def meaning(self) -> str:
        """One line for a user."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.OK: "done; for wait: the bundle is ingested",
    Exit.FAILED: "it did not work; for check: something needs your attention",
    Exit.USAGE: "the command line or the configuration is wrong",
    Exit.HELD: "wait, cp: the bundle is held, something is missing in it (its problems.txt says what)",
    Exit.REJECTED: "wait, cp: the server says that the upload failed",
    Exit.UNCONFIRMED: "wait, cp: the connection broke after the upload; nobody knows yet whether it was ingested",
    Exit.NO_MOUNT: "no mount, or one that does not answer",
    Exit.UNKNOWN_BUNDLE: "there is no such bundle",
    Exit.TIMED_OUT: "wait: the time given with --timeout is over",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
    Exit.BROKEN_PIPE: "whoever read the output went away",
}

STATES = {"done": Exit.OK, "held": Exit.HELD, "failed": Exit.REJECTED, "unconfirmed": Exit.UNCONFIRMED}
"""The states of a bundle that end a `wait`, and how; in all others the bundle moves on by itself."""


def table() -> str:
    """The table as text, one code a line."""
    return "\n".join(f"{code.value:>5}  {code.meaning}" for code in Exit)
