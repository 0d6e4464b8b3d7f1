"""Hints, at the end of a run, about tests that left threads or open files behind. They fail nothing.

Where pytest-xdist runs tests in several processes, each hands its hints to the first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

_FILES = 8  # libraries keep a few open after their first use
_SHOWN = 15


class Leaks:
    """The plugin; one for a run."""

    def __init__(self) -> None:
        self._hints: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Compare before and after each test."""
        threads, files = set(threading.enumerate()), _open_files()
        result = yield
        left = [thread.name for thread in set(threading.enumerate()) - threads if thread.is_alive()]
        more = _open_files() - files
        if left:
            self._hints.append(f"{item.nodeid}: threads {', '.join(sorted(left))}")
        if more >= _FILES:
            self._hints.append(f"{item.nodeid}: {more} open files more than before")
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In a process of xdist: hand over what was found."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["leaks"] = self._hints

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """In the first process: take it."""
        self._hints += getattr(node, "workeroutput", {}).get("leaks", [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show what was found."""
        if self._hints:
            terminalreporter.section("left behind (hints)")
            for hint in self._hints[:_SHOWN]:
                terminalreporter.line(hint)
            if len(self._hints) > _SHOWN:
                terminalreporter.line(f"… and {len(self._hints) - _SHOWN} more")


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
