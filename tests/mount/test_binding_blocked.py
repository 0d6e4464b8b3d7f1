"""Readers that wait: however many, nobody else waits with them; they can be killed; and the daemon can end."""

import errno
import os
import signal
import subprocess
from contextlib import contextmanager, suppress

import pytest

from pacifica_fs.mount import mounts
from pacifica_fs.mount.session import MountError, spawn

from .harness import bounded
from .survival import SHORT, eventually, failure, readers
from .toy.content import MIB, WAITING, pattern
from .toy.mounting import COMMAND, ENVIRONMENT, counts, toy
from .toy.serve import KIND_SIZES

pytestmark = [pytest.mark.timeout(90)]


@contextmanager
def left_open(path):
    """A descriptor that outlives the mount, so that closing it may fail."""
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        with suppress(OSError):
            os.close(handle)


def block(mount, programs, kind, count):
    """`count` readers that wait, each for a file of its own."""
    for number in range(count):
        programs.cat(mount.path / f"files/{kind}{number}")
    eventually("they wait", lambda: counts(mount)["waiting"] >= min(count, WAITING), 40)


@pytest.mark.parametrize("kind", ["blocked", "blocked-direct"])
@pytest.mark.parametrize("count", [70, 300])
def test_nobody_else_waits(mounted, kind, count):
    mount = toy(mounted)
    with readers() as programs:
        block(mount, programs, kind, count)
        names = ["complete", "memory", "memory-direct", "slow"]
        for name in names:  # cold, by read-ahead and without
            expected = pattern(KIND_SIZES[name])
            assert bounded(name, (mount.path / "files" / name).read_bytes, SHORT) == expected
        assert bounded("ls", lambda: len(os.listdir(mount.path / "files")), SHORT) > 600
        assert bounded("stat", lambda: os.stat(mount.path / "files/blocked5").st_size, SHORT) == 4 * MIB
        assert bounded("a write", lambda: (mount.path / "drop/file").write_bytes(b"x"), SHORT) == 1
        # Those beyond the limit were refused at once, and not with what looks like the end of the file.
        if count > WAITING:
            refused = eventually("some are refused", lambda: count - len(programs.running()))
            assert refused >= count - WAITING
            assert all("busy" in text.lower() or "Input/output error" in text for text in programs.words())
        (mount.path / "status/release").read_bytes()
        eventually("the others have read", lambda: not programs.running(), 40)
        assert sum(reader.returncode == 0 for reader in programs.all) >= min(count, WAITING)


@pytest.mark.parametrize("kind", ["blocked", "blocked-direct", "O_DIRECT"])
def test_a_waiting_reader_can_be_killed(mounted, kind):
    mount = toy(mounted)
    with readers() as programs:
        if kind == "O_DIRECT":
            command = ["dd", f"if={mount.path}/files/blocked1", "iflag=direct", "of=/dev/null", "bs=1M"]
            programs.all.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        else:
            programs.cat(mount.path / f"files/{kind}1")
        (reader,) = programs.all
        eventually("it waits", lambda: counts(mount)["waiting"])
        reader.send_signal(signal.SIGKILL)
        assert reader.wait(3) == -signal.SIGKILL
        if kind != "blocked":  # pages are fetched for the next reader, too
            eventually("its request has gone", lambda: not counts(mount)["waiting"], 3)


def test_a_blob_becomes_complete_while_it_is_read(mounted):
    mount = toy(mounted)
    with open(mount.path / "files/becomes", "rb") as stream:
        assert counts(mount)["waiting"] == 0
        (mount.path / "status/release").read_bytes()
        assert bounded("all", stream.read) == pattern(4 * MIB)


@pytest.mark.parametrize("kind", ["blocked", "blocked-direct"])
@pytest.mark.parametrize("stop", ["wakes", "ignores", "hangs"])
def test_the_end_with_readers_that_wait(mounted, stop, kind):
    """SIGTERM: unmounted within five seconds, and gone, whatever the rest of the program does about it.

    What hangs has ten seconds for what it may have to write.
    """
    mount = toy(mounted, "--stop", stop)
    with readers() as programs, left_open(mount.path / "files/complete") as handle:
        block(mount, programs, kind, 3)
        mount.process.interrupt()
        eventually("it is unmounted", lambda: not mount.device, 5)
        for reader in programs.all:
            assert reader.wait(5) == 1
        assert mount.process.join(5 if stop != "hangs" else 12) == 0
        assert failure(lambda: os.pread(handle, 100, 2 * MIB)) in (errno.ENOTCONN, errno.EIO, errno.ECONNABORTED)


def test_unmounted_by_somebody_else(mounted):
    mount = toy(mounted)
    subprocess.run(["umount", mount.path], check=True, timeout=10)
    assert mount.process.join(5) == 0
    log = mount.log.read_text()
    assert log.count("stopping\n") == 1 and "served" in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_each_signal_ends_an_idle_mount(mounted, number):
    mount = toy(mounted)
    mount.process.signal(number)
    assert mount.process.join(5) == 0
    log = mount.log.read_text()
    assert not mount.device and log.count("stopping\n") == 1 and "served" in log


def test_killed_and_mounted_again(mounted):
    mount = toy(mounted)
    with left_open(mount.path / "files/complete"):
        mount.kill9()
        assert failure(lambda: os.statvfs(mount.path)) == errno.ENOTCONN
        # A dead mount refuses writes instead of swallowing them.
        assert failure(lambda: (mount.path / "drop/file").write_text("x")) == errno.ENOTCONN
        mount.start()
        assert (mount.path / "files/complete").read_bytes() == pattern(KIND_SIZES["complete"])


@pytest.mark.parametrize("when", ["init", "ready"])
def test_a_beginning_that_fails_leaves_nothing(tmp_path, guard, when):
    point = tmp_path / "mnt"
    point.mkdir()
    guard.mount(point)
    arguments = [*COMMAND[1:], "mount", "-c", str(tmp_path / "config"), "--fail", when, str(point)]
    with pytest.raises(MountError, match=f"trouble at {when}"):
        spawn(arguments, {**os.environ, **ENVIRONMENT}, patience=10)
    assert mounts.at(point) is None
    guard.forget_mount(point)
