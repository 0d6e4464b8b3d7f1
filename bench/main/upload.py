"""A large bundle through the drop, beside the same tar sent by curl, and beside pacifica-cli."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.pacifica.client import write_bundle

from ..bench import Bench, run, stamp, timed, touch
from ..result import Result


def upload(bench: Bench) -> Iterator[Result]:
    """From `.commit` to `done` against curl and polling; with the copying in, against `pacifica-cli upload`."""
    ours, curl, whole, cli, peak = [], [], [], [], []
    folder = bench.folder / "run"
    folder.mkdir()
    source = bench.file("run/big", bench.big)
    with bench.mount(bench.site_tables()) as mount:
        for number in range(bench.rounds):
            bench.say(f"upload: round {number + 1} of {bench.rounds}")
            target = mount.path / "drop" / "site" / f"bundle{number}"
            stamp(source, 3 * number)
            copied = timed(lambda target=target: run("cp", "-r", folder, target))
            (target / "metadata.json").write_text(bench.sidecar())
            begun = time.perf_counter()
            touch(target / ".commit")
            mount.wait_state(target.name, "done", 900, "site")
            ours.append(time.perf_counter() - begun)
            whole.append(copied + ours[-1])
            peak.append(mount.rss_peak())

            stamp(source, 3 * number + 1)
            curl.append(_curl(bench, source))

            stamp(source, 3 * number + 2)
            begun = time.perf_counter()
            state = bench.site.cli_upload(folder)
            cli.append(time.perf_counter() - begun)
            if state["state"] != "OK":
                raise RuntimeError(f"pacifica-cli: {state}")
    source.unlink()
    size = f"{bench.big >> 20} MiB"
    note = f"daemon's memory at most {max(peak) >> 20} MiB"
    yield Result(f".commit of {size} until done", "s", ours, "curl of the ready tar, polled", curl, 1.2, note=note)
    yield Result(f"cp of {size} into the drop, until done", "s", whole, "pacifica-cli upload", cli, 0.85)


def _curl(bench: Bench, source: Path) -> float:
    """Seconds to send a tar that was made before, and to wait until it is ingested."""
    tar = bench.folder / "bundle.tar"
    with tar.open("wb") as out:
        write_bundle(out, {"big": source}, bench.client.header)
    begun = time.perf_counter()
    command = ["curl", "-sS", "--fail", "--noproxy", "*", "-X", "POST", "-H", "Content-Type: application/octet-stream"]
    answer = subprocess.run(
        [*command, "-T", str(tar), f"{bench.site.ingest}/upload"], stdout=subprocess.PIPE, check=True, timeout=900
    )
    bench.client.finished(json.loads(answer.stdout)["job_id"], 900)
    seconds = time.perf_counter() - begun
    tar.unlink()
    return seconds
