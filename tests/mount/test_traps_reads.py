"""No read is short, none answers EAGAIN (programs take both for the end), and no bad page outlives what was wrong."""

import errno
import os
import random
import time
from pathlib import Path

import pytest

from tests.servers.fake_site import File

from .harness import bounded
from .survival import eventually, failed, failure, metric, readers, requests, tables

pytestmark = [pytest.mark.mount, pytest.mark.timeout(60)]

BIG = random.Random(1).randbytes(4 * 2**20)


def wrong(data: bytes, at: int) -> bytes:
    """`data` with one bit of the byte `at` turned."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def test_a_cart_in_error_is_not_asked_for_again_and_again(mounted, fake_site):
    """`error` is final; a few carts are tried, then it is EIO, long before a reader's patience ends."""
    fake_site.add(7, File(1, "bad", b"x" * 1000, error="File is on a tape that is gone"))
    mount = mounted(tables(fake_site))
    code, took = failed((mount.path / "site/transactions/7/bad").read_bytes)
    assert code == errno.EIO and took < 6
    assert fake_site.requests["cart POST"] <= 4
    assert "a tape that is gone" in mount.downloads()[-1]["error"]
    eventually("the carts are deleted", lambda: not fake_site.carts)


def test_a_stuck_cart_is_a_timeout_then_found_when_it_got_ready(mounted, fake_site):
    file = File(1, "slow", b"at last" * 1000, stuck=True)
    fake_site.add(7, file)
    mount = mounted(tables(fake_site, read_wait="3s"))
    path = mount.path / "site/transactions/7/slow"
    fd = os.open(path, os.O_RDONLY)
    try:
        code, took = failed(lambda: os.pread(fd, 100, 0))
        assert code == errno.ETIMEDOUT and 2.8 < took < 12  # the kernel may ask twice
        # The same handle answers at once for some seconds.
        code, took = failed(lambda: os.pread(fd, 100, 0))
        assert code == errno.ETIMEDOUT and took < 2.5
        (download,) = mount.downloads()
        assert download["state"] == "staging" and download["waiting_for"] and fake_site.cart.url in download["url"]
        file.stuck = False
        eventually("the cart is read", lambda: os.getxattr(path, "user.pacifica.state") == b"cached")
        assert bounded("a later read", path.read_bytes) == file.data
        assert bounded("the same handle", lambda: os.pread(fd, 100, 0)) == file.data[:100]
    finally:
        os.close(fd)
    eventually("every cart is deleted", lambda: not fake_site.carts)


def test_a_failing_cart_is_an_error_and_never_a_short_file(mounted, fake_site):
    """`cat` fails on each of them, with an errno that no program takes for the end of the file."""
    faults = {
        "error": {"error": "File is on a tape that is gone"},
        "truncated": {"stop_at": 2**20 + 17, "stop": "end"},
        "broken": {"stop_at": 2**20 + 17, "stop": "break"},
        "broken at once": {"stop_at": 0, "stop": "break"},
        "bad end": {"sent": wrong(BIG, len(BIG) - 1)},
        "bad middle": {"sent": wrong(BIG, len(BIG) // 2)},
        "short": {"sent": BIG[:-100_000]},
        "nothing": {"sent": b""},
        "no hash": {"hashsum": ""},
        "no such hash": {"hashsum": "00"},
    }
    for number, (name, fault) in enumerate(faults.items()):
        # Different content each: the same digest is fetched once.
        fault = {key: value[:-8] + bytes([number]) * 8 if key == "sent" else value for key, value in fault.items()}
        fake_site.add(7, File(number, name, BIG[:-8] + bytes([number]) * 8, **fault))
    fake_site.file("4").sent = wrong(fake_site.file("4").data, len(BIG) - 1)
    mount = mounted(tables(fake_site))
    with readers() as programs:
        running = {name: programs.cat(mount.path / "site/transactions/7" / name) for name in faults}
        for program in running.values():
            program.wait(45)
        said = {name: program.stderr.read().decode().rpartition(": ")[2].strip() for name, program in running.items()}
    assert {name: program.returncode for name, program in running.items()} == dict.fromkeys(faults, 1)
    # A connection that breaks off is an outage, and said to be one.
    expected = {name: "Host is down" if name.startswith("broken") else "Input/output error" for name in faults}
    assert said == expected


def test_the_server_killed_half_way_raises(mounted, fake_site):
    file = File(1, "half", BIG, stop_at=2 * 2**20)
    fake_site.add(7, file)
    mount = mounted(tables(fake_site, read_wait="2s"))
    path = mount.path / "site/transactions/7/half"
    with open(path, "rb") as stream:
        assert bounded("the first MiB", lambda: stream.read(2**20)) == BIG[: 2**20]
        fake_site.down()
        assert failure(stream.read) in (errno.EHOSTDOWN, errno.ETIMEDOUT)
    file.stop_at = None
    fake_site.up()
    assert eventually("the file is whole", lambda: _whole(path), 30) == BIG


def _whole(path):
    try:
        return path.read_bytes()
    except OSError as error:
        assert error.errno in (errno.EHOSTDOWN, errno.ETIMEDOUT)
        return None


@pytest.mark.parametrize("second", ["transactions", "recent"])
def test_a_poisoned_file_is_an_error_for_who_read_it_and_right_afterwards(mounted, fake_site, second):
    """Bad bytes half read: EIO on every handle, then the right bytes from a new open, by either path."""
    bad = wrong(BIG, 10)
    file = File(1, "poisoned", BIG, sent=bad, stop_at=3 * 2**20)
    fake_site.add(7, file)
    mount = mounted(tables(fake_site))
    one = mount.path / "site/transactions/7/poisoned"
    two = mount.path / "site" / second / "7/poisoned"
    first, other = os.open(one, os.O_RDONLY), os.open(two, os.O_RDONLY)
    try:
        for fd in (first, other):
            assert bounded("bad bytes", lambda fd=fd: os.pread(fd, 2**20, 0)) == bad[: 2**20]
        file.go.set()
        eventually("the mismatch is seen", lambda: mount.downloads()[-1]["state"] == "corrupt")
        for fd in (first, other):
            assert failure(lambda fd=fd: os.pread(fd, 2**20, 2 * 2**20)) == errno.EIO
            assert failure(lambda fd=fd: os.pread(fd, 2**20, 3 * 2**20)) == errno.EIO
        file.sent = file.stop_at = None  # the site is mended
        # While the poisoned handles are open, and after that, and once more from the page cache.
        for path in (one, two):
            assert bounded("the right bytes", path.read_bytes) == BIG
    finally:
        os.close(first)
        os.close(other)
    for path in (one, two, one, two):
        assert bounded("the right bytes", path.read_bytes) == BIG
    assert os.getxattr(one, "user.pacifica.state") == b"cached"


def test_content_that_stays_wrong_is_corrupt_and_others_are_fine(mounted, fake_site):
    fake_site.add(7, File(1, "bad", BIG, sent=wrong(BIG, 5)), File(2, "good", b"fine"))
    mount = mounted(tables(fake_site))
    folder = mount.path / "site/transactions/7"
    for _ in range(6):
        assert failure((folder / "bad").read_bytes) == errno.EIO
    assert os.getxattr(folder / "bad", "user.pacifica.state") == b"corrupt"
    # Condemned content is not fetched again and again.
    posts = fake_site.requests["cart POST"]
    begun = time.monotonic()
    assert failure((folder / "bad").read_bytes) == errno.EIO
    assert time.monotonic() - begun < 10 and fake_site.requests["cart POST"] == posts
    assert (folder / "good").read_bytes() == b"fine"


def test_a_slow_stream_is_read_while_it_arrives(mounted, fake_site):
    file = File(1, "drip", BIG, stop_at=3 * 2**20)
    fake_site.add(7, file)
    mount = mounted(tables(fake_site))
    with open(mount.path / "site/transactions/7/drip", "rb") as stream:
        assert bounded("what is there", lambda: stream.read(2**20)) == BIG[: 2**20]
        assert os.getxattr(stream.name, "user.pacifica.state") == b"partial"
        file.go.set()
        assert bounded("the rest", stream.read) == BIG[2**20 :]


def test_a_wrong_size_is_an_error_and_then_the_true_size(mounted, fake_site):
    """Right digest, other size than claimed: the digest decides, the true size shows from the next open."""
    short = File(1, "short", BIG[:300_000], size=310_000)
    long = File(2, "long", BIG[1:300_001], size=290_000)
    fake_site.add(7, short, long)
    mount = mounted(tables(fake_site))
    for file in (short, long):
        path = mount.path / "site/transactions/7" / file.name
        assert path.stat().st_size == file.size
        assert failure(path.read_bytes) == errno.EIO
        eventually("the true size", lambda path=path: path.stat().st_size == 300_000, 5)
        assert bounded("the content", path.read_bytes) == file.data
        with readers() as programs:
            assert programs.cat(path).wait(20) == 0
    assert {found["state"] for found in mount.downloads()} == {"corrupt-size"}


def test_an_empty_file_needs_no_cart(mounted, fake_site):
    fake_site.add(7, File(1, "empty"))
    mount = mounted(tables(fake_site))
    path = mount.path / "site/transactions/7/empty"
    assert path.read_bytes() == b"" and path.stat().st_size == 0
    assert os.getxattr(path, "user.pacifica.state") == b"cached"
    fake_site.cart.down()
    assert path.read_bytes() == b""
    assert not fake_site.requests["cart POST"]


def test_read_verified_hands_out_nothing_before_all_matched(mounted, fake_site):
    file = File(1, "file", BIG, stop_at=3 * 2**20)
    bad = File(2, "bad", BIG[1:], sent=wrong(BIG[1:], len(BIG) - 2))
    fake_site.add(7, file, bad)
    mount = mounted(tables(fake_site, read="verified", read_wait="1s"))
    folder = mount.path / "site/transactions/7"
    assert failure(lambda: _first(folder / "file")) == errno.ETIMEDOUT
    file.go.set()
    assert eventually("it is verified", lambda: _tried(folder / "file")) == BIG[:10]
    assert (folder / "file").read_bytes() == BIG
    assert failure(lambda: _first(folder / "bad")) in (errno.EIO, errno.ETIMEDOUT)


def _first(path):
    with open(path, "rb", buffering=0) as stream:
        return stream.read(10)


def _tried(path):
    try:
        return _first(path)
    except TimeoutError:
        return None


def test_a_killed_reader_of_a_direct_file_frees_its_request(mounted, fake_site):
    """Without page cache nobody but the daemon sees that a reader is gone; it must not wait to its deadline."""
    file = File(1, "poisoned", BIG, sent=wrong(BIG, 10), stop_at=3 * 2**20)
    fake_site.add(7, file)
    mount = mounted(tables(fake_site, read_wait="50s"))
    path = mount.path / "site/transactions/7/poisoned"
    with open(path, "rb", buffering=0) as poisoned:
        bounded("bad bytes", lambda: poisoned.read(2**20))
        file.go.set()
        eventually("the mismatch is seen", lambda: mount.downloads()[-1]["state"] == "corrupt")
        file.sent, file.stuck = None, True
        with readers() as programs:
            program = programs.cat(path)
            eventually("it waits", lambda: metric(mount, "cache_waiting") == 1)
            program.kill()
            program.wait(3)
            eventually("nothing waits", lambda: metric(mount, "cache_waiting") == 0, 4)


def test_reads_are_large(mounted, fake_site):
    """With 1 MiB of read-ahead a sequential reader asks a third as often (only root may set it)."""
    fake_site.add(7, File(1, "big", BIG))
    mount = mounted(tables(fake_site))
    path = mount.path / "site/transactions/7/big"
    bounded("the content", path.read_bytes)
    if os.geteuid() == 0:
        device = os.stat(mount.path).st_dev
        window = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
        assert window.read_text().strip() == "1024"
        assert requests(mount, "read")["read"] < 16
