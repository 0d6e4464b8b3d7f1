"""What both halves of the contract use, and what a kind must say of itself."""

import hashlib
import time
import uuid
from typing import ClassVar

import pytest

from pacifica_fs.archive import Data, Waiting
from pacifica_fs.errors import Unreachable
from pacifica_fs.model import Bundle, BundleFile, Digest, Metadata

MTIME_NS = 1_577_934_245_123_456_789
"""The modification time of every file that the suite publishes."""

KEYS = (("Tag", "first"), ("Temp °C", "27"))


class Kind:
    """What the suite asks of a kind. `built` and `publish` are a must; the rest has a default.

    Fixtures may have any scope; `publish` may remember what it published before, since containers do not change.
    """

    fields: ClassVar = {}
    """Metadata fields that the archive accepts, for every bundle of the suite."""
    idempotent = True
    """Whether one bundle id sent twice is one container."""
    sizes_are_claims = False
    """Whether sizes are only what an uploader claimed. Then whether content is too short is for its digest to say."""
    time_step_ns = 1
    """The resolution of modification times; 0 where the files' times are not kept."""
    own_files: ClassVar = frozenset()
    """Paths of files that the archive itself adds to every container."""
    keeps_types = True
    """Whether the uploader's mime types are kept."""
    keeps_digests = True
    """Whether what was sent is listed with its digest."""
    many = 1000
    """How many files the large container has."""
    deadline = 60.0
    """Seconds that an ingest job or one read may take."""
    unknown_container = "987654321"
    also_unknown = "1234567"
    weird_ids = (
        "",
        ".",
        "..",
        "../1",
        "/etc",
        "0",
        "-1",
        "1/2",
        "１",
        "٣",
        "1 ",
        "01",
        "1e3",
        "0x1",
        "x" * 300,
        "a\0b",
        "\udcff",
    )
    bad_paths = ("", ".", "..", "../up", "a/../b", "/absolute", "a//b", "end/", "n" * 256, "d" * 256 + "/x", "a\0b")
    strange_paths = (
        "with space.txt",
        "été/данные/資料.csv",
        "a/b/c/d/e/f/deep",
        "-rf",
        "#hash?query=1&x=%41",
        ".hidden",
        "~",
        "quote'\"`$(x).txt",
        "n" * 255,
        "ü" * 127,
    )

    @pytest.fixture
    def built(self):
        """The `Built` of this kind."""
        raise NotImplementedError

    @pytest.fixture
    def publish(self, built):
        """publish({path: bytes}) → the id of a new container with these files, all of time MTIME_NS."""
        raise NotImplementedError

    @pytest.fixture
    def outage(self):
        """outage() → a context manager in which no server of `built` can be reached."""
        pytest.skip("this kind cannot be stopped here")

    @pytest.fixture
    def damage(self):
        """damage(ref) makes the archive's copy of a file shorter, or takes it away."""
        pytest.skip("this kind's content cannot be damaged here")

    @pytest.fixture
    def held(self):
        """held() → what the archive has prepared or opened for readers, as a list that is empty at rest."""
        return list

    def listing(self, archive, container):
        """The files of a container, without the archive's own."""
        return [ref for ref in archive.files(container) if path_of(ref) not in self.own_files]

    @pytest.fixture
    def archive(self, built):
        return built.archive

    @pytest.fixture
    def inbox(self, built):
        if built.inbox is None:
            pytest.skip("this archive takes no uploads")
        return built.inbox

    @pytest.fixture
    def bundle(self, built, inbox, tmp_path):
        """bundle({path: bytes}) → a Bundle of new files that this archive accepts."""

        def make(files, **changes):
            changes.setdefault("metadata", Metadata(self.fields, KEYS))
            return make_bundle(tmp_path, built.archive.name, inbox.hash, files, **changes)

        return make


def make_bundle(folder, archive, algorithm, files, **changes):
    """A Bundle of `files` (path → bytes), whose sources are made below `folder`."""
    sources = folder / uuid.uuid4().hex
    sources.mkdir()
    made = []
    for number, (path, data) in enumerate(files.items()):
        source = sources / str(number)
        source.write_bytes(data)
        digest = Digest(algorithm, hashlib.new(algorithm, data).hexdigest())
        made.append(BundleFile(path, len(data), MTIME_NS, digest, source, "text/plain"))
    values = {"id": str(uuid.uuid4()), "name": "suite", "created_ns": time.time_ns(), "metadata": Metadata({}, KEYS)}
    return Bundle(archive=archive, files=tuple(made), **(values | changes))


def upload(built, bundle, deadline):
    """Send a bundle and wait until it is a container, whose id is returned."""
    return finished(built.inbox, built.inbox.send(bundle, lambda sent: None, lambda: None), deadline).container


def finished(inbox, ticket, deadline):
    """The Progress of a job once it has an outcome."""
    end = time.monotonic() + deadline
    while not (progress := inbox.poll(ticket)).outcome:
        assert time.monotonic() < end, f"the job is still {progress} after {deadline} s"
        time.sleep(0.05)
    return progress


def read(archive, files, start=0, attempt=0):
    """The bytes of each of `files`, and that they arrived as the contract says: in order, gapless, none twice."""
    found = [bytearray() for _ in files]
    begin = {}
    for arrival in archive.open(files, start=start, attempt=attempt):
        if isinstance(arrival, Waiting):
            assert arrival.reason
            continue
        assert isinstance(arrival, Data)
        data = found[arrival.index]
        first = begin.setdefault(arrival.index, arrival.offset)
        assert first == start or first == 0, "content begins where it was asked for, or at 0"
        assert arrival.offset == first + len(data)
        data += arrival.data
        assert first + len(data) <= files[arrival.index].size
    for index, file in enumerate(files):
        assert begin.get(index, file.size if start else 0) + len(found[index]) == file.size, "a silent end"
    return [bytes(data[start - begin.get(index, start) :]) for index, data in enumerate(found)]


def same_or_unreachable(call, before):
    """During an outage a call fails as an outage, or gives what it gave before."""
    try:
        found = call()
    except Unreachable as error:
        assert str(error)
    else:
        assert found == before


def path_of(ref):
    return "/".join(ref.parts)
