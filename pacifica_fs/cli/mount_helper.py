"""`mount.pacifica-fs`, as mount(8) calls it: for `mount -t pacifica-fs CONFIG DIR`, fstab and systemd's automount.

    mount.pacifica-fs SOURCE DIR [-sfnvN ARG] [-t TYPE] [-o OPTIONS]

SOURCE is the configuration file, or the address of an archive (KIND+https://…); `none`, `default` or `pacifica-fs`
stands for the default files.
"""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

import msgspec

from ..errors import ConfigError, PacificaFSError
from . import options
from .codes import Exit, Failed
from .mount import mount
from .outside import Outside

USAGE = "usage: mount.pacifica-fs CONFIG DIR [-sfnv] [-o OPTIONS]"
DEFAULTS = frozenset({"none", "default", "pacifica-fs"})


class Code(IntEnum):
    """The exit codes that mount(8) knows."""

    OK = 0
    USAGE = 1
    INTERRUPTED = 8
    FAILED = 32


def run(arguments: Sequence[str], outside: Outside) -> Code:
    """Do what mount(8) asks; errors go to standard error in its style."""
    try:
        given, positional = getopt.gnu_getopt(list(arguments), "sfnvhN:t:o:", ["help"])
    except getopt.GetoptError as error:
        return _complain(f"{error}\n{USAGE}", Code.USAGE)
    flags = {name for name, _ in given}
    if flags & {"-h", "--help"}:
        print(USAGE)
        return Code.OK
    if len(positional) != 2:
        return _complain(USAGE, Code.USAGE)
    source, folder = positional
    try:
        parsed = options.parse([value for name, value in given if name == "-o"], sloppy="-s" in flags)
        file = None if source in DEFAULTS or "://" in source else Path(source)
        if source not in DEFAULTS and parsed.config is not None:
            return _complain(f"{source}: the configuration is given twice; leave config= out", Code.USAGE)
        # The kernel must list the source as fstab has it, or `mount -a` mounts it twice.
        parsed = msgspec.structs.replace(parsed, fsname=parsed.fsname or source)
        if "-f" not in flags:
            url = source if "://" in source else ""
            verbosity = sum(name == "-v" for name, _ in given)
            mount(outside, file, Path(folder), parsed, verbosity=verbosity, source=url)
    except ConfigError as error:
        return _complain(str(error), Code.USAGE)
    except Failed as error:
        return _complain(str(error), Code.USAGE if error.code == Exit.USAGE else Code.FAILED)
    except PacificaFSError as error:
        return _complain(str(error), Code.FAILED)
    except OSError as error:
        return _complain(f"{error.filename or folder}: {error.strerror}", Code.FAILED)
    except KeyboardInterrupt:
        return Code.INTERRUPTED
    return Code.OK


def _complain(message: str, code: Code) -> Code:
    print(f"mount.pacifica-fs: {message}", file=sys.stderr)
    return code


def main() -> None:
    """The console script."""
    from .rooms import Rooms

    sys.exit(run(sys.argv[1:], Rooms(os.environ)))
