"""Writing through the kernel into a folder that takes files: what programs do arrives, and its errors reach them."""

import ctypes
import errno
import os
import stat
import subprocess

import pytest

from .harness import bounded
from .survival import failure
from .toy.content import MIB, pattern
from .toy.mounting import counts, toy

pytestmark = [pytest.mark.timeout(60)]

NOREPLACE, EXCHANGE = 1, 2


@pytest.fixture
def mount(mounted):
    return toy(mounted)


@pytest.fixture
def source(tmp_path):
    """A tree with what copying programs care about."""
    top = tmp_path / "source"
    (top / "sub/deep").mkdir(parents=True)
    (top / "big").write_bytes(pattern(3 * MIB + 7))
    (top / "empty").touch()
    (top / "sub/ünïcödé name").write_bytes(b"x")
    (top / "sub/deep" / ("n" * 255)).write_bytes(b"long name")
    (top / "sub/script").write_bytes(b"#!/bin/sh\n")
    (top / "sub/script").chmod(0o750)
    for number, path in enumerate(sorted(top.rglob("*"))):
        os.utime(path, ns=(0, 1_400_000_000_123_456_789 + number))
    return top


def run(*command, **more):
    """A program's output; its error if it fails."""
    return subprocess.run(list(map(str, command)), capture_output=True, check=True, timeout=30, **more).stdout


def content(top):
    """All of a tree: names, bytes, modes and times."""
    found = {}
    for path in sorted(top.rglob("*")):
        status = path.stat()
        data = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(top))] = (data, stat.S_IMODE(status.st_mode), status.st_mtime_ns)
    return found


@pytest.mark.parametrize(
    "command",
    [
        "cp -a {source} {drop}/copied",
        "rsync -a {source}/ {drop}/copied/",
        "mkdir {drop}/copied && tar c --format=posix -C {source} . | tar x -p -C {drop}/copied",
        "cp -a {source} {source}2 && mv {source}2 {drop}/copied",
    ],
    ids=["cp", "rsync", "tar", "mv"],
)
def test_a_tree_arrives_as_it_is(mount, source, command):
    drop = mount.path / "drop"
    run("sh", "-c", command.format(source=source, drop=drop))
    assert content(mount.folder / "drop/copied") == content(source)


def test_shells_and_dd(mount, tmp_path):
    drop, real = mount.path / "drop", mount.folder / "drop"
    run("sh", "-c", f"echo one > {drop}/file; echo two >> {drop}/file; : > {drop}/empty; echo three >> {drop}/file")
    assert (real / "file").read_bytes() == b"one\ntwo\nthree\n"
    run("sh", "-c", f"echo short > {drop}/file")
    assert (real / "file").read_bytes() == b"short\n"
    data = tmp_path / "data"
    data.write_bytes(pattern(2 * MIB))
    run("dd", f"if={data}", f"of={drop}/dd", "bs=128k", "conv=fsync")
    assert (real / "dd").read_bytes() == pattern(2 * MIB)
    run("dd", f"if={data}", f"of={drop}/dd", "bs=1M", "count=1", "seek=1", "conv=notrunc", "oflag=direct")
    assert (real / "dd").read_bytes() == pattern(MIB) * 2


def test_a_handle_that_reads_its_own(mount):
    path = mount.path / "drop/file"
    with open(path, "w+b") as stream:
        stream.write(b"0123456789")
        stream.seek(3)
        stream.write(b"abc")
        stream.seek(0)
        assert stream.read() == b"012abc6789"
        stream.truncate(5)
        assert os.fstat(stream.fileno()).st_size == 5
        stream.seek(0, os.SEEK_END)
        assert stream.tell() == 5
    assert failure(path.read_bytes) == errno.EACCES
    os.truncate(path, 2)
    assert (mount.folder / "drop/file").read_bytes() == b"01"


def test_writes_are_large(mount):
    before = counts(mount).get("write", 0)
    (mount.path / "drop/file").write_bytes(pattern(8 * MIB))
    assert counts(mount)["write"] - before <= 8 + 1


@pytest.mark.parametrize(
    "command", ["cp {bad} {drop}/x", "cat {bad} > {drop}/x", "dd if={bad} of={drop}/x", "mv {bad} {drop}/x"]
)
def test_an_error_of_flush_reaches_who_closes(mount, tmp_path, command):
    bad = tmp_path / "bad"
    bad.write_bytes(b"REFUSE this")
    line = command.format(bad=bad, drop=mount.path / "drop")
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=20, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode and (b"Invalid argument" in done.stderr or command.startswith("cat")), done
    assert bad.exists()


def test_an_error_of_flush_reaches_python(mount):
    stream = open(mount.path / "drop/x", "wb", buffering=0)  # noqa: SIM115 - its close is what is tested
    stream.write(b"REFUSE this")
    assert failure(lambda: os.fsync(stream.fileno())) == errno.EINVAL
    assert failure(stream.close) == errno.EINVAL


def test_kinds_of_rename(mount):
    drop = mount.path / "drop"
    for name in ("one", "two"):
        (drop / name).write_text(name)

    def rename(old, new, flags):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(-100, os.fsencode(drop / old), -100, os.fsencode(drop / new), flags):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    assert failure(lambda: rename("one", "two", NOREPLACE)) == errno.EEXIST
    assert failure(lambda: rename("one", "two", EXCHANGE)) == errno.EINVAL
    rename("one", "three", NOREPLACE)
    assert sorted(os.listdir(drop)) == ["three", "two"]
    rename("three", "two", 0)
    assert (mount.folder / "drop/two").read_text() == "one" and os.listdir(drop) == ["two"]


def test_folders_and_removals(mount):
    drop = mount.path / "drop"
    (drop / "a/b").mkdir(parents=True)
    (drop / "a/file").touch()
    assert failure((drop / "a").mkdir) == errno.EEXIST
    assert failure((drop / "a").rmdir) == errno.ENOTEMPTY
    run("rm", "-r", drop / "a")
    assert os.listdir(mount.folder / "drop") == []


def test_a_file_without_a_name_is_written_on(mount):
    """Deleted while it is open: nothing of it stays, under no name."""
    path = mount.path / "drop/file"
    with open(path, "wb", buffering=0) as stream:
        stream.write(b"first")
        path.unlink()
        assert os.listdir(mount.folder / "drop") == []
        assert bounded("a write", lambda: stream.write(b"second")) == 6
    assert os.listdir(mount.folder / "drop") == []


def test_links_and_pipes_are_refused(mount):
    drop = mount.path / "drop"
    (drop / "file").touch()
    changes = [
        lambda: (drop / "new").symlink_to("file"),
        lambda: os.link(drop / "file", drop / "new"),
        lambda: os.mkfifo(drop / "new"),
    ]
    assert [failure(change) for change in changes] == [errno.EPERM] * 3


def test_chown_is_taken_without_effect(mount):
    path = mount.path / "drop/file"
    path.touch()
    os.chown(path, os.getuid(), os.getgid())
    assert failure(lambda: os.chown(mount.path / "files/complete", os.getuid(), os.getgid())) == errno.EROFS
    path.chmod(0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.utime(path, ns=(5, 1_234_567_890_123_456_789))
    assert path.stat().st_mtime_ns == 1_234_567_890_123_456_789
