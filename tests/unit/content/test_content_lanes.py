"""How many streams an archive is asked for, and who goes first."""

import threading

from pacifica_fs.archive import Capabilities, Data, Waiting
from pacifica_fs.content.flight import HELD
from tests.unit.content.content_fakes import MIB, Background, FakeArchive, Stream, pattern, read_all, until


def test_at_most_parallel_streams(make):
    archive = FakeArchive(capabilities=Capabilities(instant=True, parallel=2))
    content = make(archives={"emsl": archive})
    let = threading.Event()
    streaming = []
    most = []

    def slow(ref, start, attempt):
        data = archive.contents[ref.id]
        streaming.append(ref.id)
        most.append(len(streaming))
        yield Data(0, 0, data[:1])
        let.wait(10)
        streaming.remove(ref.id)
        yield Data(0, 1, data[1:])

    refs = [archive.add(pattern(1000, n)) for n in range(8)]
    archive.script = [slow] * 8
    reads = [Background(lambda ref=ref: read_all(content, ref, ref.id)) for ref in refs]
    until(lambda: content.usage()["waiting"] == 8)
    until(lambda: len(streaming) == 2)
    let.set()
    assert [read.result() for read in reads] == [archive.contents[ref.id] for ref in refs]
    assert max(most) == 2


def test_stuck_carts_do_not_hold_back_another_file(make):
    """One slow or dead server, cart or reader never blocks another file."""
    archive = FakeArchive(capabilities=Capabilities(parallel=2))
    content = make(archives={"emsl": archive})
    archive.script = [Stream() for _ in range(40)]
    stuck = [content.open(archive.add(pattern(1000, n)), f"/{n}") for n in range(40)]
    reads = [Background(lambda reader=reader: reader.read(1, 0)) for reader in stuck]
    until(lambda: len(archive.opens) == 40)
    other = archive.add(pattern(MIB))
    assert Background(lambda: read_all(content, other)).result(5) == archive.contents[other.id]
    content.close()
    for read, reader in zip(reads, stuck, strict=True):
        until(lambda read=read: read.done)
        reader.close()


def test_what_nobody_waits_for_is_staged_a_few_at_a_time(make):
    archive = FakeArchive(capabilities=Capabilities(parallel=2))
    content = make(archives={"emsl": archive})
    streams = [Stream() for _ in range(6)]
    archive.script = list(streams)
    data = [pattern(1000, n) for n in range(6)]
    readers = [content.open(archive.add(one), f"/{n}") for n, one in enumerate(data)]
    until(lambda: len(archive.opens) == 2)
    last = Background(lambda: readers[5].read(1000, 0))
    until(lambda: len(archive.opens) == 3)
    opened = [id for id, _, _ in archive.opens]
    assert {*opened[:2]} == {"f0", "f1"} and opened[2] == "f5"  # two threads: either may be the first
    streams[2].data(data[5], 0, 1000)
    assert last.result() == data[5]
    assert len(archive.opens) == 3
    streams[0].data(archive.contents[opened[0]], 0, 1000)
    until(lambda: len(archive.opens) == 4)
    assert archive.opens[-1][0] == "f2"
    for reader in readers:
        reader.close()


def test_files_that_were_closed_before_their_turn_are_not_fetched(make, clock):
    archive = FakeArchive(capabilities=Capabilities(parallel=1))
    content = make(archives={"emsl": archive})
    first = Stream()
    archive.script = [first]
    data = [pattern(1000, n) for n in range(3)]
    readers = [content.open(archive.add(one), f"/{n}") for n, one in enumerate(data)]
    until(lambda: len(archive.opens) == 1)
    readers[1].close()
    clock.advance(6)
    until(lambda: len(content.downloads()) == 2)
    first.data(data[0], 0, 1000)
    until(lambda: content.usage()["files"] == 2)
    assert [id for id, _, _ in archive.opens] == ["f0", "f2"]
    for reader in readers:
        reader.close()


def test_a_stalled_stream_gives_its_place_to_others(make, clock):
    archive = FakeArchive(capabilities=Capabilities(instant=True, parallel=1))
    content = make(archives={"emsl": archive})
    stall = threading.Event()
    one, two = pattern(MIB, 1), pattern(MIB, 2)

    def stalling(ref, start, attempt):
        yield Data(0, 0, one[:1000])
        stall.wait(10)
        yield Data(0, 1000, one[1000:])

    archive.script = [stalling]
    reader = content.open(archive.add(one), "/1")
    assert reader.read(10, 0) == one[:10]
    other = Background(lambda: read_all(content, archive.add(two), "/2"))
    until(lambda: content.usage()["waiting"])
    assert len(archive.opens) == 1
    clock.advance(3)
    assert other.result() == two
    stall.set()
    assert reader.read(MIB, 0) == one
    reader.close()


def test_a_dead_archive_does_not_hold_back_another(make):
    """One slow or dead server never blocks another file."""
    dead, alive = FakeArchive("dead"), FakeArchive("alive")
    content = make(archives={"dead": dead, "alive": alive})
    never = threading.Event()

    def hang(ref, start, attempt):
        never.wait(20)
        yield Waiting("never")

    dead.script = [hang] * 10
    readers = [content.open(dead.add(pattern(100, n)), f"/{n}") for n in range(10)]
    reads = [Background(lambda reader=reader: reader.read(1, 0)) for reader in readers]
    until(lambda: content.usage()["waiting"] == 10)
    ref = alive.add(pattern(1000))
    assert Background(lambda: read_all(content, ref)).result(5) == pattern(1000)
    content.close()
    never.set()
    for read, reader in zip(reads, readers, strict=True):
        until(lambda read=read: read.done)
        reader.close()


def busy(over, data):
    """A stream that delivers for ever, but slowly, as one of many gigabytes does."""

    def stream(ref, start, attempt):
        for offset in range(len(data)):
            if over.wait(0.02):
                return
            yield Data(0, offset, data[offset : offset + 1])

    return stream


def test_long_streams_do_not_keep_a_small_file_back_for_hours(make, clock):
    """Cold reads of other files go on: `parallel` orders them, it does not refuse them."""
    archive = FakeArchive(capabilities=Capabilities(instant=True, parallel=1))
    content = make(archives={"emsl": archive})
    over = threading.Event()
    long = archive.add(pattern(MIB, 1))
    archive.script = [busy(over, pattern(MIB, 1))]
    reader = content.open(long, "/long")
    assert len(reader.read(1, 0)) == 1
    small = archive.add(pattern(1000, 2))
    read = Background(lambda: read_all(content, small, "/small"))
    until(lambda: content.usage()["waiting"])
    assert len(archive.opens) == 1
    clock.advance(HELD)
    assert read.result(5) == pattern(1000, 2)
    over.set()
    reader.close()


def test_a_cart_that_is_ready_is_not_kept_back_by_long_streams(make, clock):
    archive = FakeArchive(capabilities=Capabilities(instant=True, parallel=1))
    content = make(archives={"emsl": archive})
    over = threading.Event()
    cart = Stream().put(Waiting("staging"))
    small, data = archive.add(pattern(1000, 2)), pattern(1000, 2)
    archive.script = [cart, busy(over, pattern(MIB, 1))]
    read = Background(lambda: read_all(content, small, "/small"))
    until(lambda: len(archive.opens) == 1 and content.downloads()[0]["waiting_for"] == "staging")
    reader = content.open(archive.add(pattern(MIB, 1)), "/long")
    assert len(reader.read(1, 0)) == 1
    cart.data(data, 0, 1000)
    until(lambda: content._fetcher._queues["emsl"].resuming == 1)
    assert not read.done
    clock.advance(HELD)
    assert read.result(5) == data
    over.set()
    reader.close()
