"""What the tests of traps and survival share: a mount of the scripted site, readers as processes, and the metrics."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.fake_site import FakeSite

from .harness import Mount, bounded

SHORT = 5.0  # seconds in which whatever must go on while something hangs has to answer; "at once" on a busy machine


def tables(site: FakeSite, **more: Any) -> dict[str, Any]:
    """A configuration with the archive `site` and the embedded `here`; listings are believed for one second."""
    given = {"read_wait": "30s", "listing_ttl": "1s", "timeouts": {"connect": "2s", "read": "5s"}, **more}
    return {"archives": {"site": site.table(**given), "here": {"kind": "local", "path": ""}}}


def failure(work: Callable[[], object], timeout: float = 20) -> int | None:
    """The errno with which `work` fails; AssertionError if it does not."""
    try:
        found = bounded("something that fails", work, timeout)
    except TimeoutError as error:
        if error.errno is None:
            raise
        return error.errno
    except OSError as error:
        return error.errno
    raise AssertionError(f"no error, but {str(found)[:100]!r}")


def failed(work: Callable[[], object]) -> tuple[int | None, float]:
    """The errno with which `work` fails, and after how many seconds."""
    begun = time.monotonic()
    code = failure(work)
    return code, time.monotonic() - begun


def eventually(what: str, probe: Callable[[], Any], timeout: float = 20) -> Any:
    """The first true result of `probe`; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := probe()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)
    return found


def metric(mount: Mount, name: str, labels: str = "") -> float:
    """One figure of status/metrics; 0 if it is not there yet."""
    text = mount.read("status/metrics").decode()
    found = re.search(rf"^{re.escape(f'pacifica_fs_{name}{labels}')} (\S+)$", text, re.M)
    return float(found[1]) if found else 0.0


def requests(mount: Mount, *operations: str) -> dict[str, float]:
    """How many requests of these operations the kernel has made."""
    text = mount.read("status/metrics").decode()
    found = dict(re.findall(r'^pacifica_fs_requests\{operation="(\w+)"\} (\S+)$', text, re.M))
    return {name: float(found.get(name, 0)) for name in operations}


class Readers:
    """Programs that read, as processes of their own."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[bytes]] = []

    def cat(self, *paths: Path) -> subprocess.Popen[bytes]:
        """`cat PATHS`, its words in a pipe."""
        null = subprocess.DEVNULL
        environment = {**os.environ, "LC_ALL": "C"}
        command = ["cat", *map(str, paths)]
        self.all.append(subprocess.Popen(command, stdout=null, stderr=subprocess.PIPE, stdin=null, env=environment))
        return self.all[-1]

    def running(self) -> list[subprocess.Popen[bytes]]:
        """Those that have not ended."""
        return [reader for reader in self.all if reader.poll() is None]

    def words(self) -> list[str]:
        """What those that have ended said."""
        ended = [reader for reader in self.all if reader.poll() is not None]
        return [reader.stderr.read().decode() for reader in ended if reader.stderr and not reader.stderr.closed]


@contextmanager
def readers() -> Iterator[Readers]:
    """All are gone afterwards."""
    made = Readers()
    try:
        yield made
    finally:
        for reader in made.all:
            if reader.poll() is None:
                reader.send_signal(signal.SIGKILL)
        for reader in made.all:
            reader.wait(30)
            if reader.stderr:
                reader.stderr.close()
