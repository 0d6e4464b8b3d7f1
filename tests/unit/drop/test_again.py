"""The same folder again and again: each file exactly once, unless its user wants otherwise."""

from __future__ import annotations

import threading

import msgspec
import pytest

from pacifica_fs.drop import requests
from pacifica_fs.errors import Invalid, NotFound, Unreachable

from .conftest import SIDECAR

HOUR = 3600.0


def rsync(rig, files, name="run"):
    """What `rsync -a` does: only what has another size or mtime is copied, under a temporary name, then renamed."""
    copied = 0
    if name not in [one for one, _ in rig.folder.entries()]:
        rig.mkdir(name)
    folder = rig.at(name)
    for path, (data, mtime) in files.items():
        there = dict(folder.entries()).get(path)
        if there is not None and (there.attributes().size, there.attributes().mtime_ns) == (len(data), mtime):
            continue
        copied += 1
        rig.put(f"{name}/.{path}.Xy12aB", data)
        folder.lookup(f".{path}.Xy12aB").set_times(mtime)
        folder.rename(f".{path}.Xy12aB", folder, path)
    return copied


def sent(rig):
    """Every path that was sent, as often as it was."""
    return sorted(path for content in rig.site.contents.values() for path in content)


def settle(rig, advance=0.0):
    rig.until(lambda: all(u.state == "done" for u in rig.drop.uploads()) and rig.drop.idle(), advance)


def test_a_day_of_hourly_rsyncs_gives_each_file_once(rig):
    files = {"metadata.json": (SIDECAR, 10**18)}
    for hour in range(24):
        files[f"frame{hour:02}"] = (b"frame" * (hour + 1), 10**18 + hour)
        assert rsync(rig, files) <= 2
        settle(rig, advance=60)
        assert rsync(rig, files) == 0
        if hour % 6 == 3:
            rig.restart()
            assert rsync(rig, files) == 0
        rig.clock.time += HOUR
    assert sent(rig) == [f"frame{hour:02}" for hour in range(24)]


def test_after_keep_done_it_is_copied_again_and_not_sent_again(rig):
    files = {"a": (b"alpha", 10**18), "b": (b"beta", 10**18), "metadata.json": (SIDECAR, 10**18)}
    rsync(rig, files)
    settle(rig, advance=60)
    rig.clock.time += 31 * 86400
    rig.restart()
    assert rsync(rig, files) == 3
    settle(rig, advance=60)
    newest = rig.drop.uploads()[0]
    assert {one.why for one in newest.left_out} == {"already in transaction 1000"}
    assert newest.transaction == "1000" and sent(rig) == ["a", "b"]


def known(rig):
    """A bundle that was not sent, because the archive has all of it."""
    rig.mkdir("run")
    rig.put("run/a", b"alpha")
    rig.commit("run")
    settle(rig)
    rig.put("run/.a", b"alpha")
    rig.at("run").rename(".a", rig.at("run"), "a")
    rig.commit("run")
    settle(rig)
    return rig.drop.uploads()[0]


def test_retry_again_sends_what_is_known(rig):
    newest = known(rig)
    with pytest.raises(Invalid):
        rig.drop.retry(newest.id)
    rig.drop.control(msgspec.json.encode({"do": "retry", "id": newest.id, "again": True}))
    rig.until(lambda: len(rig.site.containers) == 2)
    settle(rig)
    assert rig.drop.uploads()[0].transaction == "1001" and sent(rig) == ["a", "a"]


def test_what_is_known_stays_for_a_day_and_not_longer(rig):
    newest = known(rig)
    folder = rig.root / "bundles" / newest.id / "files"
    assert folder.exists()
    rig.clock.time += 86401
    rig.drop.wake()
    rig.until(rig.drop.idle)
    assert not folder.exists()
    with pytest.raises(Invalid):
        rig.drop.retry(newest.id, True)


def test_what_is_just_being_sent_is_waited_for_and_not_sent_twice(rig):
    reached, go = threading.Event(), threading.Event()

    def wait(*args):
        reached.set()
        assert go.wait(10)

    rig.site.script["after"] = wait
    rig.mkdir("run")
    rig.put("run/a", b"alpha")
    rig.commit("run")
    assert reached.wait(10)
    rig.put("run/.a", b"alpha")
    rig.at("run").rename(".a", rig.at("run"), "a")
    rig.put("run/b", b"beta")
    rig.commit("run")
    rig.until(lambda: rig.drop.uploads()[0].state == "sealed", advance=1)
    go.set()
    settle(rig, advance=1)
    assert sent(rig) == ["a", "b"]


def test_what_may_have_arrived_is_decided_before_its_files_are_sent_again(rig):
    """Held because the archive was asked for long and does not have it: a new copy waits for the user's decision."""

    def broken(bundle):
        raise Unreachable("connection reset")

    rig.site.script["last"] = broken
    rig.mkdir("run")
    rig.put("run/a", b"alpha")
    rig.commit("run")
    first = rig.until_state("held", advance=60)
    rig.site.script.clear()
    rig.put("run/.a", b"alpha")
    rig.at("run").rename(".a", rig.at("run"), "a")
    rig.put("run/b", b"beta")
    rig.commit("run")
    rig.until(lambda: rig.drop.uploads()[0].state == "sealed", advance=1)
    rig.drop.retry(first.id)
    settle(rig, advance=1)
    assert sent(rig) == ["a", "b"]


# What is asked while no daemon runs.


def test_queued_requests_are_done_by_the_next_daemon(rig):
    rig.mkdir("bad")
    rig.put("bad/a", b"alpha")
    rig.mkdir("other")
    bad = rig.upload("bad").id
    rig.stop()
    requests.queue(rig.root, requests.Request("discard", bad))
    requests.queue(rig.root, requests.Request("discard", "nonsense"))
    rig.start()
    assert [one.name for one in rig.drop.uploads()] == ["other"]
    assert list((rig.root / "queue").iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"{}", b'{"do": "format", "id": "x"}', b'{"do": "retry", "id": "x", "no": 1}'])
def test_what_is_no_request_is_refused(rig, data):
    with pytest.raises(Invalid):
        rig.drop.control(data)


def test_a_request_for_no_bundle_is_refused(rig):
    with pytest.raises(NotFound):
        rig.drop.control(b'{"do": "discard", "id": "nonsense"}')


def test_a_discarded_bundle_gives_its_room_back(rig):
    from pacifica_fs.config import DropSettings, Size

    rig.stop()
    rig.settings = DropSettings(min_free=Size(0), limit=Size(1000))
    rig.start()
    rig.mkdir("run")
    rig.put("run/a", b"x" * 900)
    free = rig.folder.space()[1]
    rig.drop.discard(rig.upload().id)
    assert rig.folder.space()[1] == free + 900
