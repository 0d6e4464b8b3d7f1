"""Each row of the tables of operations in docs/semantics.md, done through a kernel mount: what happens, and the errno.

The errno that a row names is what the operation is compared with here, so a row cannot say what is not so; each row
has its probe, and each probe its row.
"""

import errno
import fcntl
import json
import mmap
import os
import re
import shutil

import pytest

from tests.mount.harness import bounded
from tests.unit.documents import document, rows, section

from .world import (
    DATA,
    World,
    allocate,
    event,
    exchange,
    failing,
    free,
    locked,
    mapped,
    opened,
    put,
    put_range,
    same,
    socketed,
    timed,
)

pytestmark = [pytest.mark.mount, pytest.mark.timeout(180)]

R, W, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR

ARCHIVE, SENT, STATUS = "in an archive", "what was sent", "in `status/` and at the top"
OPEN, TOP = "in an open bundle", "directly in `drop/ARCHIVE/`"

PROBES = {
    "open": {
        "an archive's file, to read": lambda w: same(opened(w.file, R, lambda fd: os.read(fd, 5)), DATA[:5]),
        "an archive's file, to write, truncate or append": lambda w: [
            opened(w.file, R | os.O_TRUNC),
            opened(w.file, RW),
            opened(w.file, W | os.O_APPEND),
        ],
        "a file of an open bundle, to write": lambda w: opened(w.new(), W),
        "a file of an open bundle, to read and write": lambda w: put(
            w.new(b""), RW, lambda fd: os.write(fd, DATA), lambda fd: same(os.pread(fd, 10, 0), DATA[:10])
        ),
        "a file of `drop/`, to read": lambda w: opened(w.new(), R),
        "a file that was sent, to write anew": lambda w: w.follow_on(
            lambda: opened(w.again / "sub/file", W | os.O_TRUNC, lambda fd: os.write(fd, b"new"))
        ),
        "a file that was sent, to read and write": lambda w: opened(w.sent / "sub/file", RW),
        "a file of `status/`, to read": lambda w: json.loads(opened(w.status, R, lambda fd: os.read(fd, 1 << 20))),
        "a file of `status/`, to write": lambda w: opened(w.status, W),
        "what is not there": lambda w: opened(w.top / "here/transactions/999", R),
        "a folder, to write": lambda w: opened(w.folder, W),
    },
    "create": {
        ARCHIVE: lambda w: opened(w.name(w.folder), W | os.O_CREAT),
        TOP: lambda w: opened(w.name(w.drop), W | os.O_CREAT),
        OPEN: lambda w: opened(w.name(), W | os.O_CREAT | os.O_EXCL),
        "in `drop/` itself": lambda w: opened(w.name(w.top / "drop"), W | os.O_CREAT),
        STATUS: lambda w: opened(w.name(w.top), W | os.O_CREAT),
        "a name that is taken, with O_EXCL": lambda w: opened(w.new(), W | os.O_CREAT | os.O_EXCL),
        "a name of more than 255 bytes": lambda w: opened(w.bundle / ("x" * 256), W | os.O_CREAT),
    },
    "read": {
        "an archive's file": lambda w: same(w.file.read_bytes(), DATA),
        "a handle of `drop/` that was opened to read and write": lambda w: put(
            w.new(), RW, lambda fd: same(os.pread(fd, 20000, 0), DATA)
        ),
        "a handle that was opened only to write": lambda w: opened(w.new(), W, lambda fd: os.read(fd, 1)),
        "beyond the end": lambda w: opened(w.file, R, lambda fd: same(os.pread(fd, 10, len(DATA) + 5), b"")),
        "`PROBLEMS.txt` of a held bundle": lambda w: same("projct" in w.problems.read_text(), True),
        "a folder": lambda w: opened(w.folder, R, lambda fd: os.read(fd, 1)),
    },
    "write": {
        "a file of an open bundle, anywhere in it": lambda w: put(
            w.new(),
            W,
            lambda fd: os.pwrite(fd, b"x", 5),
            lambda fd: os.pwrite(fd, b"x", 20_000),
            lambda fd: same(os.fstat(fd).st_size, 20_001),
        ),
        "with O_APPEND": lambda w: put(
            w.new(),
            W | os.O_APPEND,
            lambda fd: os.write(fd, b"x"),
            lambda fd: same(os.fstat(fd).st_size, len(DATA) + 1),
        ),
        "beyond `[drop] limit`, or into `min_free`": lambda w: w.new(bytes(40 << 20)),
        "to a handle that was opened only to read": lambda w: opened(w.file, R, lambda fd: os.write(fd, b"x")),
    },
    "truncate": {
        ARCHIVE: lambda w: os.truncate(w.file, 0),
        OPEN: lambda w: [(path := w.new()), os.truncate(path, 3), same(path.stat().st_size, 3)],
        "longer than it is": lambda w: [
            (path := w.new()),
            os.truncate(path, 20_000),
            same(path.stat().st_size, 20_000),
        ],
        STATUS: lambda w: os.truncate(w.status, 0),
    },
    "fsync": {
        OPEN: lambda w: put(w.new(), W, lambda fd: os.write(fd, b"x"), os.fsync, os.fdatasync),
        ARCHIVE: lambda w: opened(w.file, R, os.fsync),
        "a folder of `drop/`": lambda w: opened(w.bundle, R, os.fsync),
    },
    "close": {
        OPEN: lambda w: [(path := w.new()), same((path.stat().st_size, path.stat().st_mode & 0o1000), (len(DATA), 0))],
        ARCHIVE: lambda w: opened(w.file, R),
        "an event that is none": lambda w: event(w, b"no event"),
    },
    "mkdir": {
        ARCHIVE: lambda w: w.name(w.folder).mkdir(),
        TOP: lambda w: w.folder_of(w.drop),
        OPEN: lambda w: w.folder_of(),
        "in `drop/` itself": lambda w: w.name(w.top / "drop").mkdir(),
        STATUS: lambda w: w.name(w.top / "status").mkdir(),
        "in `ARCHIVE/events/`": lambda w: w.name(w.events).mkdir(),
        "where there is one": lambda w: w.bundle.mkdir(),
    },
    "rmdir": {
        ARCHIVE: lambda w: w.folder.rmdir(),
        "an empty folder of an open bundle, or an empty bundle": lambda w: [
            w.folder_of().rmdir(),
            w.folder_of(w.drop).rmdir(),
        ],
        "a folder with files": lambda w: [w.new(), w.bundle.rmdir()],
        SENT: lambda w: (w.sent / "sub").rmdir(),
        STATUS: lambda w: (w.top / "status").rmdir(),
    },
    "unlink": {
        ARCHIVE: lambda w: w.file.unlink(),
        OPEN: lambda w: [(path := w.new()).unlink(), same(path.exists(), False)],
        "a file that is open": lambda w: [
            (path := w.new()),
            opened(path, RW, lambda fd: [path.unlink(), os.pwrite(fd, b"x", 0), same(os.pread(fd, 1, 0), b"x")]),
        ],
        SENT: lambda w: (w.sent / "sub/file").unlink(),
        STATUS: lambda w: w.status.unlink(),
        "a folder": lambda w: w.folder_of().unlink(),
    },
    "rename": {
        ARCHIVE: lambda w: w.file.rename(w.name(w.folder)),
        "within an archive's open bundles": lambda w: [
            (path := w.new()),
            (to := w.name(w.folder_of())),
            path.rename(to),
            same(to.stat().st_size, len(DATA)),
        ],
        "over a file that is there": lambda w: [
            (to := w.new(b"old")),
            w.new(b"newer").rename(to),
            same(to.stat().st_size, 5),
        ],
        "a bundle's folder": lambda w: [w.folder_of(w.drop).rename(to := w.name(w.drop)), same(to.is_dir(), True)],
        "to another archive's folder, or out of or into a bundle": lambda w: [
            same(failing(lambda: w.new().rename(w.folder_of(w.there) / "x")), errno.EPERM),
            same(failing(lambda: w.new().rename(w.drop / "x")), errno.EPERM),
            same(failing(lambda: w.folder_of(w.drop).rename(w.bundle / "x")), errno.EPERM),
            w.folder_of(w.drop).rename(w.name(w.there)),
        ],
        SENT: lambda w: (w.sent / "sub/file").rename(w.name(w.bundle)),
        "from or to another file system": lambda w: w.new().rename(w.outside / "x"),
        "exchange (RENAME_EXCHANGE)": lambda w: exchange(w.new(), w.new()),
        STATUS: lambda w: w.status.rename(w.name(w.top)),
    },
    "link": {
        ARCHIVE: lambda w: os.link(w.file, w.name(w.folder)),
        OPEN: lambda w: os.link(w.new(), w.name()),
        "to another file system": lambda w: os.link(w.file, w.name(w.outside)),
    },
    "symlink": {
        ARCHIVE: lambda w: w.name(w.folder).symlink_to("file"),
        OPEN: lambda w: w.name().symlink_to("file"),
        'in an open bundle, with `symlinks = "follow"`': lambda w: [
            (path := w.name(w.following)).symlink_to("target"),
            same(os.readlink(path), "target"),
        ],
        STATUS: lambda w: w.name(w.top).symlink_to("file"),
    },
    "mknod": {
        ARCHIVE: lambda w: os.mkfifo(w.name(w.folder)),
        OPEN: lambda w: [same(failing(lambda: socketed(w.name())), errno.EPERM), os.mkfifo(w.name())],
        STATUS: lambda w: os.mkfifo(w.name(w.top)),
    },
    "readlink": {
        "`status/uploads/ARCHIVE/NAME/transaction`": lambda w: same(
            (w.top / "status/uploads/here/sent/transaction").resolve(), w.folder
        ),
        "what is no link": lambda w: os.readlink(w.file),
    },
    "chmod": {
        ARCHIVE: lambda w: w.file.chmod(0o600),
        OPEN: lambda w: [(path := w.new()).chmod(0o640), same(path.stat().st_mode & 0o777, 0o640)],
        "a folder of `drop/`": lambda w: [
            (path := w.folder_of()).chmod(0o000),
            same(path.stat().st_mode & 0o777, 0o700),
        ],
        STATUS: lambda w: w.status.chmod(0o600),
    },
    "chown": {
        ARCHIVE: lambda w: os.chown(w.file, os.getuid(), os.getgid()),
        OPEN: lambda w: [
            (path := w.new()),
            os.chown(path, os.getuid(), os.getgid()),
            same(path.stat().st_uid, os.getuid()),
        ],
        STATUS: lambda w: os.chown(w.status, os.getuid(), os.getgid()),
    },
    "utimens": {
        ARCHIVE: lambda w: os.utime(w.file),
        OPEN: lambda w: same(timed(w.new()), 1_500_000_000_123_456_789),
        STATUS: lambda w: os.utime(w.status),
    },
    "stat": {
        ARCHIVE: lambda w: same((w.file.stat().st_size, w.file.stat().st_nlink), (len(DATA), 1)),
        "in `drop/`, also what was sent": lambda w: same((w.sent / "sub/file").stat().st_size, len(DATA)),
        STATUS: lambda w: same(w.status.stat().st_size, 0),
        "what is not there": lambda w: w.name(w.folder).stat(),
        "below a file": lambda w: (w.file / "x").stat(),
    },
    "readdir": {
        ARCHIVE: lambda w: same(os.listdir(w.folder), ["sub"]),
        "in `drop/`, also what was sent": lambda w: same(os.listdir(w.sent / "sub"), ["file"]),
        "`search/QUESTION`, a value that nobody knows": lambda w: os.listdir(w.top / "here/search/project=1234a"),
        "`search/QUESTION`, no such term": lambda w: os.listdir(w.top / "here/search/nonsense=1"),
        "an archive out of reach, and never seen before": lambda w: w.outage(lambda: os.listdir(w.top / "site/recent")),
    },
    "getxattr": {
        "an archive's file or container": lambda w: [
            same(os.getxattr(w.file, "user.pacifica.archive"), b"here"),
            same("user.pacifica.transaction" in os.listxattr(w.folder), True),
        ],
        "in `drop/`": lambda w: same(os.getxattr(w.new(), "user.pacifica.state"), b"open"),
        "no such attribute": lambda w: os.getxattr(w.file, "user.nothing"),
        "attributes of the system (ACLs, `security.`)": lambda w: os.getxattr(w.file, "system.posix_acl_access"),
    },
    "setxattr": {
        ARCHIVE: lambda w: os.setxattr(w.file, "user.mine", b"x"),
        OPEN: lambda w: os.setxattr(w.new(), "user.mine", b"x"),
        STATUS: lambda w: os.setxattr(w.status, "user.mine", b"x"),
    },
    "removexattr": {
        ARCHIVE: lambda w: os.removexattr(w.file, "user.pacifica.archive"),
        OPEN: lambda w: os.removexattr(w.new(), "user.pacifica.state"),
    },
    "statfs": {
        "in `drop/`": lambda w: same(free(w.bundle) <= 32 << 20, True),
        "elsewhere": lambda w: same(free(w.folder) > 0, True),
    },
    "mmap": {
        "an archive's file": lambda w: same(mapped(w.file, R, mmap.ACCESS_READ), DATA[:10]),
        "an archive's file, shared and writable": lambda w: mapped(w.file, R, mmap.ACCESS_WRITE),
        "a file of `drop/` that was opened to read and write": lambda w: same(
            mapped(w.new(), RW, mmap.ACCESS_WRITE), DATA[:10]
        ),
    },
    "flock": {
        ARCHIVE: lambda w: locked(w.file, R),
        OPEN: lambda w: locked(w.new(), W),
        "fcntl locks, anywhere": lambda w: opened(w.file, R, lambda fd: fcntl.lockf(fd, fcntl.LOCK_SH)),
    },
    "lseek": {
        "a file": lambda w: same(opened(w.file, R, lambda fd: os.lseek(fd, 0, os.SEEK_END)), len(DATA)),
        "SEEK_DATA, SEEK_HOLE": lambda w: same(opened(w.file, R, lambda fd: os.lseek(fd, 0, os.SEEK_HOLE)), len(DATA)),
    },
    "fallocate": {
        OPEN: lambda w: opened(w.new(), W, lambda fd: allocate(fd, 20_000)),
        ARCHIVE: lambda w: opened(w.file, R, lambda fd: allocate(fd, 20_000)),
    },
    "copy_file_range": {
        "between this and another file system": lambda w: [
            shutil.copyfile(w.file, to := w.outside / "copy"),
            same(to.read_bytes(), DATA),
            put_range(w.outside / "file", w.name()),
        ],
    },
    "access": {
        "to write, in an archive": lambda w: same(os.access(w.file, os.W_OK), w.writable),
    },
}


DOCUMENT = document("semantics")


def documented(operation):
    """Errno by row of an operation's table; "" where it works."""
    found = [cells for cells in rows(section(DOCUMENT, f"### {operation}")) if cells[0] != "where"]
    return {where: errors.partition(":")[0].strip("`") for where, _, errors in found}


def test_every_operation_and_row_has_its_probe():
    assert re.findall(r"^### (.+)$", DOCUMENT, re.MULTILINE) == list(PROBES)
    for operation, probes in PROBES.items():
        assert list(documented(operation)) == list(probes), operation


def test_rows(mounted, fake_site, tmp_path):
    world = World(mounted, fake_site, tmp_path / "outside")
    wrong = []
    for operation, probes in PROBES.items():
        expected = documented(operation)
        for where, probe in probes.items():
            try:
                number = bounded(f"{operation} {where}", lambda probe=probe: failing(lambda: probe(world)), 30)
            except (AssertionError, ValueError, TimeoutError) as error:
                number = f"{error}"
            found = errno.errorcode.get(number, number) if number else ""
            if found != expected.get(where):
                wrong.append(f"{operation} | {where} | {found}")
    assert not wrong, "\n".join(wrong)
