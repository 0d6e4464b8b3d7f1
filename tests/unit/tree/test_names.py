"""Whatever a server calls its files, the tree shows each of them once, under a name that Linux takes."""

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from pacifica_fs.model import Digest, FileRef
from pacifica_fs.tree.names import arrange, safe_entries, safe_name

# Few letters, so that names collide often, also with the names that a collision makes.
raw_names = st.one_of(
    st.sampled_from(
        ["a", "b", "a~1", "a~2", "a~1~2", "b~1", "..", ".", "", "/", "_", "__", "a/b", "a_b", "a\0b", "x" * 300]
    ),
    st.text(alphabet="ab~12/.\0", max_size=6),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=300),
    st.text(alphabet="é√𝄞", min_size=60, max_size=140),
)
ids = st.sampled_from(["1", "2", "3", "1~2", "", "/", "i" * 100])


def ref(id="1", *parts, size=0):
    return FileRef("here", "7", id, parts, size, 0)


refs = st.lists(
    st.builds(
        lambda id, parts, size: ref(id, *parts, size=size), ids, st.lists(raw_names, max_size=3), st.integers(0, 2)
    ),
    max_size=12,
)


def valid(name):
    return 0 < len(name.encode()) <= 255 and name not in (".", "..") and not set("/\0") & set(name)


def flat(tree, above=()):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, (*above, name))
        else:
            yield (*above, name), value


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_a_safe_name_is_valid_and_is_its_own(raw):
    name = safe_name(raw)
    assert valid(name)
    assert safe_name(name) == name
    assert safe_name(raw) == name


def test_what_is_safe_stays_as_it_is():
    for name in ("a", "with space", ".hidden", "...", "été√", "x" * 255, "é" * 127, "new\nline", "~"):
        assert safe_name(name) == name


def test_what_is_not_safe():
    assert safe_name("") == "_"
    assert safe_name(".") == "_"
    assert safe_name("..") == "__"
    assert safe_name("../../etc/passwd") == ".._.._etc_passwd"
    assert safe_name("a\0b") == "a_b"
    assert safe_name("a\udcffb\ud800") == "a\ufffdb\ufffd"


def test_a_long_name_keeps_its_extension_and_differs_from_its_neighbour():
    one, two = (safe_name("spectrum-" * 40 + end) for end in ("1.hdf5", "2.hdf5"))
    assert one != two
    assert one.startswith("spectrum-") and one.endswith(".hdf5")
    assert len(one.encode()) == 255
    assert len(safe_name("é" * 200).encode()) in (254, 255)
    assert len(safe_name("x." + "y" * 400).encode()) == 255
    assert len(safe_name("." + "y" * 400).encode()) == 255


@given(refs)
def test_every_file_is_shown_once_under_valid_names(files):
    tree = arrange(files)
    shown = list(flat(tree))
    assert all(valid(part) for path, _ in shown for part in path)
    assert {file for _, file in shown} == set(files)
    assert len(shown) == len(set(files))


@given(refs, st.randoms(use_true_random=False))
def test_the_order_of_the_listing_does_not_matter(files, random: random.Random):
    shuffled = files.copy()
    random.shuffle(shuffled)
    assert arrange(files) == arrange(shuffled)


@given(refs)
def test_depth_and_folders_are_the_archives(files):
    for path, file in flat(arrange(files)):
        assert len(path) == max(1, len(file.parts))
        assert path[:-1] == tuple(safe_name(part) for part in file.parts[:-1])


@given(refs)
def test_a_file_without_a_rival_has_its_own_name(files):
    def wish(file):
        return tuple(safe_name(part) for part in file.parts or (file.id,))

    wishes = [wish(file) for file in set(files)]
    folders = {wish(file)[:depth] for file in files for depth in range(1, len(file.parts))}
    for path, file in flat(arrange(files)):
        if wishes.count(wish(file)) == 1 and wish(file) not in folders:
            assert path == wish(file)
        else:
            assert path != wish(file) and "~" in path[-1]


def test_two_files_of_one_path_carry_their_ids():
    one, two = ref("11", "d", "a.txt"), ref("12", "d", "a.txt")
    assert arrange([one, two]) == {"d": {"a.txt~11": one, "a.txt~12": two}}
    assert arrange([one, one, ref("11", "d", "a.txt")]) == {"d": {"a.txt": one}}


def test_a_file_and_a_folder_of_one_name():
    file, inside = ref("11", "h"), ref("12", "h", "x")
    assert arrange([file, inside]) == {"h": {"x": inside}, "h~11": file}


def test_a_generated_name_never_takes_a_real_one():
    one, two, real = ref("1", "a"), ref("2", "a"), ref("3", "a~1")
    assert arrange([one, two, real]) == {"a~1": real, "a~1~2": one, "a~2": two}
    folder = ref("4", "a~2", "x")
    assert arrange([one, two, folder]) == {"a~1": one, "a~2~2": two, "a~2": {"x": folder}}


def test_names_that_become_the_same():
    slash, line = ref("1", "a/b"), ref("2", "a_b")
    assert arrange([slash, line]) == {"a_b~1": slash, "a_b~2": line}
    assert arrange([ref("1", "a/b", "x"), ref("2", "a_b", "y")]) == {
        "a_b": {"x": ref("1", "a/b", "x"), "y": ref("2", "a_b", "y")}
    }


def test_long_rivals_fit():
    files = [ref(id, "x" * 255) for id in ("1", "2", "i" * 300)]
    assert all(len(name.encode()) == 255 for name in arrange(files))
    assert len(arrange(files)) == 3


@given(st.lists(st.tuples(ids, raw_names), max_size=12), st.sets(st.sampled_from(["README.txt", "a", "a~1"])))
def test_folders_of_groups(pairs, taken):
    names = safe_entries(pairs, taken)
    assert all(valid(name) for name in names)
    assert not set(names) & taken
    assert sorted(names.values()) == sorted(id for id, _ in set(pairs))
    assert safe_entries(pairs[::-1], taken) == names
    for id, title in pairs:
        assert id in names.values()
        wish = safe_name(title or id)
        if [safe_name(title or id) for id, title in set(pairs)].count(wish) == 1 and wish not in taken:
            assert names[wish] == id


def test_groups_by_title_or_id():
    assert safe_entries([("54", "NMR"), ("55", ""), ("56", "MS"), ("57", "MS")]) == {
        "NMR": "54", "55": "55", "MS~56": "56", "MS~57": "57",
    }  # fmt: skip
    assert safe_entries([("1", "README.txt")], taken=["README.txt"]) == {"README.txt~1": "1"}
    assert list(safe_entries([("3", ""), ("2", ""), ("10", "")])) == ["3", "2", "10"]


def test_twenty_thousand_files_take_no_time():
    digest = Digest("sha1", "0" * 40)
    files = [
        FileRef("here", "7", f"7-{n}", (f"run{n % 20}", f"scan-{n:06d}.raw"), n, n, digest, None, "text/plain")
        for n in range(20_000)
    ]
    best = min(_seconds(files) for _ in range(5))
    assert best < 0.06


def _seconds(files):
    begin = time.process_time()
    assert len(arrange(files)) == 20
    return time.process_time() - begin
