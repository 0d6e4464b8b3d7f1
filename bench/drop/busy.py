"""Copying large files into the drop while another bundle is sent, beside copying them onto the spool's disk meanwhile.

The site that is sent to runs on the same machine and disk, so it takes its part from both; the second row has the disk
at rest as the peer.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mount.harness import Mount

from ..bench import Bench, fresh_memory, run, stamp, timed, touch
from ..result import Result

_NUMBERS = itertools.count()


def busy(bench: Bench) -> Iterator[Result]:
    """`cp` of one large file at a time; the peer syncs, as `close` in the drop does."""
    source = bench.file("big", bench.big)
    other = bench.folder / "other"
    other.mkdir()
    bench.file("other/large", bench.big)
    copy = bench.folder / "copy"

    def cp_and_sync() -> None:
        run("cp", source, copy)
        fd = os.open(copy, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    ours, meanwhile, rest = [], [], []
    with bench.mount(bench.site_tables()) as mount:
        for number in range(bench.rounds):
            target = mount.path / "drop" / "site" / f"copied{number}"
            target.mkdir()
            stamp(source, number)
            with sending(bench, mount, other):
                fresh_memory(4 * bench.big)
                ours.append(timed(lambda target=target: run("cp", source, target)))
            (target / "big").unlink()
            with sending(bench, mount, other):
                fresh_memory(4 * bench.big)
                meanwhile.append(timed(cp_and_sync))
            copy.unlink()
            fresh_memory(2 * bench.big)
            rest.append(timed(cp_and_sync))
            copy.unlink()
    source.unlink()
    what = f"cp of {bench.big >> 20} MiB into the drop while another is sent"
    yield Result(what, "s", ours, "cp to the disk meanwhile, fsync", meanwhile, 1 / 0.7)
    yield Result(what, "s", ours, "cp to the disk at rest, fsync", rest)


@contextmanager
def sending(bench: Bench, mount: Mount, folder: Path) -> Iterator[None]:
    """A bundle with `folder` is being sent when the block begins, and is done when this ends."""
    number = next(_NUMBERS)
    sent = mount.path / "drop" / "site" / f"sent{number}"
    stamp(folder / "large", number)
    run("cp", "-r", folder, sent)
    (sent / "metadata.json").write_text(bench.sidecar())
    touch(sent / ".commit")
    while mount.status(sent.name, "site")["state"] not in ("sending", "ingesting", "done"):
        time.sleep(0.01)
    yield
    mount.wait_state(sent.name, "done", 900, "site")
