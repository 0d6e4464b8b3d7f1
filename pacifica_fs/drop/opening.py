"""Opening files of a bundle for writing."""

from __future__ import annotations

import os
import stat

from ..errors import NotADirectory
from .bundle import MARK, SpoolBundle
from .handles import FileHandle, OpenFile
from .look import KEPT
from .stack import Site
from .taking import unshare

WRITES = os.O_WRONLY | os.O_RDWR


def open_file(site: Site, bundle: SpoolBundle, path: str, flags: int, mode: int = 0o644) -> FileHandle:
    """Open a file of a bundle for writing, making it if `flags` have O_CREAT."""
    disk, real = bundle.disk, bundle.real(path)
    access = os.O_RDWR if flags & os.O_RDWR else os.O_WRONLY
    with bundle.lock:
        bundle.change(path)
        made = False
        if flags & os.O_CREAT:
            try:
                fd = disk.open(real, access | os.O_CREAT | os.O_EXCL, (mode & KEPT) | 0o600 | MARK)
                made = True
            except FileExistsError:
                if flags & os.O_EXCL:
                    raise
                fd = disk.open(real, access)
        else:
            fd = disk.open(real, access)
        try:
            state = os.fstat(fd)
            if state.st_nlink > 1 and stat.S_ISREG(state.st_mode):
                # It was taken without a copy: what is written here must not reach its other name.
                unshare(bundle, path, site.room)
                os.close(fd)
                fd = -1
                fd = disk.open(real, access)
                state = os.fstat(fd)
            if not stat.S_ISREG(state.st_mode):
                raise NotADirectory(f"{path} is not a file")
            file = bundle.handles.get(state.st_ino)
            if file is None:
                marked = bool(state.st_mode & MARK)
                file = OpenFile(bundle, path, state.st_ino, state.st_size, site.algorithm, marked)
                file.nameless = made
            handle = FileHandle(file, fd, site.room, access == os.O_RDWR)
            if not made and flags & os.O_TRUNC and state.st_size:
                handle.truncate(0)
            elif not made and file.size == 0:
                # Emptied a moment ago by its path, most likely: it must not pass for whole after a crash.
                with file.lock:
                    file.begin(fd)
        except BaseException:
            if fd >= 0:
                os.close(fd)
            raise
        bundle.handles[state.st_ino] = file
        file.writers += 1
    return handle
