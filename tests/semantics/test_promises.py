"""Each promise of the design, quoted, with a test through a real mount that breaks if it is broken."""

import errno
import json
import os
import random
import subprocess
import threading
import time

import pytest

from tests.mount.harness import bounded
from tests.mount.survival import SHORT, eventually, failed, metric, readers, tables
from tests.servers.fake_site import File

pytestmark = [pytest.mark.mount, pytest.mark.timeout(90)]

MIB = 2**20
SIDECAR = {"project": "1234a", "instrument": 54, "keys": {"Tag": "promise"}}


def test_promise_1(mounted, fake_site):
    """A program that reads a file from start to end without an error has the archive's bytes."""
    dice = random.Random(20261121)
    files = [_faulty(dice, number) for number in range(40)]
    fake_site.add(7, *files)
    mount = mounted(tables(fake_site, read_wait="8s", parallel=16))
    outcomes = {}

    def read(file, size):
        pieces = []
        try:
            with open(mount.path / "site/transactions/7" / file.name, "rb", buffering=0) as stream:
                while piece := stream.read(size):
                    pieces.append(piece)
        except OSError as error:
            outcomes[file.id] = error.errno
        else:
            outcomes[file.id] = b"".join(pieces)

    sizes = (4096, 100_000, 2**20, 2**24)
    threads = [threading.Thread(target=read, args=(file, dice.choice(sizes)), daemon=True) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == len(files)
    read_whole = [file for file in files if isinstance(outcomes[file.id], bytes)]
    assert all(outcomes[file.id] == file.data for file in read_whole)
    assert {code for code in outcomes.values() if isinstance(code, int)} <= {
        errno.EIO,
        errno.EHOSTDOWN,
        errno.ETIMEDOUT,
    }
    # The dice gave both: files that could be read, and files that could not.
    assert 1 < len(read_whole) < len(files) - 5


def _faulty(dice, number):
    data = dice.randbytes(dice.choice((1, 100, 65_536, 131_073, 1_500_000)))
    file = File(number, f"file{number}", data)
    at = dice.randrange(len(data))
    match dice.choice(("fine", "slow", "bit", "cut", "end", "break", "longer", "error", "stuck")):
        case "slow":
            file.rate = 2 * MIB
        case "bit":
            file.sent = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        case "cut":
            file.sent = data[:at]
        case "end" | "break" as way:
            file.stop_at, file.stop = at, way
        case "longer":
            file.sent = data + b"more"
        case "error":
            file.error = "no such file"
        case "stuck":
            file.stuck = True
    return file


def test_promise_2(mounted, tmp_path):
    """After `close` returned 0 in the drop, neither a crash nor a power cut loses that file; and a bundle is ingested
    exactly once, or is still in the spool with a reason; a duplicate that a server makes behind our back is reported.
    """
    archive = tmp_path / "archive"
    mount = mounted({"archives": {"here": {"kind": "local", "path": str(archive)}}, "drop": {"quiet": "60s"}})
    files = {f"file{number}": os.urandom(50_000) for number in range(20)}
    drop = mount.path / "drop/here/run"
    drop.mkdir()
    for name, data in files.items():
        (drop / name).write_bytes(data)
    mount.kill9()  # close returned: it is there
    mount.start()
    assert {path.name: path.stat().st_size for path in drop.iterdir()} == dict.fromkeys(files, 50_000)
    (drop / "metadata.json").write_text(json.dumps(SIDECAR))
    (drop / ".commit").touch()
    for pause in (0.0, 0.02, 0.05, 0.1):  # wherever the upload may be by then
        time.sleep(pause)
        mount.kill9()
        mount.start()
    status = mount.wait_state("run", "done", 40)
    assert len(list((archive / "transactions").glob("*/files"))) == 1
    folder = mount.path / "here/transactions" / str(status["transaction"])
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "metadata.json"} == files


def test_promise_3(mounted, fake_site):
    """One slow or dead server, cart or reader never blocks `ls`, `status/` or another file."""
    fake_site.add(7, *(File(number, f"stuck{number}", b"%d" % number * 999, stuck=True) for number in range(70)))
    fake_site.add(8, *(File(100 + number, f"cold{number}", b"cold%d" % number) for number in range(5)))
    silent = type(fake_site)()
    silent.page = (0, "")
    try:
        given = tables(fake_site)
        given["archives"]["silent"] = silent.table(timeouts={"connect": "30s", "read": "30s"})
        mount = mounted(given)
        with readers() as programs:
            for number in range(70):  # stuck carts
                programs.cat(mount.path / f"site/transactions/7/stuck{number}")
            for number in range(10):  # a silent server
                programs.cat(mount.path / f"silent/transactions/{number}/file")
            eventually("they wait", lambda: metric(mount, "cache_waiting") == 70)
            begun = time.monotonic()
            for number in range(5):
                for name in (".", "site/transactions", "site/transactions/7", "silent", "status/archives", "drop"):
                    assert bounded(name, lambda name=name: os.listdir(mount.path / name), SHORT)
                assert len(mount.downloads()) >= 70
                cold = mount.path / f"site/transactions/8/cold{number}"
                assert bounded("a cold file", cold.read_bytes, SHORT) == b"cold%d" % number
            assert time.monotonic() - begun < 2 * SHORT
            assert len(programs.running()) == 80
            mount.process.interrupt()
    finally:
        silent.close()


def test_promise_4(mounted, fake_site):
    """An outage is never ENOENT, and never an empty directory that looks real."""
    fake_site.add(7, File(1, "seen", b"seen", "folder"), File(2, "unread", b"unread"))
    fake_site.add(8, File(3, "never", b"never"))
    mount = mounted(tables(fake_site, read_wait="2s"))
    top = mount.path / "site"
    assert (top / "transactions/7/folder/seen").read_bytes() == b"seen"
    assert sorted(os.listdir(top / "transactions")) == ["7", "7.json", "8", "8.json"]
    fake_site.down()
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:  # beyond the time for which anything is believed
        assert sorted(os.listdir(top / "transactions")) == ["7", "7.json", "8", "8.json"]
        assert os.listdir(top / "transactions/7/folder") == ["seen"]
        for path in ("transactions/8", "recent", "transactions/9", "recent/9", "transactions/8/never"):
            try:
                found = os.listdir(top / path)
            except OSError as error:
                assert error.errno in (errno.EHOSTDOWN, errno.ETIMEDOUT), path
            else:
                raise AssertionError(f"{path}: {found}")
        time.sleep(0.2)
    assert failed((top / "transactions/7/unread").read_bytes)[0] in (errno.EHOSTDOWN, errno.ETIMEDOUT)


def test_promise_5(mounted, fake_site):
    """Memory is bounded by what is open and by configured caches, not by the size of the archive."""
    block = random.Random(5).randbytes(MIB)
    fake_site.add(7, *(File(number, f"file{number}", bytes([number]) + block * 16) for number in range(20)))
    fake_site.add(8, *(File(1000 + number, f"small{number}", b"x") for number in range(10_000)))
    mount = mounted({**tables(fake_site), "cache": {"limit": "64 MiB"}})
    folder = mount.path / "site/transactions/7"
    assert (folder / "file0").read_bytes() == b"\0" + block * 16
    before = mount.rss_peak()
    for number in range(1, 20):
        with open(folder / f"file{number}", "rb") as stream:
            assert stream.read(1) == bytes([number])
            while stream.read(MIB):
                pass
        assert mount.json("status/cache.json")["size"] <= 64 * MIB
    assert mount.rss_peak() - before < 40 * MIB  # of 320 MiB that went through
    done = subprocess.run(["du", "-sb", mount.environment["XDG_CACHE_HOME"]], capture_output=True, text=True)
    assert int(done.stdout.split()[0]) < 70 * MIB
    for _ in range(5):
        assert len(os.listdir(mount.path / "site/transactions/8")) == 10_000
    assert mount.rss_peak() - before < 120 * MIB


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
@pytest.mark.parametrize(("allow_other", "access"), [(False, "me"), (True, "me"), (False, "everyone")])
def test_promise_6(mounted, fake_site, allow_other, access):
    """Nobody reads what their identity may not: the mount is the mounting user's unless `allow_other` is set, and then
    kernel permission checks and the modes of `access` are on. In `drop/` and `status/uploads/` folders are their
    owner's alone (0700); names are not secret. Server-sent names cannot escape the tree; server-sent tars cannot write
    outside their blobs.
    """
    fake_site.add(7, File(1, "file", b"secret"), File(2, "../../evil", b"evil", "../../.."))
    mount = mounted(
        {**tables(fake_site), "mount": {"access": access}}, options=["-o", "allow_other"] if allow_other else []
    )
    drop = mount.path / "drop/here/run"
    drop.mkdir()
    (drop / "file").write_text("secret")
    assert drop.stat().st_mode & 0o777 == 0o700
    open_to_all = access == "everyone"
    assert (mount.path / "site/transactions/7/file").stat().st_mode & 0o777 == (0o644 if open_to_all else 0o600)
    assert _refused(mount, "mnt/site/transactions/7/file") is not open_to_all
    assert _refused(mount, "mnt/README.txt") is not open_to_all
    assert _refused(mount, "mnt/drop/here/run/file")
    assert _refused(mount, "mnt/status/uploads/here/run/status.json")
    found = [os.path.join(top, name) for top, _, names in os.walk(mount.path / "site/transactions/7") for name in names]
    evil = next(path for path in found if "evil" in path)
    with open(evil, "rb") as stream:
        assert stream.read() == b"evil"
    assert os.path.realpath(evil).startswith(str(mount.path / "site/transactions/7/"))
    mount.stop()
    assert not list(mount.folder.parent.rglob("evil"))


def _refused(mount, path):
    """True if another user may not read it, False if he does. The folder is entered before the user is changed."""
    done = subprocess.run(
        ["cat", path],
        cwd=mount.folder,
        env={**os.environ, "LC_ALL": "C"},
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0 or "Permission denied" in done.stderr, done.stderr
    return done.returncode != 0


def test_promise_7(mounted):
    """A dead daemon leaves a mount point that refuses writes rather than an empty folder that swallows them; mounting
    again just works.
    """
    mount = mounted()
    (mount.path / "drop/here/run").mkdir()
    (mount.path / "drop/here/run/file").write_text("kept")
    for _ in range(2):
        mount.kill9()
        for work in (
            lambda: (mount.path / "file").write_text("swallowed"),
            lambda: (mount.path / "drop/here/run2").mkdir(parents=True),
            lambda: os.listdir(mount.path),
        ):
            assert failed(work)[0] in (errno.ENOTCONN, errno.ECONNABORTED)
        mount.start()
        assert "file" not in os.listdir(mount.path)
        assert (mount.path / "drop/here/run/file").stat().st_size == 4
    assert mount.stop() == 0
    assert os.listdir(mount.path) == []
