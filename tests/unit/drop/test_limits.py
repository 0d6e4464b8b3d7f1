"""Limits of size and rate, and whose turn it is."""

from __future__ import annotations

import threading

import msgspec
import pytest

from pacifica_fs.config import DropSettings, Size
from pacifica_fs.drop.limits import Pace
from pacifica_fs.errors import TooLarge, Unreachable
from pacifica_fs.model import Progress

from .conftest import HandClock
from .test_pipeline import fill


def big(rig, name, size):
    rig.mkdir(name)
    rig.put(f"{name}/data", b"x" * size)
    rig.commit(name)


def test_a_refusal_of_the_size_is_remembered_and_the_next_is_held_before_it_is_sent(rig):
    def refuse(bundle, sent):
        if bundle.size > 5000:
            raise TooLarge("413: its limit is lower")

    rig.site.script["before"] = refuse
    big(rig, "first", 10_000)
    assert "413" in rig.until_state("held", "first").problems[0].what
    rig.restart()
    big(rig, "second", 20_000)
    held = rig.until_state("held", "second")
    assert "refused one of" in held.problems[0].what and len(rig.site.sends) == 1
    big(rig, "small", 4000)
    rig.until_state("done", "small")
    # The site takes more now.
    rig.site.script.clear()
    rig.drop.retry(held.id)
    rig.until_state("done", "second")


def test_a_refusal_of_the_size_after_the_end_was_sent_is_a_refusal_too(rig):
    def refuse(bundle):
        raise TooLarge("413")

    rig.site.script["last"] = refuse
    fill(rig)
    rig.until_state("held")
    rig.site.script.clear()
    rig.drop.retry(rig.upload().id)
    rig.until_state("done")
    assert len(rig.site.containers) == 1


def test_small_bundles_overtake_large_ones_but_not_for_ever(rig):
    reached, go = threading.Event(), threading.Event()

    def wait(bundle, sent):
        reached.set()
        assert go.wait(10)

    rig.site.script["before"] = wait
    big(rig, "first", 10)
    assert reached.wait(10)
    for name, size in (("large", 100_000), ("middle", 10_000), ("small", 1000)):
        big(rig, name, size)
        bundle = rig.drop._spool.get(rig.until_state("checking", name).id)
        rig.until(lambda bundle=bundle: bundle.passed)
    rig.site.script.clear()
    go.set()
    rig.until(lambda: all(u.state == "done" for u in rig.drop.uploads()))
    names = {bundle.id: bundle.name for bundle, _ in rig.site.containers.values()}
    assert [names[id] for id in rig.site.sends] == ["first", "small", "middle", "large"]


def test_what_was_overtaken_for_long_goes_next(rig):
    from pacifica_fs.drop.courier import OVERTAKEN, turn

    rig.site.script["poll"] = lambda ticket: Progress("", "open tar", 1.0)
    big(rig, "first", 10)
    rig.until_state("ingesting", "first")
    big(rig, "large", 100_000)
    rig.until_state("checking", "large")
    rig.clock.time += OVERTAKEN - 100
    big(rig, "small", 100)
    rig.until_state("checking", "small")
    waiting = [one for one in rig.drop._spool.bundles.values() if one.journal.state == "checking"]
    assert turn(waiting, rig.clock.now()).journal.name == "small"
    assert turn(waiting, rig.clock.now() + 200).journal.name == "large"


@pytest.mark.parametrize("stage", ["held", "failed", "unconfirmed"])
def test_what_needs_somebody_keeps_nobody_back(rig, stage):
    def lost(bundle):
        raise Unreachable("reset")

    if stage == "held":
        rig.archive = msgspec.structs.replace(rig.archive, max_bundle=Size(5000))
        rig.restart()
    elif stage == "failed":
        rig.site.script["poll"] = lambda ticket: Progress("failed", "x", 0.0, "no") if ticket.job == "job1000" else None
    else:
        rig.site.script["last"] = lost
    big(rig, "bad", 6000)
    rig.until_state(stage, "bad")
    rig.site.script.pop("last", None)
    big(rig, "good", 100)
    rig.until_state("done", "good")
    assert rig.upload("bad").state == stage


def test_the_pace_is_kept():
    clock = HandClock()
    waits = []

    def wait(seconds):
        waits.append(seconds)
        clock.time += seconds

    pace = Pace(1000, clock, wait)
    for total in range(100, 1001, 100):
        pace.passed(total)
    assert sum(waits) == pytest.approx(1.0)
    clock.time += 10
    pace.passed(1100)
    assert sum(waits) == pytest.approx(1.0)
    Pace(None, clock, wait).passed(10**12)


def test_an_upload_keeps_the_bandwidth(rig):
    """The real time is measured in the tracker of waits; nothing is sent faster."""
    rig.stop()
    rig.settings = DropSettings(min_free=Size(0), bandwidth=Size(40_000))
    rig.start()
    waited = []
    lane = rig.drop._lanes["site"]
    lane.stopping.wait = lambda seconds: waited.append(seconds)
    big(rig, "run", 10_000)
    rig.until_state("done")
    assert max(waited) == pytest.approx(0.25, abs=0.05)
