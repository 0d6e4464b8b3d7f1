"""Copying large files into the drop while another bundle is sent, beside copying them onto the spool's disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from ..bench import Bench, run, stamp, timed, touch
from ..result import Result


def busy(bench: Bench) -> Iterator[Result]:
    """`cp` of one large file at a time; the peer syncs, as `close` in the drop does."""
    source = bench.file("big", bench.big)
    other = bench.folder / "other"
    other.mkdir()
    bench.file("other/large", bench.big)
    ours, disk = [], []
    with bench.mount(bench.site_tables()) as mount:
        for number in range(bench.rounds):
            sent = mount.path / "drop" / "site" / f"sent{number}"
            stamp(other / "large", number)
            run("cp", "-r", other, sent)
            (sent / "metadata.json").write_text(bench.sidecar())
            touch(sent / ".commit")
            while mount.status(sent.name, "site")["state"] not in ("sending", "ingesting", "done"):
                time.sleep(0.01)
            target = mount.path / "drop" / "site" / f"copied{number}"
            target.mkdir()
            stamp(source, number)
            ours.append(timed(lambda target=target: run("cp", source, target)))
            mount.wait_state(sent.name, "done", 900, "site")
            (target / "big").unlink()
            copy = bench.folder / "copy"

            def cp_and_sync(copy=copy) -> None:
                run("cp", source, copy)
                fd = os.open(copy, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)

            disk.append(timed(cp_and_sync))
            copy.unlink()
    source.unlink()
    size = f"{bench.big >> 20} MiB"
    yield Result(f"cp of {size} into the drop while another is sent", "s", ours, "cp to the disk, fsync", disk, 1 / 0.7)
