"""Promise 2, first half: after close returned 0, neither a crash nor a power cut loses that file.

A disk that records its effects shows their order; copies of the spool as a crash would leave it show the recovery.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat

import pytest

from pacifica_fs.drop.disk import Disk
from pacifica_fs.errors import PacificaFSError, Unreachable

from .conftest import SIDECAR, Rig

W = os.O_WRONLY


class RecordingDisk(Disk):
    """Writes down what it does to files below a bundle's `files/`."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[str, str]] = []
        self.fail: dict[str, OSError] = {}

    def _note(self, what: str, target: int | str) -> None:
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else target
        if "/files" in path:
            self.log.append((what, path.partition("/files")[2].lstrip("/")))
            if what in self.fail:
                raise self.fail.pop(what)

    def open(self, path, flags, mode=0o600):
        if flags & os.O_CREAT:
            self._note("create", path)
        return super().open(path, flags, mode)

    def write(self, fd, data, offset):
        self._note("write", fd)
        super().write(fd, data, offset)

    def chmod(self, target, mode):
        self._note("mark" if mode & stat.S_ISVTX else "unmark", target)
        super().chmod(target, mode)

    def fsync(self, fd):
        self._note("fsync", fd)
        super().fsync(fd)

    def rename(self, old, new):
        self._note("rename", new)
        super().rename(old, new)


@pytest.fixture
def recorded(tmp_path):
    rig = Rig(tmp_path / "spool")
    rig.disk = RecordingDisk()
    rig.start()
    yield rig
    rig.stop()


def taken(rig):
    log, rig.disk.log = rig.disk.log, []
    return log


def test_close_syncs_the_data_then_the_name_and_a_second_flush_nothing(recorded):
    run = recorded.mkdir("run")
    taken(recorded)
    _, handle = run.create("a", W | os.O_CREAT, 0o644)
    assert os.lstat(recorded.spooled() / "a").st_mode & stat.S_ISVTX, "marked from the first moment"
    handle.write(memoryview(b"x"), 0)
    assert taken(recorded) == [("create", "a"), ("write", "a")]
    handle.flush()
    *synced, last = taken(recorded)
    assert (sorted(synced), last) == ([("fsync", ""), ("fsync", "a")], ("unmark", "a"))
    handle.flush()
    handle.flush()
    handle.release()
    assert taken(recorded) == []
    assert not os.lstat(recorded.spooled() / "a").st_mode & stat.S_ISVTX


def test_new_directories_are_synced_up_to_the_known_ones_and_only_once(recorded):
    run = recorded.mkdir("run")
    run.mkdir("d", 0o755)
    run.lookup("d").mkdir("e", 0o755)
    taken(recorded)
    recorded.put("run/d/e/a")
    synced = [path for what, path in taken(recorded) if what == "fsync"]
    assert [path for path in synced if path != "d/e/a"] == ["d/e", "d", ""]
    assert "d/e/a" in synced
    recorded.put("run/d/e/b")
    assert sorted(path for what, path in taken(recorded) if what == "fsync") == ["d/e", "d/e/b"]


def test_a_closed_file_is_marked_durably_before_it_is_written_again(recorded):
    run = recorded.mkdir("run")
    recorded.put("run/a", b"one")
    taken(recorded)
    handle = run.lookup("a").open(W)
    handle.write(memoryview(b"two"), 0)
    assert taken(recorded) == [("mark", "a"), ("fsync", "a"), ("write", "a")]
    handle.flush()
    assert taken(recorded) == [("fsync", "a"), ("unmark", "a")]
    handle.release()


def test_fsync_makes_durable_but_does_not_close(recorded):
    run = recorded.mkdir("run")
    _, handle = run.create("a", W | os.O_CREAT, 0o644)
    handle.write(memoryview(b"x"), 0)
    taken(recorded)
    handle.fsync()
    assert sorted(taken(recorded)) == [("fsync", ""), ("fsync", "a")]
    assert os.lstat(recorded.spooled() / "a").st_mode & stat.S_ISVTX
    handle.fsync()
    assert taken(recorded) == []
    handle.flush()
    assert taken(recorded) == [("unmark", "a")]
    handle.release()


def test_a_rename_is_durable_when_it_returns(recorded):
    run = recorded.mkdir("run")
    run.mkdir("d", 0o755)
    recorded.put("run/.a.Xy12aB")
    taken(recorded)
    run.rename(".a.Xy12aB", run.lookup("d"), "a")
    assert taken(recorded) == [("rename", "d/a"), ("fsync", "d"), ("fsync", ""), ("fsync", "")]


def test_an_error_of_fsync_reaches_the_program_and_is_never_forgotten(recorded):
    run = recorded.mkdir("run")
    _, handle = run.create("a", W | os.O_CREAT, 0o644)
    handle.write(memoryview(b"x"), 0)
    recorded.disk.fail["fsync"] = OSError(errno.EIO, "Input/output error")
    for _ in range(2):
        with pytest.raises(PacificaFSError):
            handle.flush()
    handle.release()
    recorded.commit("run")
    held = recorded.until_state("held")
    assert held.problems[0].path == "a" and not recorded.site.sends


def crash(rig, tmp_path):
    """The spool as a SIGKILL would leave it now, with a new daemon on it."""
    after = Rig(tmp_path / "after")
    with contextlib.ExitStack() as still:
        # One moment: nobody replaces a journal while it is copied.
        for bundle in rig.drop._spool.bundles.values():
            still.enter_context(bundle.lock)
        shutil.copytree(rig.root, after.root)
        # Modes, in the order in which things happened: the times of change are all that says what came last.
        for path in sorted(rig.root.rglob("*"), key=lambda path: path.lstat().st_ctime_ns):
            os.chmod(after.root / path.relative_to(rig.root), stat.S_IMODE(path.lstat().st_mode))
    after.site = rig.site
    return after


def test_after_a_crash_a_file_without_a_close_record_holds_the_bundle_and_is_named(recorded, tmp_path):
    run = recorded.mkdir("run")
    recorded.put("run/whole", b"whole")
    _, handle = run.create("cut", W | os.O_CREAT, 0o644)
    handle.write(memoryview(b"half"), 0)
    after = crash(recorded, tmp_path)
    handle.release()
    after.start()
    try:
        held = after.upload()
        assert held.state == "held" and [p.path for p in held.problems] == ["cut"]
        assert "was being written when the mount stopped" in held.problems[0].what
        assert (after.spooled() / "whole").read_bytes() == b"whole"
        # `retry` does not help, a new copy of the file does.
        after.drop.retry(held.id)
        after.until_state("held")
        assert not after.site.sends
        again = after.at("run/cut").open(W | os.O_TRUNC)
        again.write(memoryview(b"half and half"), 0)
        again.flush()
        again.release()
        after.commit("run")
        after.until_state("done")
        assert after.site.contents["1000"] == {"whole": b"whole", "cut": b"half and half"}
    finally:
        after.stop()


def test_a_file_that_was_being_written_again_is_no_better(recorded, tmp_path):
    run = recorded.mkdir("run")
    recorded.put("run/a", b"old content")
    handle = run.lookup("a").open(W)
    handle.write(memoryview(b"new"), 0)
    after = crash(recorded, tmp_path)
    handle.release()
    after.start()
    try:
        assert after.upload().state == "held" and after.upload().problems[0].path == "a"
    finally:
        after.stop()


def test_after_a_crash_closed_files_go_on_by_themselves(recorded, tmp_path):
    recorded.mkdir("run")
    recorded.put("run/a", b"alpha")
    recorded.put("run/empty", b"")
    recorded.put("run/metadata.json", SIDECAR)
    after = crash(recorded, tmp_path)
    after.start()
    try:
        after.until(lambda: "the sidecar is there" in after.upload().waiting_for)
        after.clock.time += 31
        after.until_state("done")
        assert after.site.contents["1000"] == {"a": b"alpha", "empty": b""}
    finally:
        after.stop()


def test_a_commit_survives_a_crash(recorded, tmp_path):
    def down(bundle):
        raise Unreachable("down")

    recorded.site.script["check"] = down
    recorded.mkdir("run")
    recorded.put("run/a", b"alpha")
    recorded.commit("run")
    recorded.until_state("held")
    after = crash(recorded, tmp_path)
    recorded.stop()
    recorded.site.script.clear()
    after.start()
    try:
        after.until_state("done", advance=10)
    finally:
        after.stop()


def test_a_half_made_bundle_leaves_nothing(recorded, tmp_path):
    recorded.mkdir("run")
    recorded.stop()
    (recorded.root / "bundles" / ".new-x" / "files").mkdir(parents=True)
    recorded.start()
    assert [path.name for path in (recorded.root / "bundles").iterdir()] == [recorded.upload().id]


def test_a_journal_that_cannot_be_understood_is_left_alone(recorded):
    recorded.mkdir("run")
    recorded.put("run/a", b"alpha")
    place = recorded.root / "bundles" / recorded.upload().id
    recorded.stop()
    (place / "bundle.json").write_text("{")
    recorded.start()
    assert recorded.drop.uploads() == []
    assert (place / "files" / "a").read_bytes() == b"alpha"


def test_journals_are_for_people(recorded):
    import json

    recorded.mkdir("run")
    recorded.put("run/a", b"alpha")
    recorded.commit("run")
    done = recorded.until_state("done")
    text = (recorded.root / "bundles" / done.id / "bundle.json").read_text()
    value = json.loads(text)
    assert text.count("\n") > 20 and value["state"] == "done" and value["transaction"] == "1000"
    assert value["files"][0]["digest"].startswith("sha1:")


def test_a_mark_that_comes_back_in_a_sealed_bundle_means_nothing(recorded):
    def down(bundle, sent):
        raise Unreachable("down")

    recorded.site.script["before"] = down
    recorded.mkdir("run")
    recorded.put("run/a", b"alpha")
    recorded.commit("run")
    recorded.until(lambda: recorded.site.sends and recorded.upload().state == "sealed")
    path = recorded.spooled() / "a"
    recorded.stop()
    path.chmod(0o644 | stat.S_ISVTX)
    recorded.site.script.clear()
    recorded.start()
    recorded.until_state("done", advance=5)
