"""The exception tree, and the one table that turns it into errno.

    PacificaFSError
    ├── ConfigError         a configuration file or option is wrong            EINVAL
    ├── NotFound            the archive says that there is no such thing       ENOENT
    ├── Denied              this identity may not                              EACCES
    │   └── Embargoed       nor may anybody else before it is released         EPERM
    ├── NotPermitted        nobody may (a link into the drop)                  EPERM
    ├── ReadOnly            archives do not change                             EROFS
    ├── Exists, NotEmpty, IsADirectory, NotADirectory, NameTooLong, Invalid, Unsupported, NoAttribute
    ├── Unreachable         an outage: no connection, 5xx, a proxy's page      EHOSTDOWN
    ├── WaitTimeout         a wait reached its deadline                        ETIMEDOUT
    ├── TooBusy             too many requests wait already                     EBUSY
    ├── BadAnswer           the server answered, but not what it promised      EIO
    │   └── Unobtainable    it was asked several times, and cannot do it       EIO
    │       ├── Unverified  it has no copy that it has verified                ENODATA
    │       └── Offline     its copy is on tape, and was not recalled          ENOMEDIUM
    ├── Corrupt             bytes do not match their digest or size            EIO
    ├── Stale               the file changed on the server since it was listed ESTALE
    ├── TooLarge            the archive takes no upload of this size            EFBIG
    └── NoSpace             the spool or its limit is full                     ENOSPC

An outage is never `NotFound`. No error maps to EAGAIN: programs take it for the end of the file.
"""

from __future__ import annotations

import errno


class PacificaFSError(Exception):
    """Base of all errors that this program raises on purpose; `str()` is one sentence for a user."""

    errno: int = errno.EIO


class ConfigError(PacificaFSError):
    """A configuration value is wrong; the message names file, key and what was expected."""

    errno = errno.EINVAL


class NotFound(PacificaFSError):
    """The archive was asked and says that there is no such thing."""

    errno = errno.ENOENT


class Denied(PacificaFSError):
    """The identity in use may not do this."""

    errno = errno.EACCES


class Embargoed(Denied):
    """The content is listed, but not given out before its release."""

    errno = errno.EPERM


class NotPermitted(PacificaFSError):
    """An operation that this place refuses to everybody."""

    errno = errno.EPERM


class ReadOnly(PacificaFSError):
    """A change where nothing can be changed."""

    errno = errno.EROFS


class Exists(PacificaFSError):
    """The name is taken."""

    errno = errno.EEXIST


class NotEmpty(PacificaFSError):
    """The directory still has entries."""

    errno = errno.ENOTEMPTY


class IsADirectory(PacificaFSError):
    """A file was needed."""

    errno = errno.EISDIR


class NotADirectory(PacificaFSError):
    """A directory was needed."""

    errno = errno.ENOTDIR


class NameTooLong(PacificaFSError):
    """The name has more than 255 bytes."""

    errno = errno.ENAMETOOLONG


class Invalid(PacificaFSError):
    """The request makes no sense here."""

    errno = errno.EINVAL


class TooLarge(Invalid):
    """The archive said that it takes no upload of this size; nothing was ingested."""

    errno = errno.EFBIG


class Unsupported(PacificaFSError):
    """This file system does not do that."""

    errno = errno.ENOTSUP


class NoAttribute(PacificaFSError):
    """There is no extended attribute of that name."""

    errno = errno.ENODATA


class Unreachable(PacificaFSError):
    """An outage: the server cannot be reached, or something between answers for it. Try again later."""

    errno = errno.EHOSTDOWN


class WaitTimeout(PacificaFSError):
    """A wait reached its deadline; the work goes on and a later try may find it done."""

    errno = errno.ETIMEDOUT


class TooBusy(PacificaFSError):
    """So many requests wait already that one more is refused at once."""

    errno = errno.EBUSY


class BadAnswer(PacificaFSError):
    """The server answered something that its contract does not allow."""


class Unobtainable(BadAnswer):
    """The archive was asked several times and cannot give out this file; to ask again at once is no use."""


class Unverified(Unobtainable):
    """The archive lists the file, but has no copy of it that it verified (yet)."""

    errno = errno.ENODATA


class Offline(Unobtainable):
    """The archive's copy is on tape; it is fetched from there only where that is asked for."""

    errno = errno.ENOMEDIUM


class Corrupt(PacificaFSError):
    """Bytes do not match the digest or the size that the archive claims."""


class Stale(PacificaFSError):
    """The file changed on the server since it was listed."""

    errno = errno.ESTALE


class NoSpace(PacificaFSError):
    """The disk or a configured limit is full."""

    errno = errno.ENOSPC


def to_errno(error: BaseException) -> int:
    """The errno that a program sees for `error`; EIO for what nobody foresaw."""
    if isinstance(error, PacificaFSError):
        return error.errno
    if isinstance(error, OSError) and error.errno not in (None, errno.EAGAIN):
        return error.errno
    return errno.EIO
