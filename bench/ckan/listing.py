"""Requests for a listing of a thousand packages."""

from __future__ import annotations

import time

from pacifica_fs.archive import Effects
from pacifica_fs.archives.ckan.archive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from tests.servers.faulty import FaultyProxy

from ..bench import Bench
from ..result import Result
from .site import site


def measure(bench: Bench) -> list[Result]:
    """Requests, and seconds. Packages are made once, through the API."""
    ckan = site(bench)
    wanted = bench.many(1000)
    bench.say(f"making {wanted} packages")
    api = ckan.api("admin")
    for _ in range(max(0, wanted - int(api("package_search", rows=0, include_private=True)["count"]))):
        ckan.package()
    seconds = []
    with FaultyProxy(ckan.url) as proxy:
        table = ckan.archive_table(url=proxy.url)
        settings = parse({"archives": {"opendata": table}}).archives[0]
        built = build(settings, Effects(SystemClock(), bench.folder / "state", bench.folder / "cache"))
        for _ in range(bench.rounds):
            begun = time.monotonic()
            found = built.archive.containers({}, 10_000)
            seconds.append(time.monotonic() - begun)
            assert len(found.entries) >= wanted
        requests = proxy.count("POST") / bench.rounds
        built.archive.close()
    note = f"{len(found.entries)} packages"
    return [
        Result("requests of a listing", "requests", [requests], goal=1.0, absolute=True, note=note),
        Result("listing of packages", "s", seconds, note=note),
    ]
