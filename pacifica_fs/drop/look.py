"""What a file or folder on the spool's disk looks like through the mount."""

from __future__ import annotations

import os
import stat

from ..tree.nodes import DIRECTORY, FILE, LINK, Attributes, inode

CHUNK = 1 << 20
"""Bytes that a program should write at once (`st_blksize`): as many as one request takes, which NFS says, too."""
KEPT = 0o777
"""The mode bits that are kept as the writer wants them; the owner's read and write bits are always on."""


def inode_of(state: os.stat_result) -> int:
    """The inode number of what is there."""
    return inode("drop", str(state.st_ino))


def shown(state: os.stat_result, uid: int = -1) -> Attributes:
    """The attributes of what is there, for the user whose bundle it is in."""
    mode = state.st_mode
    if stat.S_ISDIR(mode):
        return Attributes(DIRECTORY | (mode & KEPT), 0, state.st_mtime_ns, 2, inode_of(state), uid=uid)
    if stat.S_ISLNK(mode):
        return Attributes(LINK | 0o777, state.st_size, state.st_mtime_ns, 1, inode_of(state), uid=uid)
    return Attributes(FILE | (mode & KEPT), state.st_size, state.st_mtime_ns, 1, inode_of(state), CHUNK, uid)
