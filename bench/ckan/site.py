"""The CKAN site that the measurements share."""

from __future__ import annotations

from tests.servers.ckan import CkanSite

from ..bench import Bench


def site(bench: Bench) -> CkanSite:
    """Started by who asks first."""
    if "ckan" not in bench.shared:
        bench.say("starting CKAN")
        bench.shared["ckan"] = bench.enter(CkanSite.prepare(bench.guard, max_mib=100))
    found: CkanSite = bench.shared["ckan"]
    return found
