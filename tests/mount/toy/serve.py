"""Serves the toy: `serve.py MOUNTPOINT WORK [--stubborn] [--many N] [--option O]…`."""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from content import MIB, Content  # noqa: E402
from tree import Down, DropFolder, Fixed, Remote, Symlink, Virtual, counts  # noqa: E402

from pacifica_fs.errors import PacificaFSError  # noqa: E402
from pacifica_fs.mount.session import Announcement, MountOptions, serve  # noqa: E402

KIND_SIZES = {
    "complete": 4 * MIB + 123, "complete-fresh": MIB, "complete-direct": MIB, "memory": 3 * MIB + 5,
    "memory-direct": 3 * MIB + 5, "fails": 4 * MIB, "fails-direct": 4 * MIB, "again": 4 * MIB, "again-direct": 4 * MIB,
    "slow": MIB, "bug": MIB, "short": MIB, "empty": 0, "becomes": 4 * MIB,
}  # fmt: skip
NAMES = ["with space", "ünïcödé ☃", "x" * 255, "new\nline", os.fsdecode(b"bad \xff\xfe byte"), "back\\slash,comma"]


def build(arguments, counted, content):
    files = {name: Remote(name, size, counted) for name, size in KIND_SIZES.items()}
    blocked = [f"blocked{i}" for i in range(310)] + [f"blocked-direct{i}" for i in range(310)]
    files |= {name: Remote(name, 4 * MIB, counted) for name in blocked}
    many = {f"file{i:05}.dat": Remote(f"complete{i}", 4096, counted) for i in range(arguments.many)}
    names = {name: Remote("memory-" + name, 10, counted) for name in NAMES}
    big = {"complete-big": Remote("complete-big", arguments.big, counted)} if arguments.big else {}

    def numbers():
        return json.dumps({**counted, "waiting": content.waiting}).encode() + b"\n"

    def release():
        content.let_go.set()
        return b"let go\n"

    status = {
        "counts": Virtual("counts", numbers),
        "release": Virtual("release", release),
        "lines": Virtual("lines", lambda: b"".join(b"line %d of the status\n" % i for i in range(10000))),
    }
    drop = Path(arguments.work, "drop")
    drop.mkdir(exist_ok=True)
    return Fixed(
        "root",
        {
            "files": Fixed("files", files, counted),
            "names": Fixed("names", names, counted),
            "many": Fixed("many", many, counted),
            "big": Fixed("big", big, counted),
            "down": Down("down", {}, counted),
            "status": Fixed("status", status, counted),
            "links": Fixed("links", {"counts": Symlink()}, counted),
            "drop": DropFolder(drop),
        },
        counted,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mountpoint")
    parser.add_argument("work")
    parser.add_argument("--stubborn", action="store_true", help="on_stop does not wake blocked readers")
    parser.add_argument("--fail", choices=["init", "ready"])
    parser.add_argument("--many", type=int, default=50)
    parser.add_argument("--big", type=int, default=0)
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--allow-other", action="store_true")
    arguments = parser.parse_args()
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, filename=Path(arguments.work, "log"))
    announcement = Announcement.from_environment()
    blobs = Path(arguments.work, "blobs")
    blobs.mkdir(exist_ok=True)
    counted = counts()
    content = Content(blobs, counted)

    def trouble(when):
        if arguments.fail == when:
            raise RuntimeError(f"trouble at {when}")

    try:
        serve(
            build(arguments, counted, content),
            content,
            Path(arguments.mountpoint),
            MountOptions(
                uid=os.getuid(),
                gid=os.getgid(),
                fsname="toy, a, fs",
                allow_other=arguments.allow_other,
                extra=tuple(arguments.option),
            ),
            on_init=lambda: trouble("init"),
            on_ready=lambda: (trouble("ready"), announcement.ready()),
            on_stop=lambda: None if arguments.stubborn else content.stopped.set(),
        )
    except (PacificaFSError, RuntimeError) as error:
        announcement.failed(str(error))
        print(error, file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
