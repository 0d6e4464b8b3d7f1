"""Sets of intervals, plans, and byte ranges of large files."""

import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacifica_fs.archive import Capabilities
from pacifica_fs.content.content import Caching
from pacifica_fs.content.plan import FAR, JUMPS, WINDOW, Demand, Plan, patience, plan, redirected
from pacifica_fs.content.ranges import Ranges
from pacifica_fs.errors import Corrupt
from tests.unit.content.content_fakes import MIB, Background, FakeArchive, Stream, pattern, read_all, settle, until

INTERVALS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair))))


@given(INTERVALS, st.integers(0, 80), st.integers(0, 80))
def test_ranges_are_a_set_of_bytes(intervals, start, end):
    ranges, model = Ranges(), set()
    for low, high in intervals:
        ranges.add(low, high)
        model |= set(range(low, high))
        spans = list(ranges)
        assert {n for low, high in spans for n in range(low, high)} == model
        assert all(one[1] < two[0] for one, two in pairwise(spans)), "disjoint and joined"
    assert ranges.total == len(model)
    assert ranges.end == max(model, default=-1) + 1
    assert ranges.covers(start, end) == (set(range(start, end)) <= model)
    reach = ranges.reach(start)
    assert set(range(start, reach)) <= model and reach not in model
    assert {n for low, high in ranges.gaps(start, end) for n in range(low, high)} == set(range(start, end)) - model
    ranges.clear()
    assert (ranges.total, ranges.end, list(ranges)) == (0, 0, [])


def having(*spans):
    ranges = Ranges()
    for low, high in spans:
        ranges.add(low, high)
    return ranges


BIG = 100 * FAR


@pytest.mark.parametrize(
    "ranges, demands, jumps, can_range, expected",
    [
        (having(), [], 0, True, Plan(0, None)),
        (having((0, BIG)), [], 0, True, None),
        (having((0, BIG)), [], 0, False, None),
        (having((0, 5)), [Demand(50 * FAR, 50 * FAR + 1, False)], 0, False, Plan(0, None)),
        (having((0, 5)), [Demand(10, 20, False)], 0, True, Plan(5, None)),
        (having((0, 5), (50, BIG)), [], 0, True, Plan(5, 50)),
        (having(), [Demand(50 * FAR, 50 * FAR + 1, False)], 0, True, Plan(50 * FAR, 50 * FAR + WINDOW, True)),
        (having(), [Demand(BIG - 9, BIG, False)], 0, True, Plan(BIG - 9, None, True)),
        (having(), [Demand(BIG - 9, BIG, True)], 0, True, Plan(0, None)),
        (having((0, 10)), [], 3, True, None),
        (having((0, 10)), [Demand(20, 30, False)], 3, True, Plan(20, 20 + WINDOW)),
        (
            having((0, 10), (50 * FAR, 51 * FAR)),
            [Demand(51 * FAR, 51 * FAR + 9, False)],
            3,
            True,
            Plan(51 * FAR, 53 * FAR),
        ),
        (having((0, 10)), [], patience(BIG), True, Plan(10, None)),
        (having((0, 10)), [Demand(50 * FAR, 50 * FAR + 1, False)], patience(BIG), True, Plan(10, None)),
    ],
)
def test_plans(ranges, demands, jumps, can_range, expected):
    assert plan(ranges, BIG, demands, jumps, can_range) == expected


def test_streams_are_left_for_what_is_far_only():
    near, far, whole = Demand(FAR, FAR + 1, False), Demand(9 * FAR, 9 * FAR + 1, False), Demand(BIG - 1, BIG, True)
    assert not redirected(0, having(), [], 0)
    assert not redirected(0, having(), [near], 0)
    assert redirected(0, having(), [far], 0)
    assert not redirected(0, having(), [near, far], 0), "first who is near"
    assert not redirected(0, having((9 * FAR, 10 * FAR)), [far], 0), "it is there"
    assert not redirected(0, having(), [far, whole], 0), "somebody needs all"
    assert not redirected(0, having(), [far], JUMPS)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 60),
    INTERVALS,
    st.lists(st.tuples(st.integers(0, 59), st.integers(1, 9), st.booleans())),
    st.integers(0, JUMPS),
)
def test_following_plans_always_ends_with_the_demands_met(size, intervals, wanted, jumps):
    ranges = Ranges()
    for low, high in intervals:
        ranges.add(min(low, size), min(high, size))
    demands = [Demand(start, min(size, start + length), whole) for start, length, whole in wanted if start < size]
    for _ in range(200):
        chosen = plan(ranges, size, demands, jumps, True)
        if chosen is None:
            break
        assert not ranges.covers(chosen.start, chosen.start + 1), "asks for what is missing"
        ranges.add(chosen.start, min(size, chosen.stop or size))
        jumps += chosen.jump
    else:
        raise AssertionError("endless")
    for demand in demands:
        assert ranges.covers(0, size) if demand.whole else ranges.covers(demand.start, demand.end)


SIZE = 64 * MIB


@pytest.fixture(scope="module")
def data():
    return pattern(SIZE)


@pytest.fixture
def ranged():
    archive = FakeArchive(capabilities=Capabilities(instant=True, ranges=True))
    archive.chunk = MIB
    return archive


def test_a_read_far_inside_does_not_fetch_the_whole(make, ranged, data):
    """Byte ranges when the first read of a large file starts far inside; marked `partial`."""
    content = make(archives={"emsl": ranged})
    ref = ranged.add(data)
    reader = content.open(ref, "/a")
    assert reader.read(1000, 40 * MIB) == data[40 * MIB :][:1000]
    settle(content)
    assert ranged.opens == [("f0", 40 * MIB, 0)]
    assert content.usage()["partial"] < 10 * MIB
    assert content.state(ref) == "partial"
    assert reader.fd == -1
    assert reader.read(1000, 40 * MIB + 5000) == data[40 * MIB + 5000 :][:1000]
    assert len(ranged.opens) == 1
    reader.close()


def test_a_larger_file_than_the_limit_is_never_filled_by_scattered_reads(make, ranged, data):
    content = make(archives={"emsl": ranged}, limit=32 * MIB)
    ref = ranged.add(data)
    ranged.chunk = 64 * 1024
    reader = content.open(ref, "/a")
    for n in range(12):
        at = (24 + n * 13 % 36) * MIB + 17
        assert reader.read(100, at) == data[at : at + 100]
        settle(content)
    assert content.state(ref) == "partial"
    reader.close()


def test_sequential_after_a_jump_is_verified(make, ranged, data):
    """A program that reads a file from start to end without an error has the archive's bytes, whatever others read."""
    content = make(archives={"emsl": ranged})
    ref = ranged.add(data)
    reader = content.open(ref, "/a")
    assert reader.read(10, 30 * MIB) == data[30 * MIB :][:10]
    assert read_all(content, ref, "/b") == data
    settle(content)
    assert content.state(ref) == "cached"
    reader.close()


def test_bytes_of_a_range_are_judged_with_the_whole(make, ranged, data):
    """Bytes once handed out from a range are never written over: a program that reads all gets an error for them."""
    content = make(archives={"emsl": ranged})
    ref = ranged.add(data)
    stream = Stream().data(b"\0" * 40 * MIB + b"x" * MIB, 40 * MIB, 41 * MIB)
    ranged.script = [stream]
    reader = content.open(ref, "/a")
    assert reader.read(10, 40 * MIB) == b"x" * 10
    with pytest.raises(Corrupt):
        read_all(content, ref, "/a")
    with pytest.raises(Corrupt):
        reader.read(10, 40 * MIB)
    reader.close()
    reader = content.open(ref, "/a")
    assert reader.caching is Caching.FRESH
    reader.close()
    assert read_all(content, ref, "/a") == data


def test_the_end_is_read_alone_and_nobody_finds_its_pages(make, ranged, data):
    """The unverified end of a file (a zip's directory) is given to its only reader, whose pages nobody else may use."""
    content = make(archives={"emsl": ranged})
    ref = ranged.add(data)
    reader = content.open(ref, "/a")
    assert reader.read(22, SIZE - 22) == data[-22:]
    assert content.usage()["partial"] < MIB
    other = content.open(ref, "/a")
    assert other.caching is Caching.DIRECT
    other.close()
    reader.close()
    settle(content)
    other = content.open(ref, "/a")
    assert other.caching is Caching.FRESH
    other.close()


def test_the_end_is_verified_where_two_have_the_file_open(make, ranged, data):
    content = make(archives={"emsl": ranged})
    ref = ranged.add(data)
    one, two = content.open(ref, "/a"), content.open(ref, "/a")
    assert one.read(22, SIZE - 22) == data[-22:]
    assert content.state(ref) == "cached"
    for reader in (one, two):
        reader.close()


def test_somebody_who_opens_while_the_end_is_waited_for_makes_it_wait_for_all(make, ranged, data):
    content = make(archives={"emsl": ranged})
    ref = ranged.add(data)
    let = threading.Event()

    def late(ref, start, attempt):
        let.wait(10)
        yield from ranged.stream(ref, start, attempt)

    ranged.script = [late]
    one = content.open(ref, "/a")
    end = Background(lambda: one.read(22, SIZE - 22))
    until(lambda: ranged.opens)
    two = content.open(ref, "/a")
    assert two.caching is Caching.KEEP
    let.set()
    assert end.result() == data[-22:]
    assert content.state(ref) == "cached", "it was verified first"
    for reader in (one, two):
        reader.close()


def test_a_broken_range_continues_where_it_broke(make, ranged, data):
    from pacifica_fs.errors import Unreachable

    content = make(archives={"emsl": ranged})
    ref = ranged.add(data)
    ranged.script = [Stream().data(data, 0, 10 * MIB).put(Unreachable("broken"))]
    assert read_all(content, ref) == data
    assert [start for _, start, _ in ranged.opens] == [0, 10 * MIB]


def test_scattered_reads_of_a_large_file_fetch_little_and_the_whole_only_once_they_go_on(make, ranged, data):
    """scattered reads fetch windows without the whole file, and switch to filling it when they go on"""
    content = make(archives={"emsl": ranged})
    ranged.chunk = 128 * 1024
    ref = ranged.add(data)
    reader = content.open(ref, "/a")
    places = [(n * 37 + 11) % 61 * MIB + 700_000 for n in range(30)]
    for place in places:
        assert reader.read(4096, place) == data[place : place + 4096]
        settle(content)
    assert content.usage()["partial"] <= 30 * 128 * 1024
    for place in ((n * 41 + 7) % 61 * MIB + 3000 for n in range(30)):
        assert reader.read(4096, place) == data[place : place + 4096]
    until(lambda: content.state(ref) == "cached")
    reader.close()


def test_a_program_that_reads_on_somewhere_inside_needs_few_requests(make, ranged, data):
    content = make(archives={"emsl": ranged})
    ranged.chunk = 128 * 1024
    ref = ranged.add(data)
    reader = content.open(ref, "/a")
    for place in range(30 * MIB, 50 * MIB, 128 * 1024):
        assert reader.read(128 * 1024, place) == data[place : place + 128 * 1024]
    reader.close()
    assert len(ranged.opens) <= 12
