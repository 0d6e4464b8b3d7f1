"""The CKAN site that the measurements share."""

from __future__ import annotations

from pathlib import Path

from tests.servers.ckan import CkanSite

from ..bench import Bench


def site(bench: Bench) -> CkanSite:
    """Started by who asks first."""
    if "ckan" not in bench.shared:
        bench.say("starting CKAN")
        bench.shared["ckan"] = bench.enter(CkanSite.prepare(bench.guard, max_mib=100))
    found: CkanSite = bench.shared["ckan"]
    return found


def write_table(path: Path, rows: int) -> None:
    """A CSV of so many rows and 10 columns."""
    with path.open("w") as out:
        out.write("id,name,when,a,b,c,d,e,ok,note\n")
        for i in range(rows):
            numbers = f"{i * 0.25},{i * 3},{i % 7},x{i},{i * 1.5}"
            out.write(f"{i},name {i},2024-01-{1 + i % 28:02d}T10:00:00,{numbers},true,some text {i}\n")
