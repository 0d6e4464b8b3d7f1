"""`file`: this machine's disks, within configured folders only, whatever a server says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...errors import Denied, PacificaFSError, Unobtainable, Unreachable
from .contract import Delivery, OneByOne, Remote

MIB = 2**20


class Folder(OneByOne):
    """Reads regular files below `roots`, links resolved."""

    def __init__(self, roots: Sequence[Path], archive: str = "") -> None:
        self._roots = [Path(os.path.realpath(root.expanduser())) for root in roots]
        self._archive = archive

    def download_datafile(self, file: Remote, start: int = 0) -> Delivery:
        """See Provider."""
        path = self._path(file.url)
        try:
            # Not to hang on a fifo; not to follow a link that was put there just now.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except PermissionError as error:
            raise Denied(f"{path}: this user may not read it") from error
        except FileNotFoundError as error:
            raise Unobtainable(f"{path}: there is no such file on this machine") from error
        except OSError as error:
            raise Unreachable(f"{path}: {error.strerror}") from error
        try:
            self._check(fd, path)
            os.lseek(fd, start, os.SEEK_SET)
            return FileStream(fd, start, os.fstat(fd).st_size)
        except BaseException:
            os.close(fd)
            raise

    def _path(self, url: str) -> Path:
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise Denied(f"{url}: a file of another machine")
        name = unquote(parts.path)
        if "\0" in name or not name.startswith("/"):
            raise Unobtainable(f"{url!r}: not the address of a file")
        path = Path(os.path.realpath(name))
        self._permit(path)
        return path

    def _check(self, fd: int, path: Path) -> None:
        """What was opened, and not what was looked at before."""
        self._permit(Path(os.readlink(f"/proc/self/fd/{fd}")))
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unobtainable(f"{path}: not a regular file")

    def _permit(self, path: Path) -> None:
        if not any(path.is_relative_to(root) for root in self._roots):
            where = f"[archives.{self._archive}] provider_roots" if self._archive else "provider_roots"
            raise Denied(f"{path}: outside of the folders that may be read ({where} in the configuration)")


class FileStream:
    """See Opened."""

    validator = ""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._fd = fd
        self.start = start
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """See Opened."""
        while True:
            try:
                piece = os.read(self._fd, MIB)
            except OSError as error:
                raise PacificaFSError(f"cannot be read: {error.strerror}") from error
            if not piece:
                return
            yield piece

    def close(self) -> None:
        """See Opened."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
