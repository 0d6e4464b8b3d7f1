"""A server that the tests run: its own process group, a log, and an end that is certain."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .guard import Guard

LOOPBACK = "127.0.0.1"


class NotReady(Exception):
    """A server ended or did not answer in time; the message has the end of its log."""


def free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nothing listens on, and that no other process of tests was given.

    Below the range that the kernel uses for outgoing connections, so that none is taken before the server binds it.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    held: list[socket.socket] = []
    try:
        while len(held) < number:
            probe = socket.socket()
            try:
                probe.bind((LOOPBACK, random.randrange(10_000, lowest) if lowest > 12_000 else 0))
                _claim(probe.getsockname()[1])
            except OSError:
                probe.close()
            else:
                held.append(probe)
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


_claims: list[socket.socket] = []


def _claim(port: int) -> None:
    """Take a port for this process until it ends; OSError if another has it. (An abstract name leaves no file.)"""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0pacifica-fs-tests-port-{port}")
    except OSError:
        claim.close()
        raise
    _claims.append(claim)


def listening(port: int) -> bool:
    """True if something accepts connections on `port`."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=2).close()
    except OSError:
        return False
    return True


class Process:
    """One program, started and ended any number of times; each start appends to `log`. For one thread at a time."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        guard: Guard,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        user: str | None = None,
        stop_signal: int = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._guard = guard
        self._env = dict(env)
        self._cwd = cwd
        self._user = user
        self._stop_signal = stop_signal
        self._log_start = 0
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; NotReady if it does not run."""
        if self._popen is None:
            raise NotReady(f"{self.name} is not started")
        return self._popen.pid

    def start(self) -> None:
        """Start it; does nothing if it runs. `wait` waits until it answers."""
        if self.alive():
            return
        self.kill()
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,
                **({"user": self._user, "group": self._user, "extra_groups": []} if self._user else {}),  # type: ignore[call-overload]
            )
        self._guard.process(self._popen.pid)

    def alive(self) -> bool:
        """True if it was started and has not ended."""
        return self._popen is not None and not self._ended()

    def wait(self, ready: Callable[[], bool], deadline: float) -> None:
        """Return once `ready()`; NotReady if it ends before, or at `deadline` (of time.monotonic)."""
        while not (self.alive() and ready()):
            if not self.alive():
                raise NotReady(f"{self.name} ended while it started; its log:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} did not become ready in time; its log:\n{self.tail()}")
            time.sleep(0.02)

    def interrupt(self) -> None:
        """Ask it to end, without waiting for that."""
        if self.alive():
            os.kill(self.pid, self._stop_signal)

    def stop(self, timeout: float = 10) -> None:
        """Ask it to end and wait; killed after `timeout` seconds."""
        self.interrupt()
        self.join(timeout)
        self.kill()

    def signal(self, number: int) -> None:
        """Send a signal to it and all of its group."""
        popen = self._popen
        if popen is not None and popen.returncode is None:
            try:
                os.killpg(popen.pid, number)
            except ProcessLookupError:
                pass

    def join(self, timeout: float) -> int | None:
        """Wait until it ends by itself: its exit code (negative: the signal), or None if it still runs."""
        end = time.monotonic() + timeout
        while self.alive() and time.monotonic() < end:
            time.sleep(0.01)
        if self._popen is None or self.alive():
            return None
        popen = self._popen
        self.kill()
        return popen.returncode

    def kill(self) -> None:
        """End it and all of its group at once. Nothing of it runs when this returns."""
        if self._popen is None:
            return
        # While the leader is not waited for, the group's number cannot be given to anybody else.
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait(timeout=90)  # a busy disk keeps a killed process
        self._guard.forget_process(self._popen.pid)
        self._popen = None

    def output(self) -> str:
        """What it wrote since its last start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def tail(self, lines: int = 30) -> str:
        """The last lines of `output`."""
        return "\n".join("    " + line for line in self.output().splitlines()[-lines:])

    def _ended(self) -> bool:
        assert self._popen
        if self._popen.returncode is not None:
            return True
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._popen.pid, how) is not None
