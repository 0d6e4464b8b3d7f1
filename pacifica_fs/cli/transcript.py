"""A demonstration that is also a test: real commands, shown as a user would type them, each step checked."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from .output import Output

PROGRAM = "pacifica-fs"
PATIENCE = 120.0
MOST_LINES = 24


class StepFailed(Exception):
    """A step did not do what it should; the message says what was expected."""


class Transcript:
    """Commands run in one folder, with what they print. Not to be shared between threads."""

    def __init__(self, folder: Path, output: Output, environ: dict[str, str]) -> None:
        """Commands run in `folder` with `environ`; the transcript goes to `output`."""
        self.folder, self.output = folder, output
        self.environ = {**environ, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
        self.checks = 0

    def say(self, text: str) -> None:
        """What comes next, and why."""
        self.output.line()
        self.output.line(f"# {text}", "bold")

    def run(self, *words: str, fails: bool = False, show: Sequence[str] | None = None) -> str:
        """Run a command (`pacifica-fs` is this very program) and return what it printed on both streams.

        `show` is how it is shown where that differs. StepFailed if its exit code is not as expected.
        """
        self.output.line("$ " + shlex.join(show or words), "cyan")
        program = [sys.executable, "-m", "pacifica_fs"] if words[0] == PROGRAM else [words[0]]
        try:
            done = subprocess.run(
                [*program, *words[1:]],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
                errors="replace",
                text=True,
            )
        except subprocess.TimeoutExpired as error:
            raise StepFailed(f"{words[0]} did not end within {PATIENCE:.0f} s") from error
        except FileNotFoundError as error:
            raise StepFailed(f"the program {words[0]} is not installed") from error
        lines = done.stdout.splitlines()
        for line in lines[:MOST_LINES]:
            self.output.line(f"  {line}")
        if len(lines) > MOST_LINES:
            self.output.line(f"  … ({len(lines) - MOST_LINES} more lines)")
        if (done.returncode != 0) != fails:
            raise StepFailed(f"it ended with exit code {done.returncode}")
        return done.stdout

    def check(self, what: str, holds: bool | Callable[[], bool]) -> None:
        """Note that `what` is so; StepFailed if it is not."""
        try:
            held = holds() if callable(holds) else holds
        except OSError as error:
            raise StepFailed(f"{what}: {error}") from error
        if not held:
            raise StepFailed(f"this should be so, and is not: {what}")
        self.checks += 1
        self.output.line(f"  ok: {what}", "green")


def environment() -> dict[str, str]:
    """The caller's environment without what would lead to another configuration, spool or colours."""
    drop = {"STATE_DIRECTORY", "CACHE_DIRECTORY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "FORCE_COLOR"}
    return {key: value for key, value in os.environ.items() if key not in drop}


def complain(step: str) -> None:
    """The end of a demonstration that failed."""
    click.echo(f"FAILED: {step}", err=True)
