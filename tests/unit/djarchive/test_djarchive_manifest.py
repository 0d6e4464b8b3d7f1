"""The manifest's text: what djarchive-client writes, and what it cannot read itself."""

import hashlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica_fs.archives.djarchive.manifest import format, parse
from pacifica_fs.errors import BadAnswer, Unreachable

SHA = hashlib.sha256(b"").hexdigest()


def read(text):
    return list(parse(text if isinstance(text, bytes) else text.encode(), "m"))


def test_the_clients_lines():
    assert read(f'"0","{SHA}","a"\n"12","{SHA}","sub/b.dat"\n') == [(0, SHA, "a"), (12, SHA, "sub/b.dat")]
    assert format([(0, SHA, "a")]) == f'"0","{SHA}","a"\n'.encode()


def test_nothing_is_a_revision_without_files():
    assert read("") == read("\n") == []


@pytest.mark.parametrize("path", ["a,b", 'say "hi"', '","', "with\nnewline", "été/資料", " spaces ", "a" * 300, "x\r"])
def test_paths_that_the_client_cannot_read(path):
    lines = [(1, SHA, path), (2, SHA, "next")]
    assert list(parse(format(lines), "m")) == lines


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), max_size=6))
def test_every_path_comes_back(paths):
    # Of a path that holds what looks like the end of its line and the beginning of the next nobody can tell.
    lines = [(number, SHA, path) for number, path in enumerate(paths) if "\n" not in path and path.strip("\r")]
    assert list(parse(format(lines), "m")) == lines


@pytest.mark.parametrize(
    "text",
    [
        f'"1","{SHA}","a"\r\n',
        f"1,{SHA},a\n",
        f'"1","{SHA.upper()}","a"',
        f'1, {SHA}, "a" \n',
        f'\ufeff"1","{SHA}","a"\n',
    ],
)
def test_other_spellings(text):
    assert read(text) == [(1, SHA, "a")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nonsense\n", 1),
        (f'"1","{SHA}","a"\n"x","{SHA}","b"\n', 2),
        (f'"1","{SHA[1:]}","a"\n', 1),
        (f'"1","{SHA}",""\n', 1),
        (f'"1","{SHA}"\n', 1),
        (f'"1","{SHA}","a\n"2","{SHA}","b"\n', 1),
        (f'"-1","{SHA}","a"\n', 1),
    ],
)
def test_what_is_no_line_is_named(text, line):
    with pytest.raises(BadAnswer, match=f"m, line {line}:"):
        read(text)


def test_a_login_page_in_its_place_is_an_outage():
    with pytest.raises(Unreachable, match="web page"):
        read("<!DOCTYPE html><html>…")


def test_bytes_that_are_not_utf8_are_kept_apart():
    first, second = read(b'"1","%s","\xff"\n"1","%s","\xfe"\n' % (SHA.encode(), SHA.encode()))
    assert first[2] != second[2]


def test_many_lines_take_little_more_than_their_text():
    text = "".join(f'"{n}","{SHA}","folder{n % 1000}/file{n:07}.dat"\n' for n in range(100_000)).encode()
    tracemalloc.start()
    assert sum(1 for _ in parse(text, "m")) == 100_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * len(text)
