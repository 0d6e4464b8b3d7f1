"""`search/`, and listings that are renewed by a cheap question."""

import pytest

from pacifica_fs.archive import Capabilities
from pacifica_fs.errors import Invalid, NotFound, Unreachable
from pacifica_fs.model import Container, Group, Listing, View
from pacifica_fs.service.follow import Follow
from pacifica_fs.tree.search import REMEMBERED, parse
from pacifica_fs.tree.views import ArchiveTree, walk

TERMS = {"project": "a project", "instrument": "an instrument", "after": "a day"}


class Clock:
    time = 1000.0

    def monotonic(self):
        return self.time

    now = monotonic

    def sleep(self, seconds):
        self.time += seconds


class Toy:
    name = kind = "toy"
    identity = "me"
    capabilities = Capabilities()
    views = (View("transactions"), View("search", terms=TERMS), View("open", where={"open": "yes"}))

    def __init__(self):
        self.requests = []
        self.found = ["2", "1"]
        self.versions = 0
        self.down = False

    def groups(self, dimension, where):
        return Listing((Group("p"),), True, "Yours only.")

    def containers(self, where, limit):
        self.requests.append(dict(where))
        if where.get("project") == "none":
            raise NotFound("no such project")
        return Listing(tuple(Container("toy", id, 5) for id in self.found))

    def container(self, id):
        raise NotFound(id)

    def version(self):
        self.versions += 1
        if self.down:
            raise Unreachable("down")
        return " ".join(self.found)


@pytest.fixture
def toy():
    return Toy()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tree(toy, clock):
    return ArchiveTree(toy, 60, 10, clock)  # type: ignore[arg-type]


def names(node):
    return [name for name, _ in node.entries()]


def test_a_question_in_any_order_is_one_question():
    assert parse("instrument=54,project=1234a", TERMS) == parse("project=1234a,instrument=54", TERMS)
    assert dict(parse("project=a%2Cb%2Fc%25=d", TERMS)) == {"project": "a,b/c%=d"}


@pytest.mark.parametrize("name", [".git", "project", "README"])
def test_what_is_no_question_does_not_exist(name):
    with pytest.raises(NotFound):
        parse(name, TERMS)


@pytest.mark.parametrize("name", ["projct=1", "project=", "=1", "project=1,", "project=1,project=2", "project=1,x"])
def test_what_cannot_be_answered_is_invalid_and_says_why(name):
    with pytest.raises(Invalid) as caught:
        parse(name, TERMS)
    assert str(caught.value)


def test_a_question_appears_when_it_is_looked_up(tree, toy):
    search = walk(tree.root(), "search")
    assert names(search) == ["README.txt"] and toy.requests == []
    found = walk(search, "project=1234a,after=2020-05-01")
    assert names(found) == ["2", "2.json", "1", "1.json"]
    assert toy.requests == [{"project": "1234a", "after": "2020-05-01"}]
    walk(search, "after=2020-05-01,project=1234a")
    assert len(toy.requests) == 1
    assert names(search) == ["README.txt", "project=1234a,after=2020-05-01", "after=2020-05-01,project=1234a"]


def test_an_unknown_value_does_not_exist_and_is_not_remembered(tree):
    search = walk(tree.root(), "search")
    with pytest.raises(NotFound):
        search.lookup("project=none")
    assert names(search) == ["README.txt"]


def test_few_questions_are_remembered(tree):
    search = walk(tree.root(), "search")
    for number in range(REMEMBERED + 5):
        search.lookup(f"project={number}")
    assert len(names(search)) == REMEMBERED + 1 and "project=4" not in names(search)


def test_the_readme_has_the_grammar(tree):
    text = walk(tree.root(), "search", "README.txt").render().decode()
    assert "ls toy/search/project=VALUE,instrument=VALUE" in text
    for term, meaning in TERMS.items():
        assert f"{term}=" in text and meaning in text


def test_a_view_with_a_condition(tree, toy):
    assert names(walk(tree.root(), "open"))[0] == "2"
    assert toy.requests == [{"open": "yes"}]


def test_while_nothing_changes_a_listing_is_not_asked_for_again(tree, toy, clock):
    folder = walk(tree.root(), "transactions")
    folder.entries()
    for _ in range(100):
        clock.sleep(5)
        folder.entries()
        assert tree.follow()
    # Once after the first question, whose answer may be newer than the listing.
    assert len(toy.requests) == 2


def test_a_change_is_seen_at_the_next_question(tree, toy, clock):
    folder = walk(tree.root(), "transactions")
    folder.entries()
    tree.follow()
    folder.entries()
    toy.found.insert(0, "3")
    assert names(folder)[0] == "2"
    clock.sleep(5)
    tree.follow()
    assert names(folder)[0] == "3"


def test_a_slow_site_is_not_asked_for_its_listings_again_and_again(tree, toy, clock):
    folder = walk(tree.root(), "transactions")
    folder.entries()
    answer = toy.version

    def slow():
        clock.sleep(15)
        return answer()

    toy.version = slow
    tree.follow()
    for _ in range(5):
        clock.sleep(5)
        folder.entries()
        tree.follow()
    assert len(toy.requests) == 2


def test_after_a_pause_only_a_change_is_a_reason_to_ask_anew(tree, toy, clock):
    folder = walk(tree.root(), "transactions")
    folder.entries()
    tree.follow()
    clock.sleep(1000)
    folder.entries()
    before = len(toy.requests)
    tree.follow()
    folder.entries()
    assert len(toy.requests) == before
    clock.sleep(1000)
    folder.entries()
    toy.found.insert(0, "3")
    tree.follow()
    assert names(folder)[0] == "3"


def test_an_event_is_not_waited_for_by_any_question(tree, toy, clock):
    """What an event's arrival calls: no time passes, and the archive is asked nothing but for the listing itself."""
    folder = walk(tree.root(), "transactions")
    folder.entries()
    toy.found.insert(0, "3")
    assert names(folder)[0] == "2"
    tree.forget()
    assert names(folder)[0] == "3"
    assert toy.versions == 0 and len(toy.requests) == 2


def test_a_name_and_a_number_of_the_same(tree, toy, clock):
    assert not tree.is_called("user", "10", "dmlb2001")
    toy.find_group = lambda dimension, where, name: Group(name, info={"user": 10})
    toy.find_container = toy.container
    tree = ArchiveTree(toy, 60, 10, clock)
    assert tree.is_called("user", "10", "dmlb2001")
    assert not tree.is_called("user", "11", "dmlb2001")


def test_where_nobody_looks_nobody_asks(tree, toy, clock):
    assert tree.follow()
    assert toy.versions == 0
    walk(tree.root(), "transactions").entries()
    tree.follow()
    clock.sleep(1000)
    assert tree.follow()
    assert toy.versions == 1


def test_without_the_question_listings_live_for_their_time(tree, toy, clock):
    folder = walk(tree.root(), "transactions")
    folder.entries()
    tree.follow()
    folder.entries()
    toy.down = True
    with pytest.raises(Unreachable):
        tree.follow()
    before = len(toy.requests)
    clock.sleep(61)
    folder.entries()
    assert len(toy.requests) == before + 1


def test_an_archive_without_versions_is_not_followed(clock):
    toy = Toy()
    toy.version = None

    class Plain:
        pass

    plain = Plain()
    for name in ("name", "kind", "identity", "capabilities", "views", "groups", "containers", "container"):
        setattr(plain, name, getattr(toy, name))
    assert ArchiveTree(plain, 60, 10, clock).follow() is False  # type: ignore[arg-type]


def test_the_thread_ends_where_it_is_no_use_and_goes_on_after_an_outage():
    asked = []

    def broken():
        asked.append("broken")
        raise ValueError("unexpected")

    def useless():
        asked.append("useless")
        return False

    follow = Follow({"broken": broken, "useless": useless}, every=0)
    follow._run("useless", useless)
    assert asked == ["useless"]
    follow.stop()
    follow._run("broken", broken)


def test_a_remark_of_a_complete_listing_is_a_readme_beside_it(toy, clock):
    toy.views = (View("projects", ("project",)),)
    folder = walk(ArchiveTree(toy, 60, 10, clock).root(), "projects")  # type: ignore[arg-type]
    assert names(folder) == ["README.txt", "p"]
    assert folder.lookup("README.txt").render() == b"Yours only.\n"
