"""How bundles become transactions: once, whole or not at all, whatever else happens at the time."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import pytest

from pacifica_fs.archives.local import folder as folder_module
from pacifica_fs.archives.local import inbox as inbox_module
from pacifica_fs.archives.local import incoming as incoming_module
from pacifica_fs.errors import Corrupt, Denied, Invalid, NoSpace, NotFound, Unreachable, WaitTimeout
from pacifica_fs.model import Bundle, BundleFile, Digest, Metadata, Ticket

FILES = {"a.txt": b"alpha", "d/e/b.bin": bytes(range(256)) * 8192, "d/empty": b""}


def ids(built):
    return [entry.id for entry in built.archive.containers({}, 1000).entries]


def content(built, id):
    return {
        "/".join(ref.parts): b"".join(bytes(arrival.data) for arrival in built.archive.open([ref]))
        for ref in built.archive.files(id)
    }


def leftovers(site):
    return list((site.root / "incoming").iterdir())


# check


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("é" * 128, "more than 255 bytes"),
        ("a/../b", "'..' is no name"),
        ("../../../format", "'..' is no name"),
        ("/absolute", "'' is no name"),
        ("a\udcff", "not valid UTF-8"),
        ("a\0b", "NUL"),
        ("/".join(["d" * 255] * 16), "are possible in this archive"),
    ],
)
def test_what_cannot_be_kept_is_said_before(site, here, path, words):
    bundle = site.bundle({path: b"x"})
    (problem,) = here.inbox.check(bundle)
    assert words in problem.what and problem.remedy
    (problem.what + problem.path).encode()
    with pytest.raises(Invalid, match=words):
        site.send(here, bundle)
    assert ids(here) == []


def test_the_longest_path_that_passes_the_check_can_be_sent_and_read(site, here):
    room = here.inbox._room()
    path = "/".join(["d" * 200] * 40)[:room].rstrip("/")
    bundle = site.bundle({path: b"deep", "x" * 255: b"long"})
    assert not here.inbox.check(bundle)
    assert content(here, site.send(here, bundle))[path] == b"deep"


def test_nothing_of_the_metadata_is_required(site, here):
    bundle = site.bundle({"a": b"1"}, metadata=Metadata())
    assert not here.inbox.check(bundle)
    info = here.archive.container(site.send(here, bundle)).info
    assert info["submitter"] == here.archive.identity and info["project"] == ""


def test_metadata_is_kept_whole_or_refused(site, here):
    native = ({"destinationTable": "Odd", "value": [1, None, {"x": 2.5}]},)
    fields = {"submitter": "Ana", "project": "Étude 7", "instrument": "NMR", "comment": "two\nlines"}
    bundle = site.bundle({}, metadata=Metadata(fields, (("k", "1"), ("k", "2")), native))
    assert not here.inbox.check(bundle)
    info = here.archive.container(site.send(here, bundle)).info
    assert (info["submitter"], info["project"], info["instrument"]) == ("Ana", "Étude 7", "NMR")
    assert info["fields"] == {"comment": "two\nlines"} and info["keys"] == [["k", "1"], ["k", "2"]]
    assert info["native"] == [dict(native[0])]
    for bad in (
        Metadata({"project": "\ud800"}),
        Metadata({}, (), ({"x": object()},)),
        Metadata({}, (("k", "\udcff"),)),
    ):
        bundle = site.bundle({}, metadata=bad)
        assert here.inbox.check(bundle)
        with pytest.raises(Invalid):
            site.send(here, bundle)


def test_a_hash_that_cannot_be_computed(site, here):
    file = site.bundle({"a": b"1"}).files[0]
    bundle = Bundle("b", "here", "n", (BundleFile("a", 1, 0, Digest("crc7", "00"), file.source),), Metadata())
    (problem,) = here.inbox.check(bundle)
    assert "crc7" in problem.what


def test_a_full_disk_is_said_before_and_while_copying(site, here, monkeypatch):
    bundle = site.bundle(FILES)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(inbox_module.shutil, "disk_usage", lambda path: usage(10, 9, 1))
    (problem,) = here.inbox.check(bundle)
    assert "1 bytes free" in problem.what and problem.remedy

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(incoming_module, "_write", full)
        with pytest.raises(NoSpace):
            site.send(here, bundle)
    assert leftovers(site) == [] and ids(here) == []
    assert content(here, site.send(here, bundle)) == FILES


def test_an_archive_that_only_can_be_read(site, here, monkeypatch):
    monkeypatch.setattr(inbox_module.os, "access", lambda path, mode: False)
    (problem,) = here.inbox.check(site.bundle(FILES))
    assert "cannot be written" in problem.what

    def refuse(path, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(folder_module.os, "open", refuse)
    with pytest.raises(Denied):
        here.inbox.send(site.bundle({}), lambda sent: None, lambda: None)


# sources


def test_a_source_may_change_after_it_was_published(site, here):
    bundle = site.bundle(FILES)
    id = site.send(here, bundle)
    for file in bundle.files:
        file.source.write_bytes(b"overwritten")
    assert content(here, id) == FILES


def test_a_source_that_is_gone_is_named(site, here):
    bundle = site.bundle(FILES)
    bundle.files[1].source.unlink()
    with pytest.raises(Corrupt, match=r"d/e/b\.bin"):
        site.send(here, bundle)
    assert leftovers(site) == [] and ids(here) == []


# exactly once


def test_ids_go_up_and_are_never_given_twice(site, here):
    assert [site.send(here, site.bundle({"n": b"%d" % n})) for n in range(3)] == ["1", "2", "3"]
    shutil.rmtree(site.root / "transactions/3")
    assert site.send(site.open(), site.bundle({"n": b"3"})) == "4"
    (site.root / "sequence").write_text("")
    assert site.send(here, site.bundle({"n": b"4"})) == "5"
    (site.root / "sequence").write_text("1\n")
    assert site.send(here, site.bundle({"n": b"5"})) == "6"
    (site.root / "sequence").unlink()
    assert site.send(here, site.bundle({"n": b"6"})) == "7"


def test_the_index_is_made_again_and_not_believed_blindly(site, here):
    one, two = site.bundle(FILES), site.bundle({})
    assert (site.send(here, one), site.send(here, two)) == ("1", "2")
    for entry in (site.root / "bundles").iterdir():
        entry.unlink()
    (site.root / "bundles").rmdir()
    assert (list(here.inbox.find(one)), list(here.inbox.find(two))) == (["1"], ["2"])
    first, second = (site.root / "bundles" / hashlib.sha256(bundle.id.encode()).hexdigest() for bundle in (one, two))
    for wrong in (second.read_text(), "99", "", "../1", "junk\n"):
        first.write_text(wrong)
        assert list(here.inbox.find(one)) == []


def test_a_transaction_that_was_removed_by_hand(site, here):
    bundle = site.bundle(FILES)
    ticket = here.inbox.send(bundle, lambda sent: None, lambda: None)
    os.rename(site.root / "transactions/1", site.root / "gone")
    with pytest.raises(NotFound):
        here.inbox.poll(ticket)
    assert list(here.inbox.find(bundle)) == []
    for weird in ("", "../1", "x", "01"):
        with pytest.raises(NotFound):
            here.inbox.poll(Ticket(weird))


def test_an_outage_between_last_and_the_rename_is_an_error_and_publishes_nothing(site, here):
    bundle = site.bundle(FILES)
    with pytest.raises(Unreachable):
        site.send(here, bundle, lambda: site.root.rename(site.folder / "away"))
    (site.folder / "away").rename(site.root)
    assert list(here.inbox.find(bundle)) == []
    assert content(here, site.send(here, bundle)) == FILES
    assert leftovers(site) == []


# other programs


class Impatient:
    """A clock on which a wait of a minute is over at once."""

    time = 0.0

    def now(self):
        return 1e9

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


def test_the_lock_is_not_waited_for_for_ever(site, here):
    site.clock = Impatient()
    other = site.open()
    failed = []

    def meanwhile():
        with pytest.raises(WaitTimeout):
            other.inbox.send(site.bundle({}), lambda sent: None, lambda: None)
        failed.append(site.clock.time)
        assert ids(other) == [], "readers need no lock"

    assert site.send(here, site.bundle(FILES), meanwhile) == "1"
    assert len(failed) == 1 and 59 < failed[0] < 61


def test_what_the_living_hold_is_not_swept_and_what_the_dead_left_is(site, here):
    dead = site.root / "incoming/0123"
    (dead / "transaction/files").mkdir(parents=True)
    (dead / "lock").write_text("")
    (site.root / "incoming/dead-77").mkdir()
    (site.root / "incoming/stray").write_text("")
    seen = []

    def while_it_copies(sent):
        site.open()
        seen.append(len(leftovers(site)))

    here.inbox.send(site.bundle({"a": b"1"}), while_it_copies, lambda: None)
    assert seen[0] == 1
    assert leftovers(site) == []
    assert ids(here) == ["1"]


def test_a_maker_that_finishes_while_others_sweep_harms_nobody(site, here, monkeypatch):
    finishing = site.root / "incoming/0123"
    finishing.mkdir()  # without its lock: it is being removed

    def gone_before(path):
        shutil.rmtree(finishing)
        return False

    monkeypatch.setattr(incoming_module, "_alive", gone_before)
    assert site.send(here, site.bundle(FILES)) == "1"
    assert leftovers(site) == []


def test_a_sweep_and_a_maker_that_remove_the_same_folder_leave_none(site, here, monkeypatch):
    finishing = site.root / "incoming" / "finishing"
    (finishing / "transaction/files").mkdir(parents=True)
    (finishing / "one").touch()
    unlink = os.unlink

    def as_if_late(name, **where):
        unlink(name, **where)
        if name == "one":  # the other one was faster
            unlink(name, **where)

    monkeypatch.setattr(os, "unlink", as_if_late)
    assert site.send(here, site.bundle(FILES)) == "1"
    assert leftovers(site) == []


def test_a_transaction_that_is_published_while_it_is_asked_for_is_there(site, here, monkeypatch):
    other = site.open()
    has = folder_module.ArchiveFolder.has

    def published_meanwhile(folder, id):
        monkeypatch.undo()
        assert site.send(here, site.bundle(FILES)) == id
        return has(folder, id)

    monkeypatch.setattr(folder_module.ArchiveFolder, "has", published_meanwhile)
    assert other.archive.container("1").id == "1"


PROGRAM = """
import sys
from pathlib import Path
import msgspec
from pacifica_fs.archive import Effects
from pacifica_fs.archives.local import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import ArchiveSettings
from pacifica_fs.model import Bundle, BundleFile, Digest, Metadata
folder = Path(sys.argv[1])
built = build(ArchiveSettings("here", "local", options={"path": str(folder / "archive")}, source="t"),
              Effects(SystemClock(), folder / "state", folder / "cache"))
file = BundleFile("a", 1, 0, Digest("sha1", "356a192b7913b04c54574d18c28d46e6395428ab"), folder / "one")
for name in sys.argv[2:]:
    bundle = Bundle(name, "here", name, (file,), Metadata())
    print(name, built.inbox.send(bundle, lambda sent: None, lambda: None).job, flush=True)
"""


def test_programs_that_publish_at_once(site, here):
    (site.folder / "one").write_bytes(b"1")
    wanted = [[f"own-{program}-{n}" for n in range(10)] + [f"shared-{n}" for n in range(10)] for program in range(3)]
    runs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(site.folder), *names], stdout=subprocess.PIPE, text=True)
        for names in wanted
    ]
    said = [tuple(line.split()) for run in runs for line in run.communicate(timeout=100)[0].splitlines()]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(said) == 60
    given = dict(said)
    assert set(said) == set(given.items()), "a bundle has one transaction, whoever sent it"
    assert sorted(map(int, given.values())) == list(range(1, 41))
    assert sorted(map(int, ids(here))) == list(range(1, 41))
    assert leftovers(site) == []


# crashes


CALLS = ("open", "mkdir", "write", "fsync", "utime", "rename", "replace", "unlink", "rmdir", "pwrite", "ftruncate")


def crash(site, bundle, at):
    """Send `bundle` in a process that is killed before its call number `at`; whether it came to its end instead."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            built = site.open()
            count = 0

            def counted(call):
                def counting(*arguments, **options):
                    nonlocal count
                    count += 1
                    if count == at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return call(*arguments, **options)

                return counting

            for name in CALLS:
                setattr(os, name, counted(getattr(os, name)))
            site.send(built, bundle)
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def test_a_crash_at_any_call_leaves_all_or_nothing(site):
    site.open()
    bundles, at, outcomes = [], 0, []
    while True:
        at += 1
        bundle = site.bundle({"a.txt": b"alpha", "d/b": b"beta"})
        bundles.append(bundle)
        ended = crash(site, bundle, at)
        built = site.open()
        assert leftovers(site) == []
        found = list(built.inbox.find(bundle))
        outcomes.append(bool(found))
        assert len(ids(built)) == len(bundles) - 1 + len(found)
        id = site.send(built, bundle)
        assert found in ([], [id])
        assert content(built, id) == {"a.txt": b"alpha", "d/b": b"beta"}
        assert len(ids(built)) == len(bundles)
        if ended:
            break
    assert at > 30
    assert outcomes == sorted(outcomes) and outcomes[0] is False and outcomes[-2] is True


@pytest.mark.slow
def test_a_gibibyte_in_flat_memory(site):
    program = """
import hashlib, resource, sys
from pathlib import Path
from pacifica_fs.archive import Effects
from pacifica_fs.archives.local import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import ArchiveSettings
from pacifica_fs.model import Bundle, BundleFile, Digest, Metadata
folder = Path(sys.argv[1])
built = build(ArchiveSettings("here", "local", options={"path": ""}, source="t"),
              Effects(SystemClock(), folder / "state", folder / "cache"))
with open(folder / "big", "wb") as big:
    big.truncate(1 << 30)
digest = Digest("sha1", "2a492f15396a6768bcbca016993f4b4c8b0b5307")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bundle = Bundle("b", "here", "b", (BundleFile("big", 1 << 30, 0, digest, folder / "big"),), Metadata())
built.inbox.send(bundle, lambda sent: None, lambda: None)
hasher = hashlib.sha1()
for arrival in built.archive.open(built.archive.files("1")):
    hasher.update(arrival.data)
assert hasher.hexdigest() == digest.value
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    run = subprocess.run([sys.executable, "-c", program, str(site.folder)], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 20
