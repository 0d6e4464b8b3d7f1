"""Completeness as it is met in a laboratory; the clock is the test's."""

from __future__ import annotations

import time

import msgspec

from pacifica_fs.config import Duration

from .conftest import SIDECAR


def pass_time(rig, seconds):
    """Let time go by in small steps, and everybody look after each."""
    for _ in range(int(seconds)):
        rig.clock.time += 1
    rig.drop.wake()


def looks(rig):
    """Until the clerk had its look: it says what it waits for."""
    rig.upload()
    before = rig.drop._workers["site"][0]
    before.wake()
    rig.until(lambda: not before._wake.is_set())


def test_an_instrument_that_writes_a_frame_every_thirty_seconds_is_not_cut_in_two(rig):
    rig.mkdir("run")
    for frame in range(20):
        rig.put(f"run/frame{frame}", b"frame")
        # The sidecar is there early, and again in the middle, as some programs do.
        if frame in (1, 10):
            if frame > 1:
                rig.at("run").unlink("metadata.json")
            rig.put("run/metadata.json", SIDECAR)
        pass_time(rig, 30)
        looks(rig)
        assert rig.upload().state == "open", frame
    rig.at("run").unlink("metadata.json")
    rig.put("run/metadata.json", SIDECAR)
    pass_time(rig, 119)
    looks(rig)
    assert rig.upload().state == "open"
    pass_time(rig, 2)
    rig.until_state("done")
    assert len(rig.site.sends) == 1 and len(rig.site.contents["1000"]) == 20


def test_a_restart_does_not_forget_the_gaps(rig):
    """What the daemon knew of the instrument's rhythm, the times of its files still tell."""
    rig.mkdir("run")
    rig.put("run/frame1")
    time.sleep(0.3)
    rig.put("run/frame2")
    rig.put("run/metadata.json", SIDECAR)
    rig.restart()
    (bundle,) = rig.drop._spool.bundles.values()
    assert 0.3 <= bundle.gap < 60
    pass_time(rig, 29)
    looks(rig)
    assert rig.upload().state == "open"
    pass_time(rig, 1 + 4 * bundle.gap)
    rig.until_state("done", advance=1)


def test_a_night_without_the_machine_is_no_rhythm(rig):
    """A pause that would have completed the bundle can only be one in which nobody watched."""
    rig.mkdir("run")
    rig.put("run/evening")
    time.sleep(0.3)
    rig.put("run/morning")
    rig.stop()
    rig.settings = msgspec.structs.replace(rig.settings, quiet_unmarked=Duration(0.2))
    rig.start()
    (bundle,) = rig.drop._spool.bundles.values()
    assert bundle.gap <= 0.2


def test_what_cannot_be_taken_back_waits_for_a_word(rig):
    """A kind of archive that never seals by quiet: `.commit` or the sidecar's list, for follow-ons too."""
    rig.stop()
    rig.site.reversible = False
    rig.start()
    rig.mkdir("run")
    rig.put("run/a", b"alpha")
    rig.put("run/metadata.json", SIDECAR)
    pass_time(rig, 10 * 86400)
    looks(rig)
    assert rig.upload().state == "open" and "cannot be taken back" in rig.upload().waiting_for
    rig.commit("run")
    rig.until_state("done")
    rig.put("run/b", b"beta")
    pass_time(rig, 10 * 86400)
    looks(rig)
    assert rig.drop.uploads()[0].state == "open" and len(rig.site.sends) == 1
    rig.put("run/new.json", b'{"project": "1234a", "files": ["b"]}')
    rig.at("run").rename("new.json", rig.at("run"), "metadata.json")
    rig.until(lambda: len(rig.site.containers) == 2)


def test_cp_r_whose_sidecar_comes_first(rig):
    """In the order of the directory, `metadata.json` may be copied before the data; a slow file follows."""
    rig.mkdir("run")
    rig.put("run/metadata.json", SIDECAR)
    pass_time(rig, 60)
    rig.put("run/z.raw", b"data")
    pass_time(rig, 890)
    looks(rig)
    assert rig.upload().state == "open"
    pass_time(rig, 20)
    rig.until_state("done")
    assert rig.site.contents["1000"] == {"z.raw": b"data"}


def test_a_network_source_that_pauses(rig):
    """A file stays open over a pause of any length; between files the longest pause counts four times."""
    rig.mkdir("run")
    _, handle = rig.at("run").create("slow.raw", 0o101, 0o644)
    handle.write(memoryview(b"begin"), 0)
    pass_time(rig, 4000)
    looks(rig)
    assert rig.upload().state == "open" and "slow.raw" in rig.upload().waiting_for
    handle.write(memoryview(b" end"), 5)
    handle.flush()
    handle.release()
    rig.put("run/metadata.json", SIDECAR)
    pass_time(rig, 4 * 4000 - 10)
    looks(rig)
    assert rig.upload().state == "open"
    pass_time(rig, 20)
    rig.until_state("done")
    assert rig.site.contents["1000"] == {"slow.raw": b"begin end"}


def test_two_writers_in_one_folder(rig):
    """One is done and even says so; the other still writes."""
    rig.mkdir("run")
    _, handle = rig.at("run").create("mine.raw", 0o101, 0o644)
    handle.write(memoryview(b"mine"), 0)
    rig.put("run/theirs.raw", b"theirs")
    rig.put("run/metadata.json", SIDECAR)
    rig.commit("run")
    pass_time(rig, 100)
    looks(rig)
    assert rig.upload().state == "open" and "mine.raw" in rig.upload().waiting_for
    handle.flush()
    handle.release()
    rig.until_state("done", advance=1)
    assert rig.site.contents["1000"] == {"mine.raw": b"mine", "theirs.raw": b"theirs"}


def test_it_can_be_taken_back_until_it_is_sent(rig):
    """A write to a sealed bundle, even while it is checked, opens it again."""
    import threading

    reached, go = threading.Event(), threading.Event()

    def wait(bundle):
        if bundle.files and not go.is_set():
            reached.set()
            assert go.wait(10)

    rig.site.script["check"] = wait
    rig.mkdir("run")
    rig.put("run/a", b"alpha")
    rig.commit("run")
    assert reached.wait(10)
    rig.put("run/b", b"beta")
    assert rig.upload().state == "open"
    go.set()
    looks(rig)
    assert rig.upload().state == "open" and not rig.site.sends
    rig.commit("run")
    rig.until_state("done")
    assert set(rig.site.contents["1000"]) == {"a", "b"} and len(rig.site.sends) == 1
