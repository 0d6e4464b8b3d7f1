"""Programs that read many files, one after the other: the next ones are there before they are asked for."""

import threading

import pytest

from pacifica_fs.archive import Capabilities, Data, Waiting
from pacifica_fs.errors import BadAnswer, Corrupt
from tests.unit.content.content_fakes import FakeArchive, pattern, read_all, settle, until


class Among:
    key = ("emsl", "67")

    def __init__(self, refs):
        self.refs = tuple(refs)
        self.asked = 0

    def orders(self):
        self.asked += 1
        return (self.refs,)


class Carts(FakeArchive):
    """Stages files together; `wrong` are ids whose first batch is spoilt by them."""

    def __init__(self, batch=32, **more):
        super().__init__(capabilities=Capabilities(batch=batch, parallel=8), **more)
        self.batches = []
        self.break_after = None
        self.spoilt = set()
        self.hold = threading.Event()
        self.hold.set()

    def open(self, files, *, start=0, attempt=0):
        self.batches.append([ref.id for ref in files])
        yield Waiting("staging", "http://cart", 1)
        while not self.hold.wait(0.02):
            yield Waiting("staging", "http://cart", 2)
        for index, ref in enumerate(files):
            if len(files) > 1 and self.break_after == index:
                raise BadAnswer("the cart is in error")
            content = self.contents[ref.id]
            if len(files) > 1 and ref.id in self.spoilt:
                content = bytes(len(content))
            for offset in range(0, len(content), 700):
                yield Data(index, offset, content[offset : offset + 700])


def files(archive, number, size=1000):
    refs = [archive.add(pattern(size, n)) for n in range(number)]
    return refs, Among(refs)


def read(content, ref, among):
    reader = content.open(ref, f"/{ref.id}", among)
    try:
        return reader.read(ref.size, 0)
    finally:
        reader.close()


def test_a_scan_through_carts_needs_few_of_them(make):
    archive = Carts()
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 100)
    for n, ref in enumerate(refs):
        assert read(content, ref, among) == pattern(1000, n)
    assert ["f0"] in archive.batches and ["f1"] in archive.batches  # what is read now is not kept back by others
    # How many depends on how far the reader got while each was staged; never one each.
    assert len(archive.batches) <= 25 and among.asked == 1
    assert sorted(id for batch in archive.batches for id in batch) == sorted(ref.id for ref in refs)


def test_one_file_alone_fetches_no_other(make):
    archive = Carts()
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 100)
    read(content, refs[50], among)
    read(content, refs[50], among)
    settle(content)
    assert archive.batches == [["f50"]] and among.asked == 0


def test_two_batches_are_under_way_and_shown(make):
    archive = Carts()
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 100)
    read(content, refs[0], among)
    archive.hold.clear()
    reader = content.open(refs[1], "/1", among)
    until(lambda: len(archive.batches) == 4)
    assert sorted(len(batch) for batch in archive.batches) == [1, 1, 4, 8]
    shown = {one["file"]: one for one in content.downloads()}
    assert shown["f2"]["waiting_for"] == "staging" and shown["f2"]["readers"] == 0
    archive.hold.set()
    reader.close()


def test_a_batch_in_error_falls_back_to_single_files(make):
    archive = Carts()
    archive.break_after = 1
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 12)
    for n, ref in enumerate(refs):
        assert read(content, ref, among) == pattern(1000, n)
    assert len({id for batch in archive.batches if len(batch) == 1 for id in batch}) >= 3


def test_a_wrong_file_in_a_batch_is_fetched_again_by_itself_and_right(make):
    archive = Carts()
    archive.spoilt = {"f3"}
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 12)
    for n, ref in enumerate(refs):
        assert read(content, ref, among) == pattern(1000, n)
    assert ["f3"] in archive.batches


def test_a_reader_in_a_batch_that_stays_wrong_gets_an_error_and_the_others_their_bytes(make):
    archive = Carts()
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 12)
    archive.contents["f5"] = bytes(1000)
    for n, ref in enumerate(refs):
        if n == 5:
            with pytest.raises(Corrupt):
                read(content, ref, among)
        else:
            assert read(content, ref, among) == pattern(1000, n)


def test_what_is_cached_is_not_fetched_again(make):
    archive = Carts()
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 40)
    for ref in refs:
        read(content, ref, among)
    settle(content)
    before = len(archive.batches)
    for ref in refs:
        read(content, ref, among)
    assert len(archive.batches) == before


def test_a_scan_that_stops_lets_its_batches_go(make, clock):
    archive = Carts()
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 100)
    read(content, refs[0], among)
    archive.hold.clear()
    content.open(refs[1], "/1", among).close()
    until(lambda: len(archive.batches) == 4)
    clock.advance(60)
    until(lambda: not content.downloads())
    assert len(archive.batches) == 4
    archive.hold.set()


def test_closing_does_not_wait_for_batches(make):
    archive = Carts()
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 100)
    read(content, refs[0], among)
    archive.hold.clear()
    content.open(refs[1], "/1", among).close()
    until(lambda: len(archive.batches) == 4)
    content.close()
    until(lambda: not content.downloads())


def test_an_instant_archive_is_asked_for_several_at_once(make):
    archive = FakeArchive(capabilities=Capabilities(instant=True, parallel=4))
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 60)
    gate = threading.Event()

    def slow(ref, start, attempt):
        gate.wait(5)
        yield from archive.stream(ref, start, attempt)

    read(content, refs[0], among)
    archive.script = [slow] * 3
    reader = content.open(refs[1], "/1", among)
    until(lambda: archive.running >= 3)
    gate.set()
    assert reader.read(1000, 0) == pattern(1000, 1)
    reader.close()
    for n, ref in enumerate(refs[2:], 2):
        assert read(content, ref, among) == pattern(1000, n)
    assert archive.most <= 4 and len(archive.opens) == 60


def test_what_is_ahead_never_pushes_out_what_is_open(make):
    archive = FakeArchive(capabilities=Capabilities(instant=True, parallel=4))
    content = make(archives={"emsl": archive}, limit=100_000)
    refs, among = files(archive, 60, 20_000)
    held = content.open(refs[0], "/0", among)
    assert held.read(20_000, 0) == pattern(20_000, 0)
    for n, ref in enumerate(refs[1:], 1):
        assert read(content, ref, among) == pattern(20_000, n)
    assert held.read(20_000, 0) == pattern(20_000, 0)
    assert [id for id, _, _ in archive.opens].count("f0") == 1
    held.close()


def test_files_that_are_read_whole_in_any_order_are_right(make):
    archive = Carts()
    content = make(archives={"emsl": archive})
    refs, _ = files(archive, 10)
    assert [read_all(content, ref, f"/{ref.id}") for ref in reversed(refs)] == [
        pattern(1000, n) for n in reversed(range(10))
    ]


def test_an_instant_archive_that_gathers_is_asked_for_batches(make):
    archive = Carts()
    archive.capabilities = Capabilities(batch=32, parallel=8, instant=True, gathers=True)
    content = make(archives={"emsl": archive})
    refs, among = files(archive, 100)
    for n, ref in enumerate(refs):
        assert read(content, ref, among) == pattern(1000, n)
    assert len(archive.batches) < 20 and max(map(len, archive.batches)) > 8
