"""Which files are fetched before they are asked for: the decisions."""

import random

import pytest

from pacifica_fs.content.readahead import AHEAD, FIRST, SMALL, Pace, Scan
from pacifica_fs.model import FileRef


def refs(number, size=1000):
    return tuple(FileRef("emsl", "67", f"f{n:04}", (f"f{n:04}",), size, 0) for n in range(number))


def ids(found):
    return [int(ref.id[1:]) for ref in found]


def test_two_files_in_order_are_a_scan_and_one_is_not():
    scan = Scan([refs(100)])
    assert scan.opened("f0010", 0.0) is None
    head = scan.opened("f0011", 0.0)
    assert head is not None and (head.at, head.streak) == (11, 2)
    assert scan.opened("f0050", 0.0) is None
    assert scan.opened("nosuch", 0.0) is None


def test_the_order_that_the_program_follows_is_found():
    listed = refs(100)
    other = tuple(sorted(listed, key=lambda ref: random.Random(ref.id).random()))
    scan = Scan([listed, other])
    head = None
    for ref in other[:6]:
        head = scan.opened(ref.id, 0.0)
    assert head is not None and head.order == 1
    assert scan.next(head, 5) == list(other[6:11])


def test_a_random_reader_is_no_scan():
    scan, chance = Scan([refs(10_000)]), random.Random(1)
    assert not any(scan.opened(f"f{chance.randrange(10_000):04}", 0.0) for _ in range(100))


@pytest.mark.parametrize("seen", [[0, 2, 3, 6, 7], [0, 1, 3, 2, 5, 4, 6, 7], [0, 0, 1, 1, 7 - 3, 5, 6, 7]])
def test_files_left_out_and_workers_that_share_do_not_hide_it(seen):
    scan = Scan([refs(100)])
    heads = [scan.opened(f"f{n:04}", 0.0) for n in seen]
    assert heads[-1] is not None and heads[-1].at == 7
    assert ids(scan.next(heads[-1], 3))[-1] >= 8


def test_two_programs_in_one_container_are_told_apart():
    scan = Scan([refs(1000)])
    for n in range(5):
        one, two = scan.opened(f"f{n:04}", 0.0), scan.opened(f"f{n + 500:04}", 0.0)
    assert one is not two
    assert (ids(scan.next(one, 2)), ids(scan.next(two, 2))) == ([5, 6], [505, 506])


def test_batches_grow_and_never_give_a_file_twice():
    scan = Scan([refs(200)])
    scan.opened("f0000", 0.0)
    head = scan.opened("f0001", 0.0)
    batches = [scan.batch(head, 0.03, 64) for _ in range(6)]
    assert [len(batch) for batch in batches] == [FIRST, 8, 16, 32, 64, 64]
    assert [n for batch in batches for n in ids(batch)] == list(range(2, 190))
    assert [len(scan.batch(head, 0.03, 64)) for _ in range(2)] == [10, 0]


def test_a_slow_archive_gets_small_batches():
    scan = Scan([refs(200)])
    scan.opened("f0000", 0.0)
    head = scan.opened("f0001", 0.0)
    assert [len(scan.batch(head, 0.5, 64)) for _ in range(3)] == [FIRST, 6, 6]
    pace = Pace()
    for _ in range(10):
        pace.learn(8.0, 16)
    assert 0.45 < pace.per_file < 0.5


def test_no_more_bytes_are_ahead_than_they_may():
    scan = Scan([refs(100, AHEAD // 8)])
    scan.opened("f0000", 0.0)
    head = scan.opened("f0001", 0.0)
    assert ids(scan.next(head, 50)) == list(range(2, 10))
    assert scan.next(head, 50) == []
    scan.opened("f0002", 0.0)
    assert ids(scan.next(head, 50)) == [10]


def test_large_files_are_passed_over():
    order = [*refs(3), FileRef("emsl", "67", "big", ("big",), SMALL + 1, 0), *refs(10)[4:]]
    scan = Scan([order])
    scan.opened("f0000", 0.0)
    head = scan.opened("f0001", 0.0)
    assert ids(scan.next(head, 3)) == [2, 4, 5]


def test_the_window_grows_with_the_scan():
    scan = Scan([refs(1000)])
    widths, head = [], None
    for n in range(40):
        head = scan.opened(f"f{n:04}", 0.0)
        if head is not None:
            scan.window(head, 16)
            widths.append(head.ahead - head.at - 1)
    assert widths[0] == 4 and max(widths) == widths[-1] == 32


def test_many_jumps_do_not_make_many_heads():
    scan = Scan([refs(10_000)])
    for n in range(0, 10_000, 50):
        scan.opened(f"f{n:04}", float(n))
    head = scan.opened("f9951", 1e6)
    assert head is not None and head.at == 9951
