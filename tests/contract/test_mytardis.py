"""The kind `mytardis` passes the contract, against a server that answers as real ones were seen to."""

import itertools
import time
from contextlib import contextmanager
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.mytardis.archive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from tests.servers.mytardis import FakeTardis

from .suite import MTIME_NS, ArchiveContract

NAIVE = datetime.fromtimestamp(MTIME_NS // 1000 / 1e6, ZoneInfo("Australia/Melbourne")).replace(tzinfo=None).isoformat()


class TestMyTardisArchive(ArchiveContract):
    time_step_ns = 1000
    many = 1200
    switches = {}  # noqa: RUF012

    @pytest.fixture
    def tardis(self):
        with FakeTardis(**self.switches) as tardis:
            yield tardis

    @pytest.fixture
    def built(self, tardis, tmp_path):
        table = tardis.table(timeouts={"connect": "2s", "read": "10s"}, whole_dataset=10_000)
        settings = parse({"archives": {"tardis": table}}).archives[0]
        built = build(settings, Effects(SystemClock(), tmp_path / "state", tmp_path / "cache"))
        yield built
        built.archive.close()

    @pytest.fixture
    def publish(self, tardis):
        numbers = itertools.count(1)

        def publish(files):
            dataset = tardis.site.dataset(f"published {next(numbers)}", 1)
            for path, data in files.items():
                directory, _, name = path.rpartition("/")
                tardis.site.file(dataset.id, directory, name, data, time=NAIVE, sha512=len(data) % 2 == 0)
            return str(dataset.id)

        return publish

    @pytest.fixture
    def outage(self, tardis):
        @contextmanager
        def outage():
            tardis.down()
            try:
                yield
            finally:
                tardis.up()

        return outage

    @pytest.fixture
    def damage(self, tardis):
        def damage(ref):
            file = tardis.site.files[int(ref.id)]
            if ref.size > 100:
                file.sent = file.data[:-1]
            else:
                file.gone = True

        return damage

    @pytest.fixture
    def held(self, tardis):
        def held():
            """Downloads that are still sent a while after they were given back."""
            end = time.monotonic() + 10
            while tardis.open and time.monotonic() < end:
                time.sleep(0.01)
            return list(range(tardis.open))

        return held


class TestBehindNginx(TestMyTardisArchive):
    """A web server in front sends the bytes: parts of them, too."""

    switches = {"nginx": True}  # noqa: RUF012


class TestWithAnObjectStore(TestMyTardisArchive):
    """Bytes are elsewhere, where redirects lead to."""

    switches = {"redirect": True}  # noqa: RUF012

    @pytest.fixture
    def damage(self, tardis):
        pytest.skip("an object store sends objects whole")
