import hashlib
import io
import tarfile

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.pacifica.archive import build
from pacifica_fs.config import parse
from pacifica_fs.model import Bundle, BundleFile, Digest, FileRef, Metadata
from pacifica_fs.transport.http import Http


class FakeClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.time = 1_700_000_000.0

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def http(clock):
    from pacifica_fs.archives.pacifica.services import judge

    return lambda base: Http(base, clock=clock, judge=judge)


@pytest.fixture
def site(clock, tmp_path):
    """`site(policy=…, cart=…)`: the kind, built of these options."""

    def make(name="emsl", **options):
        table = {"kind": "pacifica", "user": "bkim", **options}
        settings = parse({"archives": {name: table}}, ("test.toml",)).archives[0]
        return build(settings, Effects(clock=clock, state=tmp_path, cache=tmp_path))

    return make


@pytest.fixture
def ref():
    """A FileRef of `content`."""

    def make(content=b"hello", id="7", **changes):
        fields = {
            "archive": "emsl",
            "container": "67",
            "id": id,
            "parts": ("a", "b.txt"),
            "size": len(content),
            "mtime_ns": 0,
            "digest": Digest("sha1", hashlib.sha1(content).hexdigest()),
        }
        return FileRef(**(fields | changes))

    return make


@pytest.fixture
def tar():
    """`tar({"c/7": b"hello"})` as cartd makes it: a directory entry first, PAX."""

    def make(files, format=tarfile.PAX_FORMAT, folder="c"):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=format) as archive:
            if folder:
                directory = tarfile.TarInfo(folder)
                directory.type = tarfile.DIRTYPE
                archive.addfile(directory)
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(content), 1795224013.25
                archive.addfile(member, io.BytesIO(content))
        return out.getvalue()

    return make


@pytest.fixture
def bundle(tmp_path):
    """`bundle({"a/b.txt": b"hello"}, project=…)`."""

    def make(files=None, keys=(), native=(), id="b-1", created_ns=0, **fields):
        entries = []
        for number, (path, content) in enumerate((files or {}).items()):
            source = tmp_path / f"source{number}"
            source.write_bytes(content)
            digest = Digest("sha1", hashlib.sha1(content).hexdigest())
            entries.append(BundleFile(path, len(content), 1_577_934_245_700_000_000, digest, source, "text/plain"))
        fields = {"submitter": "102", "project": "51001", "instrument": "2001"} | fields
        metadata = Metadata({k: v for k, v in fields.items() if v is not None}, tuple(keys), tuple(native))
        return Bundle(id, "emsl", "n", tuple(entries), metadata, created_ns)

    return make
