"""The least daemon that the harness takes for the product, with faults to order: `tiny.py mount -f -v -c CONFIG DIR`.

Its configuration's `[tiny] faults` may name: `slow` (mounts after half a second), `dies` (ends before it mounts),
`deaf` (ignores SIGTERM), `raises` (logs a traceback when it starts). Reading `stuck` never returns.
"""

import errno
import json
import os
import signal
import stat
import sys
import threading
import time
import tomllib

os.environ["FUSE_LIBRARY_NAME"] = "fuse3"

import mfusepy

FOLDERS = {"/": ["status", "stuck"], "/status": ["uploads", "downloads.json"], "/status/uploads": ["here"]}
FOLDERS |= {"/status/uploads/here": ["run"], "/status/uploads/here/run": ["status.json"]}
STATES = ["open", "sending", "done"]


class Tiny(mfusepy.Operations):
    use_ns = True

    def __init__(self):
        self.begun = time.monotonic()

    def content(self, path):
        if path == "/status/downloads.json":
            return b"[]"
        if path == "/status/uploads/here/run/status.json":
            state = STATES[min(int((time.monotonic() - self.begun) / 0.2), 2)]
            return json.dumps({"name": "run", "state": state}).ljust(60).encode()
        if path == "/stuck":
            return bytes(4096)
        raise mfusepy.FuseOSError(errno.ENOENT)

    def getattr(self, path, fh=None):
        if path in FOLDERS:
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": len(self.content(path))}

    def readdir(self, path, fh):
        return [".", "..", *FOLDERS[path]]

    def open(self, path, flags):
        return 0

    def read(self, path, size, offset, fh):
        if path == "/stuck":
            threading.Event().wait()
        return self.content(path)[offset : offset + size]


def main(config, directory):
    with open(config, "rb") as file:
        faults = tomllib.load(file).get("tiny", {}).get("faults", [])
    if "slow" in faults:
        time.sleep(0.5)
    if "raises" in faults:
        try:
            raise KeyError("of the tiny daemon")
        except KeyError:
            import traceback

            print("about to tell", flush=True)
            traceback.print_exc()
            print("told", flush=True)
    if "dies" in faults:
        sys.exit("tiny: cannot go on")
    if "deaf" in faults:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        mfusepy.FUSE(Tiny(), directory, foreground=True, fsname="tiny")
    except RuntimeError as end:  # how libfuse tells of a signal
        print("ended:", end)


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("-c") + 1], sys.argv[-1])
