"""Whatever the library fsspec knows: `s3`, `ftp`, `sftp`, `gs`, … The extra `fsspec` installs it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import Denied, PacificaFSError, Unobtainable, Unreachable
from ..failures import shown
from .contract import Delivery, OneByOne, Remote

MIB = 2**20
# What reads this machine's disks, or wraps another protocol that may: a server must not be able to name those.
_LOCAL = """
    file local asynclocal dir cached blockcache filecache simplecache reference zip tar libarchive generic git dvc dask
    jupyter jlab async_wrapper asyncwrapper pyscript
"""
LOCAL = frozenset(_LOCAL.split())


def known(protocol: str) -> bool:
    """Whether fsspec is installed and has `protocol`, which is not one that leads to this machine's own files."""
    if protocol in LOCAL:
        return False
    try:
        return protocol in importlib.import_module("fsspec").available_protocols()
    except ImportError:
        return False


class Fsspec(OneByOne):
    """One protocol of fsspec, with `options` for its file system (`{ anon = true }`)."""

    def __init__(self, protocol: str, options: Mapping[str, Any]) -> None:
        self._protocol = protocol
        self._options = dict(options)

    def download_datafile(self, file: Remote, start: int = 0) -> Delivery:
        """See Provider."""
        if "::" in file.url:
            raise Denied(f"{shown(file.url)}: addresses within addresses are not followed")
        where = shown(file.url)
        with _told(where):
            fsspec = importlib.import_module("fsspec")
            system_type = fsspec.get_filesystem_class(self._protocol)
            options = {**system_type._get_kwargs_from_urls(file.url), **self._options}
            system = system_type(**options)
            stream = system.open(
                system_type._strip_protocol(file.url), "rb", block_size=4 * MIB, cache_type="readahead"
            )
            if start:
                stream.seek(start)
            return FsspecStream(stream, where, start)


class FsspecStream:
    """See Opened."""

    validator = ""

    def __init__(self, stream: Any, where: str, start: int) -> None:
        self._stream = stream
        self._where = where
        self.start = start
        size = getattr(stream, "size", None)
        self.size: int | None = size if isinstance(size, int) else None

    def chunks(self) -> Iterator[bytes]:
        """See Opened."""
        while True:
            with _told(self._where):
                piece: bytes = self._stream.read(MIB)
            if not piece:
                return
            yield piece

    def close(self) -> None:
        """See Opened."""
        with _told(self._where):
            self._stream.close()


class _told:  # noqa: N801 - reads as a word of the `with` statement
    """Turns whatever an implementation raises into this program's errors."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, PacificaFSError) or not isinstance(error, Exception):
            return
        if isinstance(error, ImportError):
            raise Unobtainable(f"{self._where}: needs a Python package that is not installed: {error}") from error
        if isinstance(error, FileNotFoundError):
            raise Unobtainable(f"{self._where}: nothing is there") from error
        if isinstance(error, PermissionError):
            raise Denied(f"{self._where}: not permitted there") from error
        # Messages of libraries may hold an address with its password.
        raise Unreachable(f"{self._where}: {type(error).__name__}") from error
