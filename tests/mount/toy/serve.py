"""Serves the toy, called as `pacifica-fs mount` is; what it needs is beside the configuration, which it ignores."""

from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import logging
import os
import sys
import time
from pathlib import Path

from pacifica_fs.archive import Data, Waiting
from pacifica_fs.clock import SystemClock
from pacifica_fs.errors import ConfigError, PacificaFSError
from pacifica_fs.model import UNKNOWN, FileRef
from pacifica_fs.mount.session import MountOptions, failed, serve
from pacifica_fs.tree.spooled import SpooledFile, Spooling

from .content import MIB, Content
from .tree import Down, DropFolder, Fixed, Remote, Symlink, Virtual

KIND_SIZES = {
    "complete": 4 * MIB + 123, "complete-fresh": MIB, "complete-direct": MIB, "memory": 3 * MIB + 5,
    "memory-direct": 3 * MIB + 5, "fails": 4 * MIB, "fails-direct": 4 * MIB, "again": 4 * MIB, "again-direct": 4 * MIB,
    "slow": MIB, "bug": MIB, "short": MIB, "empty": 0, "becomes": 4 * MIB,
}  # fmt: skip
NAMES = ["with space", "ünïcödé ☃", "x" * 255, "new\nline", os.fsdecode(b"bad \xff\xfe byte"), "back\\slash,comma"]


EXPORT = b"".join(b"%d,row\n" % number for number in range(100_000))


class Exports:
    """An archive whose files have no size before they were read."""

    def open(self, files, *, start=0, attempt=0):
        yield Waiting("it is made")
        for at in range(0, len(EXPORT), 70_000):
            yield Data(0, at, EXPORT[at : at + 70_000])


def build(arguments, counted, content, drop):
    files = {name: Remote(name, size) for name, size in KIND_SIZES.items()}
    blocked = [f"blocked{i}" for i in range(310)] + [f"blocked-direct{i}" for i in range(310)]
    files |= {name: Remote(name, 4 * MIB) for name in blocked}
    many = {f"file{i:05}.dat": Remote(f"complete{i}", 4096) for i in range(arguments.many)}
    names = {name: Remote("memory-" + name, 10) for name in NAMES}
    ref = FileRef("toy", "67", "export", ("export.csv",), UNKNOWN, 1_500_000_000_000_000_000)
    exports = {"export.csv": SpooledFile(ref, Spooling(Exports(), SystemClock(), drop.with_name("reading"), 10))}
    big = {"complete-big": Remote("complete-big", arguments.big)} if arguments.big else {}

    def numbers():
        return json.dumps({**counted, "waiting": content.waiting}).encode() + b"\n"

    def release():
        content.tell(content.let_go)
        return b"let go\n"

    status = {
        "counts": Virtual("counts", numbers),
        "release": Virtual("release", release),
        "lines": Virtual("lines", lambda: b"".join(b"line %d of the status\n" % i for i in range(10000))),
    }
    drop.mkdir(exist_ok=True)
    return Fixed(
        "root",
        {
            "files": Fixed("files", files),
            "exports": Fixed("exports", exports),
            "names": Fixed("names", names),
            "many": Fixed("many", many),
            "big": Fixed("big", big),
            "down": Down("down", {}),
            "status": Fixed("status", status),
            "links": Fixed("links", {"counts": Symlink()}),
            "drop": DropFolder(drop),
        },
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["mount"])
    parser.add_argument("mountpoint")
    parser.add_argument("-c", dest="config", required=True)
    parser.add_argument("-f", "-v", action="store_true", dest="ignored")
    parser.add_argument("--stop", choices=["wakes", "ignores", "hangs"], default="wakes", help="what on_stop does")
    parser.add_argument("--fail", choices=["init", "ready"])
    parser.add_argument("--many", type=int, default=50)
    parser.add_argument("--big", type=int, default=0)
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--allow-other", action="store_true")
    arguments = parser.parse_args()
    work = Path(arguments.config).parent
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO)
    blobs = work / "blobs"
    blobs.mkdir(exist_ok=True)
    counted = collections.Counter()
    content = Content(blobs, counted)

    def trouble(when):
        if arguments.fail == when:
            raise ConfigError(f"trouble at {when}")

    def stop():
        print("stopping", flush=True)
        if arguments.stop == "wakes":
            content.tell(content.stopped)
        while arguments.stop == "hangs":
            time.sleep(1)

    try:
        serve(
            build(arguments, counted, content, work / "drop"),
            content,
            Path(arguments.mountpoint),
            MountOptions(
                uid=os.getuid(),
                gid=os.getgid(),
                fsname="toy, a \\ fs",
                allow_other=arguments.allow_other,
                extra=tuple(arguments.option),
            ),
            on_init=lambda: trouble("init"),
            on_ready=lambda: trouble("ready"),
            on_stop=stop,
            requests=counted,
        )
    except PacificaFSError as error:
        failed(str(error))
        print(error, file=sys.stderr)
        sys.exit(3)
    print("served", flush=True)


if __name__ == "__main__":
    main()
