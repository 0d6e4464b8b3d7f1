"""What is wrong with one bundle is said, and keeps no other back."""

from __future__ import annotations

import errno
import os
import time

import pytest

from pacifica_fs.drop import checker
from pacifica_fs.errors import Invalid, Unreachable
from pacifica_fs.model import Problem

from .conftest import WAIT

LATIN = os.fsdecode(b"\xe9t\xe9.dat")


def fill(rig, name, *paths):
    rig.mkdir(name)
    for path in paths or ("a.dat",):
        rig.put(f"{name}/{path}", f"{name} {path}".encode(errors="surrogateescape"))
    rig.commit(name)


def test_a_name_that_is_no_text_holds_its_bundle_until_it_is_renamed(rig):
    fill(rig, "latin", LATIN, "b.dat")
    held = rig.until_state("held", "latin")
    assert held.problems[0].path == r"\xe9t\xe9.dat" and "UTF-8" in held.problems[0].what
    fill(rig, "next")
    rig.until_state("done", "next")
    folder = rig.folder.lookup("latin")
    folder.rename(LATIN, folder, "été.dat")
    rig.commit("latin")
    rig.until_state("done", "latin")
    assert rig.site.contents["1001"] == {"été.dat": b"latin \xe9t\xe9.dat", "b.dat": b"latin b.dat"}


def test_an_empty_folder_and_very_many_names_that_are_no_text(rig):
    rig.mkdir("latin").mkdir(LATIN, 0o755)
    fill_more = [os.fsdecode(b"\xe9%d" % number) for number in range(30)]
    for name in fill_more:
        rig.put(f"latin/{name}", b"x")
    rig.commit("latin")
    problems = rig.until_state("held", "latin").problems
    assert len(problems) == checker.MANY + 1 and "11 more" in problems[-1].what


def test_a_bundle_cannot_be_called_by_what_is_no_text(rig):
    with pytest.raises(Invalid, match=r"\\xe9t\\xe9.dat is not UTF-8"):
        rig.mkdir(LATIN)
    rig.mkdir("run")
    with pytest.raises(Invalid):
        rig.folder.rename("run", rig.folder, LATIN)
    assert [one.name for one in rig.drop.uploads()] == ["run"]


def test_a_name_that_is_no_text_of_a_file_that_a_crash_cut_off(rig):
    rig.mkdir("run")
    _, handle = rig.at("run").create(LATIN, os.O_WRONLY | os.O_CREAT, 0o644)
    handle.write(memoryview(b"half"), 0)
    rig.restart()
    upload = rig.until_state("held")
    assert upload.problems[0].path == r"\xe9t\xe9.dat" and "being written" in upload.problems[0].what
    handle.release()


def test_half_a_character_in_a_sidecar(rig):
    fill(rig, "run", "a.dat")
    rig.until_state("done")
    rig.mkdir("half")
    rig.put("half/a.dat", b"x")
    rig.put("half/metadata.json", rb'{"project": "\ud800"}')
    rig.commit("half")
    assert "half of a character" in rig.until_state("held", "half").problems[0].what
    fill(rig, "next")
    rig.until_state("done", "next")


def test_half_a_character_in_the_words_of_a_server(rig):
    rig.site.script["check"] = lambda bundle: [Problem("no \ud800", "ask")]
    fill(rig, "run")
    rig.until_state("held")
    rig.restart()
    assert rig.upload().problems[0].what == "no ?"


def test_a_file_that_cannot_be_read_keeps_nobody_back(rig, monkeypatch):
    real = checker.entries

    def entries(bundle, *args):
        if bundle.journal.name == "broken":
            raise OSError(errno.EIO, "Input/output error")
        return real(bundle, *args)

    monkeypatch.setattr(checker, "entries", entries)
    fill(rig, "broken")
    rig.until(lambda: "Input/output error" in rig.upload("broken").waiting_for)
    fill(rig, "a larger one", "some longer name")
    rig.until_state("done", "a larger one")
    assert rig.upload("broken").state == "sealed"
    monkeypatch.undo()
    rig.until_state("done", "broken")


def test_a_small_bundle_overtakes_a_large_one_that_is_being_hashed(rig, monkeypatch):
    real = checker.entries

    def entries(bundle, found, taken, algorithm, go_on, own):
        if bundle.journal.name == "large":
            fill(rig, "small")
            end = time.monotonic() + WAIT
            while rig.upload("small").state != "done":
                assert time.monotonic() < end, rig.upload("small")
                rig.clock.time += 1.1
                assert go_on()
                time.sleep(0.01)
        return real(bundle, found, taken, algorithm, go_on, own)

    monkeypatch.setattr(checker, "entries", entries)
    rig.mkdir("large")
    rig.put("large/data", b"x" * 100_000)
    rig.commit("large")
    rig.until_state("done", "large")
    assert rig.site.sends == [rig.upload("small").id, rig.upload("large").id]


def test_who_waits_for_an_upload_before_says_so(rig):
    def broken(*args):
        raise Unreachable("down")

    rig.site.script.update(after=broken, find=lambda bundle: [])
    fill(rig, "run")
    first = rig.until_state("unconfirmed")
    rig.put("run/new", b"run a.dat")
    rig.at("run").rename("new", rig.at("run"), "a.dat")
    rig.put("run/b.dat", b"more")
    rig.commit("run")
    rig.until(lambda: first.id in rig.upload().waiting_for)
    assert rig.upload().state == "sealed"
