"""How a transaction comes into being: made in private below `incoming/`, then visible at once by one rename.

A folder in `incoming` belongs to who holds the lock of its file `lock`; the kernel frees it when its owner dies, and
only then `sweep` removes the folder. It is made and judged under the archive's lock, so it is never seen without it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import uuid
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...errors import Corrupt
from ...model import BundleFile
from .folder import ArchiveFolder, lock, sync_directory
from .record import FILES

log = logging.getLogger(__name__)

CHUNK = 1 << 20

_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file, copy on write
_SYNCERS = 4


@contextlib.contextmanager
def incoming(folder: ArchiveFolder) -> Iterator[Path]:
    """An empty folder for a transaction, with `files` in it; removed at the end unless it was renamed away."""
    home = folder.incoming / uuid.uuid4().hex
    made = home / "transaction"
    with folder.locked(), folder.errors(f"{folder.incoming} cannot be written"):
        home.mkdir(parents=True)
        descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        lock(descriptor)
    try:
        with folder.errors(f"{home} cannot be written"):
            (made / FILES).mkdir(parents=True)
        yield made
    finally:
        shutil.rmtree(home, ignore_errors=True)
        os.close(descriptor)


def sweep(folder: ArchiveFolder) -> None:
    """Remove what dead makers left behind; touches nothing that a living one holds."""
    dead = []
    with folder.locked(), folder.errors(f"{folder.incoming} cannot be cleaned"):
        folder.incoming.mkdir(exist_ok=True)
        for name in os.listdir(folder.incoming):
            path = folder.incoming / name
            try:
                if not name.startswith("dead-"):
                    if _alive(path / "lock"):
                        continue
                    path = path.rename(folder.incoming / f"dead-{name}")
                dead.append(path)
            except FileNotFoundError:
                pass  # its maker has just finished, and removed it
            except OSError as error:
                log.warning("%s stays: %s", path, error)
    for path in dead:  # many gigabytes perhaps: nobody waits for it
        _remove(path)


def fill(made: Path, files: Iterable[BundleFile]) -> Generator[int, None, None]:
    """Copy `files` to where they belong below `made`, all durable in the end; yields the bytes copied so far.

    Corrupt where a file's bytes are not, or no longer, those of its size and digest. Nothing is hard-linked: the
    sources go on to be the cache's, where a write to one would be a write into the archive. Where the file system can
    share blocks until one side is written (btrfs, XFS), that is used instead.
    """
    total = 0
    folders = {made / FILES}
    copies = []
    for file in files:
        target = made / FILES / file.path
        if target.parent not in folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            folders.update(parent for parent in target.parents if parent.is_relative_to(made / FILES))
        for size in _copy(file, target):
            total += size
            yield total
        copies.append(target)
    with ThreadPoolExecutor(_SYNCERS) as pool:  # together they share the journal's commits
        list(pool.map(_sync, copies))
        list(pool.map(sync_directory, folders))


def _copy(file: BundleFile, target: Path) -> Iterator[int]:
    """Make `target`, yielding the size of each piece; verified against size and digest in the end."""
    try:
        source = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Corrupt(f"the bytes of '{file.path}' cannot be read from {file.source}: {error.strerror}") from error
    with open(source, "rb", buffering=0) as reader:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(target, flags, 0o444), "r+b", buffering=0) as writer:
            shared = _share(source, writer.fileno())
            hasher, size = file.digest.hasher(), 0
            piece = memoryview(bytearray(min(CHUNK, file.size + 1)))
            while length := (writer if shared else reader).readinto(piece):
                hasher.update(piece[:length])
                if not shared:
                    _write(writer.fileno(), piece[:length])
                size += length
                if size > file.size:
                    break
                yield length
            if size != file.size or hasher.hexdigest() != file.digest.value:
                raise Corrupt(f"'{file.path}' was changed after its digest was made: {file.digest}, {file.size} bytes")
            os.utime(writer.fileno(), ns=(file.mtime_ns, file.mtime_ns))


def _share(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _write(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """As far as it goes: what stays is tried again by the next sweep. Its maker may be removing the same things now."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # past what is gone already, so that nothing is left by both
        return
    with contextlib.suppress(OSError):
        path.unlink()


def _alive(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not lock(descriptor)
    finally:
        os.close(descriptor)
