"""A disk that dies at its k-th effect, for every k: nothing whose close returned is lost, nothing is ingested twice.

Four ways, each at every effect of a user's day: the process ends there; the machine does, and what was not synced is
gone; the effect fails with EIO; with ENOSPC, while the daemon lives on.
"""

from __future__ import annotations

import errno

import pytest

from pacifica_fs.drop.disk import Disk
from pacifica_fs.errors import PacificaFSError
from tests.unit.drop.conftest import Rig

from .day import day, recover
from .disks import CountingDisk, FailingDisk, MortalDisk, PowerCutDisk

PARTS = 4


@pytest.fixture(scope="module")
def total(tmp_path_factory):
    """How many effects the day has."""
    rig = Rig(tmp_path_factory.mktemp("count") / "spool")
    rig.disk = CountingDisk()
    rig.start()
    day(rig, {})
    rig.until_state("done")
    rig.until(rig.drop.idle)
    rig.stop()
    assert 4 * rig.disk.count >= 300
    return rig.disk.count


def live_and_die(rig):
    """A day that ends with its disk; what was closed until then."""
    closed = {}
    try:
        rig.start()
        day(rig, closed)
        rig.until(lambda: rig.disk.dead.is_set() or rig.drop.idle())
    except (PacificaFSError, OSError):
        assert rig.disk.dead.is_set()
    finally:
        rig.disk.kill()
        rig.stop()
    return closed


def next_morning(rig, closed, k):
    """Another daemon on what is left."""
    rig.disk = Disk()
    rig.start()
    try:
        recover(rig, closed, k)
    finally:
        rig.stop()


@pytest.mark.parametrize("part", range(PARTS))
def test_the_process_ends_at_any_effect(tmp_path, total, part):
    for k in range(part, total + 1, PARTS):
        rig = Rig(tmp_path / f"k{k}")
        rig.disk = MortalDisk(k)
        next_morning(rig, live_and_die(rig), k)


@pytest.mark.parametrize("part", range(PARTS))
def test_the_power_fails_at_any_effect_and_what_was_not_synced_is_gone(tmp_path, total, part):
    for k in range(part, total + 1, PARTS):
        rig = Rig(tmp_path / f"k{k}")
        rig.disk = PowerCutDisk(k, rig.root)
        closed = live_and_die(rig)
        rig.disk.survivors(tmp_path / f"k{k}-after")
        rig.root = tmp_path / f"k{k}-after"
        next_morning(rig, closed, k)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("part", range(PARTS))
def test_any_effect_fails_and_the_daemon_lives_on(tmp_path, total, part, code):
    for k in range(part + 1, total + 1, PARTS):
        rig = Rig(tmp_path / f"k{k}")
        rig.disk = FailingDisk(k, code)
        closed = {}
        try:
            rig.start()
        except OSError:
            rig.running = None
            rig.start()  # the service is started again
        try:
            try:
                day(rig, closed)
            except (PacificaFSError, OSError) as error:
                told = error.errno in (code, errno.EIO)
                assert told, (k, error)
            if not rig.drop.uploads():
                day(rig, closed)
            recover(rig, closed, k)
        finally:
            rig.stop()
