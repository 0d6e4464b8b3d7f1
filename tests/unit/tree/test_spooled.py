"""Files whose size nobody knows before they were read."""

import os
import threading

import pytest

from pacifica_fs.archive import Data, Waiting
from pacifica_fs.clock import SystemClock
from pacifica_fs.errors import NoSpace, ReadOnly, Unreachable, WaitTimeout
from pacifica_fs.model import UNKNOWN, FileRef
from pacifica_fs.tree.spooled import SpooledFile, Spooling

REF = FileRef("toy", "67", "1", ("table.csv",), UNKNOWN, 7, mime_type="text/csv")
TEXT = b"".join(b"%d,line\n" % number for number in range(20_000))


class Source:
    def __init__(self, arrivals):
        self.arrivals = arrivals
        self.opened = self.closed = 0

    def open(self, files, *, start=0, attempt=0):
        assert files == (REF,)
        self.opened += 1
        try:
            for arrival in self.arrivals:
                if isinstance(arrival, Exception):
                    raise arrival
                yield arrival
        finally:
            self.closed += 1


def pieces(data=TEXT, size=10_000):
    return [Data(0, at, data[at : at + size]) for at in range(0, len(data), size)]


def file_of(source, tmp_path, wait=5.0):
    return SpooledFile(REF, Spooling(source, SystemClock(), tmp_path / "reading", wait))


def test_any_offset_in_any_order_of_one_stream(tmp_path):
    source = Source([Waiting("it is made"), *pieces()])
    file = file_of(source, tmp_path)
    assert file.attributes().size == 0 and file.xattrs()["user.mime_type"] == b"text/csv"
    handle = file.open(os.O_RDONLY)
    assert handle.direct and source.opened == 0
    assert handle.read(100, 50_000) == TEXT[50_000:50_100]
    assert handle.attributes().size == 0
    assert handle.read(len(TEXT) + 1, 0) == TEXT
    assert handle.attributes().size == len(TEXT)
    assert handle.read(10, len(TEXT)) == b""
    assert handle.read(10, 0) == TEXT[:10]
    assert (source.opened, source.closed) == (1, 1)
    handle.release()
    assert list((tmp_path / "reading").iterdir()) == []


def test_each_open_has_a_stream_of_its_own(tmp_path):
    source = Source(pieces())
    file = file_of(source, tmp_path)
    one, two = file.open(os.O_RDONLY), file.open(os.O_RDONLY)
    assert one.read(10, 0) == two.read(10, 0)
    one.release()
    assert source.opened == 2 and source.closed == 1
    assert two.read(len(TEXT), 0) == TEXT
    two.release()


def test_an_empty_file(tmp_path):
    handle = file_of(Source([]), tmp_path).open(os.O_RDONLY)
    assert handle.read(4096, 0) == b""
    handle.release()


def test_what_broke_off_is_an_error_to_the_end_and_never_a_shorter_file(tmp_path):
    source = Source([*pieces()[:2], Unreachable("it broke off")])
    handle = file_of(source, tmp_path).open(os.O_RDONLY)
    assert handle.read(20_000, 0) == TEXT[:20_000]
    for _ in range(2):
        with pytest.raises(Unreachable):
            handle.read(20_000, 20_000)
    assert source.opened == source.closed == 1
    handle.release()


def test_a_read_has_a_deadline_and_a_later_one_goes_on(tmp_path):
    source = Source([Waiting("it is made"), *pieces()])
    handle = file_of(source, tmp_path, wait=0).open(os.O_RDONLY)
    with pytest.raises(WaitTimeout, match="it is made"):
        handle.read(10, 0)
    assert handle.read(10, 0) == TEXT[:10]
    handle.release()


def test_who_reads_what_has_arrived_waits_for_nobody(tmp_path):
    go = threading.Event()

    class Slow(Source):
        def open(self, files, *, start=0, attempt=0):
            yield Data(0, 0, b"begin")
            go.wait(30)
            yield Data(0, 5, b"end")

    handle = file_of(Slow([]), tmp_path).open(os.O_RDONLY)
    assert handle.read(5, 0) == b"begin"
    waiting = threading.Thread(target=handle.read, args=(3, 5))
    waiting.start()
    assert handle.read(5, 0) == b"begin"
    go.set()
    waiting.join(30)
    assert handle.read(8, 0) == b"beginend"
    handle.release()


def test_it_is_not_written(tmp_path):
    file = file_of(Source([]), tmp_path)
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
        with pytest.raises(ReadOnly):
            file.open(flags)


def test_no_room_is_an_error_of_the_read(tmp_path):
    (tmp_path / "reading").write_text("in the way")
    handle = file_of(Source(pieces()), tmp_path).open(os.O_RDONLY)
    with pytest.raises(NoSpace):
        handle.read(10, 0)
    handle.release()
