"""Names of blobs, page caches, corruption: the pure parts."""

from hypothesis import given
from hypothesis import strategies as st

from pacifica_fs.content import keys
from pacifica_fs.content.corruption import STRIKES, Corruption
from pacifica_fs.content.pages import Caching, Pages
from pacifica_fs.model import Digest, FileRef
from tests.unit.content.content_fakes import Clock


def ref(**changes):
    fields = {"archive": "emsl", "container": "67", "id": "1", "parts": ("a",), "size": 3, "mtime_ns": 0, **changes}
    return FileRef(**fields)


@given(st.text(), st.text(), st.text(), st.text(), st.one_of(st.none(), st.text()), st.integers(0, 2**60))
def test_names_are_safe_whatever_a_server_says(id, algorithm, value, identity, validator, size):
    """Server-sent names cannot escape."""
    digest = Digest(algorithm, value)
    name = keys.name(keys.key(ref(id=id, digest=digest, validator=validator), identity), size)
    assert keys.parse(name) == name
    assert "/" not in name and len(name.encode()) < 256
    assert keys.split(name)[1] == size
    assert name.partition("-")[2].startswith(keys.folder(name)) and len(keys.folder(name)) == 2


def test_what_is_the_same_content():
    """The digest where it is sha256 or stronger; else archive and digest, else archive, id and validator.

    Never shared between identities.
    """
    strong, weak = Digest("sha256", "ab" * 32), Digest("sha1", "ab" * 20)
    key = keys.key
    for who in ("me", "anonymous"):
        assert key(ref(digest=strong), who) == key(ref(digest=strong, archive="other", id="2"), who)
    assert len({key(ref(digest=strong), who) for who in ("me", "you", "anonymous")}) == 3
    assert key(ref(digest=weak), "me") == key(ref(digest=weak, id="2"), "me")
    assert key(ref(digest=weak), "me") != key(ref(digest=weak, archive="other"), "me")
    assert key(ref(digest=weak), "me") != key(ref(digest=weak), "you")
    assert key(ref(validator="1"), "me") == key(ref(validator="1"), "me")
    different = [ref(validator="1"), ref(validator="2"), ref(id="2", validator="1"), ref(container="8", validator="1")]
    assert len({key(one, "me") for one in different}) == 4


def test_pages_of_a_path():
    pages = Pages()
    assert [pages.open("/a", "x") for _ in range(2)] == [Caching.KEEP, Caching.KEEP]
    pages.spoil("x")
    assert pages.open("/new", "x") is Caching.KEEP
    assert [pages.open("/a", "x") for _ in range(2)] == [Caching.FRESH, Caching.KEEP]
    assert [pages.open("/a", "y") for _ in range(2)] == [Caching.FRESH, Caching.KEEP]
    pages.direct("/a")
    assert [pages.open("/a", "y") for _ in range(2)] == [Caching.FRESH, Caching.KEEP]


def test_forgetting_errs_towards_fresh():
    """Memory is bounded."""
    pages = Pages(limit=3)
    for n in range(3):
        assert pages.open(f"/{n}", "x") is Caching.KEEP
    pages.spoil("x")
    assert pages.open("/3", "x") is Caching.FRESH
    assert pages.open("/3", "x") is Caching.KEEP
    assert pages.open("/0", "x") is Caching.FRESH
    assert pages.open("/unknown", "x") is Caching.FRESH
    assert pages.open("/unknown", "x") is Caching.KEEP
    for n in range(10):
        pages.spoil(f"blob {n}")
        assert len(pages._generations) <= 3
    assert pages.open("/unknown", "x") is Caching.FRESH


def test_corruption():
    clock = Clock()
    corruption = Corruption(clock)
    assert [corruption.strike("a") for _ in range(STRIKES)] == [False] * (STRIKES - 1) + [True]
    assert corruption.condemned("a") and not corruption.condemned("b")
    clock.advance(60.1)
    assert not corruption.condemned("a")
    assert corruption.strikes("a") == 0
    corruption.strike("a")
    assert corruption.strikes("a") == 1
    corruption.clear("a")
    assert corruption.strikes("a") == 0
    assert corruption.size("k", 5) == 5
    corruption.resize("k", 7)
    assert corruption.size("k", 5) == 7
