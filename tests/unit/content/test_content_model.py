"""Random histories against an oracle: whatever happens, a program gets the archive's bytes or an error."""

import hashlib
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pacifica_fs.archive import Capabilities, Data, Waiting
from pacifica_fs.content import blob as blob_module
from pacifica_fs.content import plan as plan_module
from pacifica_fs.content.content import Caching, Content, ReadPolicy
from pacifica_fs.errors import BadAnswer, Corrupt, PacificaFSError, Unreachable
from tests.unit.content.content_fakes import Clock, FakeArchive, settle

LIMIT = 40_000
PAGE = 512
SIZES = (1, 700, 5_000, 12_000, 60_000)


class Kernel:
    """The kernel's page caches, as far as they can be wrong: one for each path, filled by reads of open files."""

    def __init__(self):
        self.pages = {}

    def open(self, reader, path):
        if reader.caching is Caching.FRESH or path not in self.pages:
            self.pages[path] = {}

    def read(self, reader, path, start, stop):
        """Bytes as a program sees them through its path's pages."""
        out = []
        for number in range(start // PAGE, (stop + PAGE - 1) // PAGE):
            pages = self.pages[path] if reader.caching is not Caching.DIRECT else {}
            if number not in pages:
                pages[number] = reader.read(PAGE, number * PAGE)
                assert len(pages[number]) == min(PAGE, max(0, reader.size - number * PAGE))
            out.append(pages[number])
        return b"".join(out)


class History(RuleBasedStateMachine):
    """Opens, reads, failing fetches, wrong bytes, truncation, eviction, restart, corruption on disk."""

    @initialize(ranges=st.booleans(), instant=st.booleans(), verified=st.booleans(), seed=st.integers(0, 2**32))
    def begin(self, ranges, instant, verified, seed):
        self.random = random.Random(seed)
        self.root = Path(tempfile.mkdtemp())
        self.small = pytest.MonkeyPatch()
        for module, names in ((blob_module, ("HOLD", "FAR")), (plan_module, ("FAR", "WINDOW"))):
            for name in names:
                self.small.setattr(module, name, 1024)
        self.scattered = set()
        self.ranges = ranges
        self.clock = Clock()
        self.archive = FakeArchive(capabilities=Capabilities(ranges=ranges, instant=instant, parallel=2))
        self.archive.stream = self.stream
        self.trouble = "none"
        self.policy = ReadPolicy("verified" if verified else "progressive", 600)
        self.refs = []
        for n, size in enumerate(SIZES):
            self.refs.append(self.archive.add(self.random.randbytes(size), algorithm=("sha1", "sha256")[n % 2]))
        self.kernel = Kernel()
        self.open = []
        self.content = self.fresh()

    def fresh(self):
        content = Content(self.root, LIMIT, {"emsl": self.archive}, {"emsl": self.policy}, self.clock)
        content.start()
        return content

    def stream(self, ref, start, attempt):
        """What the archive does, as `trouble` says."""
        data = bytearray(self.archive.contents[ref.id])
        trouble = self.trouble if self.random.random() < 0.7 else "none"
        if trouble == "down":
            raise Unreachable("down")
        if trouble == "wrong":
            data[self.random.randrange(len(data))] ^= 255
        end = len(data)
        if trouble == "truncated":
            end = self.random.randrange(start, len(data))
        offset = start
        while offset < end:
            if self.random.random() < 0.1:
                yield Waiting("a pause")
            size = self.random.choice((100, 512, 3000, 10_000))
            yield Data(0, offset, bytes(data[offset : min(offset + size, end)]))
            offset += size
        if end < len(data):
            if self.random.random() < 0.5:
                return
            raise self.random.choice((Unreachable, BadAnswer))("cut")

    @rule(trouble=st.sampled_from(["none", "none", "down", "wrong", "truncated"]))
    def weather(self, trouble):
        self.trouble = trouble

    @rule(file=st.integers(0, len(SIZES) - 1), path=st.integers(0, 1))
    def open_file(self, file, path):
        if len(self.open) < 6:
            ref = self.refs[file]
            path = f"/{file}/{path}"
            reader = self.content.open(ref, path)
            assert reader.size == ref.size
            self.kernel.open(reader, path)
            self.scattered.discard(id(reader))
            self.open.append((reader, ref, path))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 5), where=st.floats(0, 1), length=st.sampled_from([1, 700, 4000]))
    def read_some(self, which, where, length):
        """Without wrong bytes about, also what a scattered read gets is right."""
        reader, ref, path = self.open[which % len(self.open)]
        start = int(where * ref.size)
        self.scattered.add(id(reader))
        try:
            self.kernel.read(reader, path, start, min(ref.size, start + length))
        except PacificaFSError as error:
            assert self.trouble != "none" or isinstance(error, (Corrupt, Unreachable, BadAnswer))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 5))
    def read_all(self, which):
        """A program that reads a file from start to end without an error has the archive's bytes.

        Range reads are not covered: a handle that read here and there before, from an archive with ranges.
        """
        reader, ref, path = self.open[which % len(self.open)]
        if self.ranges and id(reader) in self.scattered:
            return
        try:
            got = self.kernel.read(reader, path, 0, ref.size)
        except PacificaFSError:
            return
        assert got == self.archive.contents[ref.id]

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 5))
    def close_file(self, which):
        self.open.pop(which % len(self.open))[0].close()

    @rule(seconds=st.sampled_from([1, 10, 70]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule(file=st.integers(0, len(SIZES) - 1))
    def evict(self, file):
        self.content.evict(self.refs[file])

    @rule()
    def restart(self):
        """Survives restarts: and the kernel starts anew with it."""
        for reader, _, _ in self.open:
            reader.close()
        self.open.clear()
        self.content.close()
        self.kernel = Kernel()
        self.content = self.fresh()

    @rule(size=st.booleans())
    def corrupt_the_disk(self, size):
        """A file cut short is found by itself; other damage by `verify`."""
        settle(self.content)
        files = [path for path in (self.root / "complete").rglob("*") if path.is_file()]
        if not files:
            return
        path = self.random.choice(sorted(files))
        try:
            if size:
                os.truncate(path, path.stat().st_size // 2)
                return
            with path.open("r+b") as stream:
                byte = stream.read(1)
                stream.seek(0)
                stream.write(bytes([(byte or b"0")[0] ^ 255]))
        except FileNotFoundError:
            return  # just evicted
        for ref in self.refs:
            self.content.verify(ref)

    @rule()
    def all_is_well_in_the_end(self):
        """The content is fetched anew: once the archive is right again, everything can be read."""
        for reader, _, _ in self.open:
            reader.close()
        self.open.clear()
        self.trouble = "none"
        settle(self.content)
        self.clock.advance(70)
        for file, ref in enumerate(self.refs):
            for _ in range(3):
                path = f"/{file}/0"
                reader = self.content.open(ref, path)
                self.kernel.open(reader, path)
                try:
                    got = self.kernel.read(reader, path, 0, ref.size)
                    break
                except Corrupt:
                    continue  # bytes of an earlier, wrong stream were still there: they are gone now
                finally:
                    reader.close()
            assert got == self.archive.contents[ref.id]

    @invariant()
    def complete_blobs_are_right_in_number(self):
        usage = self.content.usage()
        assert usage["waiting"] == 0
        assert usage["size"] >= 0 and usage["partial"] >= 0

    def teardown(self):
        if not hasattr(self, "content"):
            return
        try:
            settle(self.content)
            for reader, _, _ in self.open:
                reader.close()
            self.check_disk()
        finally:
            self.content.close()
            self.small.undo()
            shutil.rmtree(self.root)

    def check_disk(self):
        """What is left on disk is right, and within the limit."""
        total = 0
        for path in (self.root / "complete").rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                total += len(data)
                if len(data) == int(path.name.rpartition(".")[2]):
                    assert hashlib.sha1(data).hexdigest() in {
                        hashlib.sha1(one).hexdigest() for one in self.archive.contents.values()
                    }


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
