"""Names from servers are made safe once."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pacifica_fs.model import FileRef
from pacifica_fs.tree.names import arrange, safe_name, unique

raw_names = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        ["", ".", "..", "a/b", "a", "a~1", "a~2", "a~1~2", "x" * 300, "é" * 200, "n\0l", "\udcff", "a.json"]
    ),
)


def valid(name: str) -> bool:
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and "\0" not in name
        and len(name.encode("utf-8", "strict")) <= 255
    )


def flat(level, above=()):
    """(path, FileRef) of all files, and every level's names are valid and different (a mapping's keys are)."""
    found = []
    for name, item in level.items():
        assert valid(name), name
        found += [((*above, name), item)] if isinstance(item, FileRef) else flat(item, (*above, name))
    return found


def ref(id: str, *parts: str) -> FileRef:
    return FileRef("a", "1", id, parts, 1, 0)


@given(raw_names)
def test_every_name_becomes_valid_and_stays_so(raw):
    name = safe_name(raw)
    assert valid(name)
    assert safe_name(name) == name


def test_what_is_safe_is_left_alone():
    for name in ("a", "with space", "日本語.txt", "x" * 255, "é" * 127, "-dash", "...", "~"):
        assert safe_name(name) == name


def test_long_names_differ_and_keep_their_extension():
    one, two = safe_name("x" * 300 + "a.tif"), safe_name("x" * 300 + "b.tif")
    assert one != two and one.endswith(".tif") and len(one) == 255


def test_the_same_path_twice_and_a_file_beside_a_folder():
    arranged = arrange([ref("1", "a", "x"), ref("2", "a", "x"), ref("3", "a"), ref("4", "b")])
    assert sorted(path for path, _ in flat(arranged)) == [("a", "x~1"), ("a", "x~2"), ("a~3",), ("b",)]


def test_names_cannot_escape():
    """Server-sent names cannot escape the tree."""
    for path, _ in flat(arrange([ref("1", "..", "..", "etc", "passwd"), ref("2", "p/q"), ref("3", ".."), ref("4")])):
        assert all(valid(part) for part in path)


@given(st.lists(st.lists(raw_names, min_size=1, max_size=3), max_size=12), st.randoms())
def test_arranging_loses_nothing_and_does_not_depend_on_order(paths, rng: random.Random):
    files = [ref(str(number), *parts) for number, parts in enumerate(paths)]
    found = flat(arrange(files))
    assert sorted(file.id for _, file in found) == sorted(file.id for file in files)
    shuffled = list(files)
    rng.shuffle(shuffled)
    assert sorted((p, f.id) for p, f in flat(arrange(shuffled))) == sorted((p, f.id) for p, f in found)


@given(st.lists(raw_names, unique=True, max_size=12), st.randoms())
def test_unique_names(raws, rng: random.Random):
    names = unique(raws, ("a",))
    assert len(set(names)) == len(names) and "a" not in names
    assert all(valid(name) for name in names)
    mixed = list(zip(raws, names, strict=True))
    rng.shuffle(mixed)
    assert unique([raw for raw, _ in mixed], ("a",)) == [name for _, name in mixed]
