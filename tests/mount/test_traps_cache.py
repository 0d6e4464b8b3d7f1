"""What the kernel is told to keep, so that it asks little: attributes with readdir, pages across opens."""

import ctypes
import errno
import mmap
import os
import random
import subprocess
import sys
import time

import pytest

from tests.servers.fake_site import File

from .survival import requests, tables

pytestmark = [pytest.mark.mount, pytest.mark.timeout(60)]

BIG = random.Random(2).randbytes(3 * 2**20 + 5)


@pytest.fixture
def filled(mounted, fake_site):
    fake_site.add(7, File(1, "big", BIG), File(2, "small", b"small"))
    fake_site.add(8, *(File(10 + number, f"file{number:04}", b"%d" % number) for number in range(2000)))
    mount = mounted(tables(fake_site))
    assert (mount.path / "site/transactions/7/big").read_bytes() == BIG
    return mount


def run(*argv, **options):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=30, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readdir_gives_attributes(filled):
    """`ls -l` of 2,000 files asks for the attributes of almost none, and for no ACL of each."""
    folder = filled.path / "site/transactions/8"
    names = ("getattr", "getxattr", "listxattr", "readdir")
    before = requests(filled, *names)
    lines = run("ls", "-l", "--color=never", folder).splitlines()
    asked = {name: count - before[name] for name, count in requests(filled, *names).items()}
    assert len(lines) == 2001 and any(" 4 " in line and line.endswith("file1999") for line in lines)
    assert asked["readdir"] > 1
    assert asked["getattr"] < 10, asked
    assert asked["getxattr"] < 5 and asked["listxattr"] < 5, asked


def test_a_warm_file_is_read_without_a_request(filled):
    path = filled.path / "site/transactions/7/big"
    before = requests(filled, "read")["read"]
    between = requests(filled, "read")["read"]
    for _ in range(3):
        assert path.read_bytes() == BIG
    run("md5sum", path)
    assert requests(filled, "read")["read"] - between == between - before  # the metrics themselves are read


def test_after_a_restart_the_cache_serves_and_the_kernel_keeps(filled, fake_site):
    filled.restart()
    fake_site.cart.down()
    path = filled.path / "site/transactions/7/big"
    assert path.read_bytes() == BIG


def test_memmap_works_on_content(filled):
    """numpy maps shared, which direct_io files refuse; so content must not be direct_io. In a process of its own."""
    pytest.importorskip("numpy")
    path = filled.path / "site/transactions/7/big"
    program = "import hashlib, numpy, sys; print(hashlib.sha1(numpy.memmap(sys.argv[1], mode='r')).hexdigest())"
    assert run(sys.executable, "-c", program, path).strip() == os.getxattr(path, "user.pacifica.digest").decode()[5:]


def test_memmap_works_on_what_was_never_read(mounted, fake_site):
    pytest.importorskip("numpy")
    fake_site.add(7, File(1, "cold", BIG))
    mount = mounted(tables(fake_site))
    program = "import numpy, sys; print(bytes(numpy.memmap(sys.argv[1], mode='r')[-5:]).hex())"
    assert run(sys.executable, "-c", program, mount.path / "site/transactions/7/cold").strip() == BIG[-5:].hex()


def test_status_files_are_direct(filled):
    """Their size is not known beforehand and they change: no page of them is kept."""
    with open(filled.path / "status/cache.json", "rb") as stream:
        libc = ctypes.CDLL(None, use_errno=True)  # mmap.mmap itself refuses what is shown to have no bytes
        libc.mmap.restype = ctypes.c_ssize_t
        assert libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, stream.fileno(), ctypes.c_long(0)) == -1
        assert ctypes.get_errno() == errno.ENODEV
        assert stream.read().endswith(b"}\n")
    first = filled.read("status/metrics")
    (filled.path / "site/transactions/7/small").read_bytes()
    assert filled.read("status/metrics") != first


def test_o_direct_reads_right(filled):
    path = filled.path / "site/transactions/7/big"
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 2**20)
    try:
        for offset, size in ((0, 2**20), (2**20, 4096), (3 * 2**20, 4096), (4 * 2**20, 4096)):
            view = memoryview(buffer)[:size]
            count = os.preadv(fd, [view], offset)
            assert bytes(view[:count]) == BIG[offset : offset + size]
            view.release()
    finally:
        os.close(fd)


def test_o_direct_of_a_file_that_is_arriving(mounted, fake_site, tmp_path):
    fake_site.add(7, File(1, "cold", BIG, rate=20 * 2**20))
    mount = mounted(tables(fake_site))
    run("dd", f"if={mount.path}/site/transactions/7/cold", f"of={tmp_path}/copy", "bs=256k", "iflag=direct")
    assert (tmp_path / "copy").read_bytes() == BIG


def test_every_changing_request_outside_the_drop_is_refused(filled):
    folder = filled.path / "site/transactions/7"
    attempts = {
        "create": lambda: (folder / "new").touch(),
        "write": lambda: os.open(folder / "small", os.O_RDWR),
        "truncate": lambda: os.truncate(folder / "small", 0),
        "unlink": lambda: os.unlink(folder / "small"),
        "mkdir": lambda: os.mkdir(folder / "new"),
        "rmdir": lambda: os.rmdir(folder),
        "rename": lambda: os.rename(folder / "small", folder / "large"),
        "symlink": lambda: os.symlink("x", folder / "link"),
        "link": lambda: os.link(folder / "small", folder / "link"),
        "fifo": lambda: os.mkfifo(folder / "fifo"),
        "chmod": lambda: os.chmod(folder / "small", 0o600),
        "chown": lambda: os.chown(folder / "small", 1, 1),
        "utime": lambda: os.utime(folder / "small"),
        "setxattr": lambda: os.setxattr(folder / "small", "user.x", b"1"),
        "removexattr": lambda: os.removexattr(folder / "small", "user.pacifica.id"),
        "top": lambda: os.mkdir(filled.path / "new"),
        "status": lambda: os.open(filled.path / "status/log", os.O_WRONLY),
    }
    found = {}
    for name, attempt in attempts.items():
        with pytest.raises(OSError) as refused:
            attempt()
        found[name] = errno.errorcode[refused.value.errno]
    assert found == dict.fromkeys(attempts, "EROFS")


def test_names_that_vanish_and_appear_are_seen_within_a_second(filled):
    """Attributes and names are believed for a second, absent names not at all."""
    path = filled.path / "drop/here/run"
    assert not path.exists()
    path.mkdir()
    (path / "file").write_text("x")
    status = filled.path / "status/uploads/here/run/status.json"
    deadline = time.monotonic() + 3
    while not status.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (path / "file").unlink()
    assert not (path / "file").exists()
