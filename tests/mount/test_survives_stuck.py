"""One slow or dead server, cart or reader never blocks `ls`, `status/` or another file; and the daemon can end."""

import errno
import mmap
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.servers.fake_site import File

from .harness import bounded
from .survival import SHORT, eventually, failed, metric, readers, tables

pytestmark = [pytest.mark.mount, pytest.mark.timeout(90)]

STUCK = 320


@pytest.fixture
def stuck(mounted, fake_site):
    """A mount with files that never get ready, one that is cached, and many that are ready but were never read."""
    fake_site.add(7, *(File(number, f"stuck{number}", b"%d" % number * 5000, stuck=True) for number in range(STUCK)))
    fake_site.add(8, *(File(1000 + number, f"cold{number}", b"cold%d" % number * 3000) for number in range(20)))
    fake_site.add(8, File(2000, "cached", b"cached" * 1000))
    mount = mounted(tables(fake_site, read_wait="60s", timeouts={"connect": "5s", "read": "60s"}))
    assert (mount.path / "site/transactions/8/cached").read_bytes() == b"cached" * 1000
    return mount


def block(mount, programs, count):
    """`count` readers, each of a stuck file of its own (several of one page wait in the kernel, for one request)."""
    for number in range(count):
        programs.cat(mount.path / f"site/transactions/7/stuck{number}")


def all_goes_on(mount, cold):
    """Everything else answers; `cold` is the number of a file that was never read."""
    folder = mount.path / "site/transactions/8"
    steps = {
        "ls": lambda: len(os.listdir(mount.path / "site/transactions/7")) == STUCK,
        "ls of another": lambda: "cold1" in os.listdir(folder),
        "stat": lambda: (mount.path / "site/transactions/7/stuck3").stat().st_size == 5000,
        "status": lambda: b"staging" in (mount.path / "status/downloads.json").read_bytes(),
        "a document": lambda: b'"project"' in (mount.path / "site/transactions/8.json").read_bytes(),
        "a cached file": lambda: (folder / "cached").read_bytes() == b"cached" * 1000,
        "a cold file": lambda: (folder / f"cold{cold}").read_bytes() == b"cold%d" % cold * 3000,
        "the drop": lambda: (mount.path / f"drop/here/run{cold}").mkdir() is None,
    }
    took = {}
    for name, step in steps.items():
        begun = time.monotonic()
        assert bounded(name, step, SHORT), name
        took[name] = time.monotonic() - begun
    assert max(took.values()) < SHORT and sum(took.values()) < 2 * SHORT, took


def ended(mount, programs):
    """SIGTERM: exit code 0, unmounted, and nobody waits, within seconds."""
    begun = time.monotonic()
    assert mount.stop() == 0
    assert time.monotonic() - begun < SHORT
    for program in programs.all:
        assert program.wait(SHORT) == 1
    assert os.listdir(mount.path) == []


def test_70_stuck_readers(stuck):
    with readers() as programs:
        block(stuck, programs, 70)
        eventually("70 wait", lambda: metric(stuck, "cache_waiting") == 70)
        for cold in range(3):
            all_goes_on(stuck, cold)
        assert len(programs.running()) == 70


def test_300_stuck_readers(stuck):
    """256 of them wait, who comes later is refused at once; cold reads of other files still go on."""
    with readers() as programs:
        block(stuck, programs, 300)
        eventually("256 wait", lambda: metric(stuck, "cache_waiting") == 256)
        eventually("44 were refused", lambda: len(programs.running()) == 256)
        assert all("busy" in word for word in programs.words())
        # A file that is known to be stuck (O_DIRECT: the kernel would let it wait for the page that others want), and
        # one that nobody asked for yet.
        for number, flags, at_most in ((5, os.O_DIRECT, SHORT), (310, 0, 20)):
            fd = os.open(stuck.path / f"site/transactions/7/stuck{number}", os.O_RDONLY | flags)
            code, took = failed(lambda fd=fd: os.preadv(fd, [mmap.mmap(-1, 4096)], 0))
            os.close(fd)
            assert code == errno.EBUSY and took < at_most, number
        for cold in range(3):
            all_goes_on(stuck, cold)
        assert metric(stuck, "cache_waiting") == 256
        ended(stuck, programs)


def test_programs_that_ask_a_silent_server_for_names(stuck, fake_site):
    """A look at what is not known yet waits for the server; whatever is known, and the rest, does not."""
    os.listdir(stuck.path / "site/transactions/7")
    before = fake_site.requests["policy GET"]
    fake_site.page = (0, "")
    with readers() as programs:
        for number in range(20):
            programs.cat(stuck.path / f"site/transactions/{100 + number}/file")
        # One is enough: new names of one folder are looked up one after the other by kernels that older libfuses serve.
        eventually("they wait", lambda: fake_site.requests["policy GET"] > before)
        for _ in range(3):
            for name in (".", "status", "drop", "drop/here", "here/transactions", "site/transactions/7"):
                assert bounded(name, lambda name=name: os.listdir(stuck.path / name) is not None, SHORT)
            cached = stuck.path / "site/transactions/8/cached"
            assert bounded("a cached file", cached.read_bytes, SHORT) == b"cached" * 1000
            assert stuck.read("status/metrics", SHORT)
        fake_site.page = None
        for program in programs.all:
            assert program.wait(30) == 1
        said = "".join(programs.words())
    assert "No such file" in said or "Host is down" in said


def test_killed_readers_are_gone_quickly(stuck):
    with readers() as programs:
        block(stuck, programs, 40)
        eventually("they wait", lambda: metric(stuck, "cache_waiting") == 40)
        begun = time.monotonic()
        for program in programs.all:
            program.send_signal(signal.SIGKILL)
        for program in programs.all:
            program.wait(SHORT)
        assert time.monotonic() - begun < SHORT
        all_goes_on(stuck, 1)


def test_waits_of_killed_readers_end_with_their_deadline(mounted, fake_site):
    fake_site.add(7, *(File(number, str(number), b"%d" % number * 5000, stuck=True) for number in range(1, 21)))
    mount = mounted(tables(fake_site, read_wait="2s"))
    with readers() as programs:
        for number in range(1, 21):
            programs.cat(mount.path / f"site/transactions/7/{number}")
        eventually("they wait", lambda: metric(mount, "cache_waiting") == 20)
    eventually("nothing waits any more", lambda: metric(mount, "cache_waiting") == 0, 6)


def test_sigterm_with_a_blocked_reader(stuck):
    with readers() as programs:
        block(stuck, programs, 1)
        eventually("it waits", lambda: metric(stuck, "cache_waiting") == 1)
        ended(stuck, programs)


def test_kill_9_then_mounting_again_just_works(stuck):
    """A dead daemon leaves a mount point that refuses writes; mounting again heals it."""
    with readers() as programs:
        block(stuck, programs, 5)
        eventually("they wait", lambda: metric(stuck, "cache_waiting") == 5)
        stuck.kill9()
        for program in programs.all:
            assert program.wait(SHORT) == 1
    for work in (lambda: os.listdir(stuck.path), lambda: (stuck.path / "file").write_text("swallowed?")):
        assert failed(work)[0] in (errno.ENOTCONN, errno.ECONNABORTED)
    stuck.start()
    assert "stale" in stuck.log.read_text() or "gone" in stuck.log.read_text()
    assert (stuck.path / "site/transactions/8/cached").read_bytes() == b"cached" * 1000
    all_goes_on_after = os.listdir(stuck.path / "site/transactions/8")
    assert len(all_goes_on_after) == 21


def test_a_live_mount_is_not_mounted_over(stuck):
    command = [sys.executable, "-m", "pacifica_fs", "mount", "-c", str(stuck.config), str(stuck.path)]
    done = subprocess.run(command, env=stuck.environment, cwd=stuck.folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "already mounted" in done.stderr and f"pacifica-fs umount {stuck.path}" in done.stderr
    assert stuck.ls("site/transactions/8")
