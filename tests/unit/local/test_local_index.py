"""What a local archive groups transactions by."""

import shutil

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.local import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import ArchiveSettings
from pacifica_fs.errors import BadAnswer, NotFound
from pacifica_fs.model import Metadata
from tests.contract.suite import make_bundle, upload


@pytest.fixture
def make(tmp_path):
    def make(root="archive"):
        effects = Effects(SystemClock(), tmp_path / "state", tmp_path / "cache")
        settings = ArchiveSettings("here", "local", options={"path": str(tmp_path / root)}, source="test")
        return build(settings, effects)

    return make


@pytest.fixture
def publish(tmp_path):
    def publish(built, keys=(), **fields):
        bundle = make_bundle(tmp_path, "here", "sha1", {"a": b"1"}, metadata=Metadata(fields, tuple(keys)))
        return upload(built, bundle, 60)

    return publish


def values(archive, dimension, **where):
    return [group.id for group in archive.groups(dimension, where).entries]


def ids(archive, **where):
    return [container.id for container in archive.containers(where, 100).entries]


def test_each_dimension(make, publish):
    built = make()
    one = publish(built, [("Tag", "first"), ("Tag", "second")], project="p1", instrument="54", submitter="me")
    two = publish(built, [("Tag", "first")], project="p2", instrument="54", submitter="you")
    bare = publish(built)
    archive = built.archive
    assert values(archive, "project") == ["p1", "p2"] and values(archive, "instrument") == ["54"]
    assert {"me", "you"} < set(values(archive, "user"))
    assert values(archive, "key") == ["Tag"] and values(archive, "value", key="Tag") == ["first", "second"]
    assert ids(archive, instrument="54") == [two, one] and ids(archive, project="p1") == [one]
    assert ids(archive, key="Tag", value="first") == [two, one] and ids(archive, key="Tag") == [two, one]
    (year,) = values(archive, "year")
    (month,) = values(archive, "month", year=year)
    (day,) = values(archive, "day", year=year, month=month)
    assert ids(archive, year=year, month=month, day=day) == [bare, two, one]
    assert ids(archive, project="p1", key="Tag", value="second", after=year) == [one]
    assert ids(archive, before=year) == []
    listing = archive.containers({"instrument": "54"}, 1)
    assert [entry.id for entry in listing.entries] == [two] and not listing.complete


@pytest.mark.parametrize(
    "where",
    [
        {"project": "none"},
        {"key": "none"},
        {"key": "Tag", "value": "none"},
        {"value": "first"},
        {"colour": "red"},
        {"year": "MMXX"},
        {"year": "2020", "day": "01"},
        {"month": "01"},
        {"after": "2020-13"},
    ],
)
def test_unknown_values_do_not_exist(make, publish, where):
    built = make()
    publish(built, [("Tag", "first")])
    with pytest.raises(NotFound):
        built.archive.containers(where, 10)


def test_it_is_kept_up_and_read_once(make, publish, tmp_path, monkeypatch):
    built = make()
    first = publish(built, project="p1")
    assert values(built.archive, "project") == ["p1"]
    built.archive.close()
    (tmp_path / "archive/transactions" / first / "transaction.json").write_text("{}")
    built = make()
    second = publish(built, project="p2")
    assert values(built.archive, "project") == ["p1", "p2"]
    shutil.rmtree(tmp_path / "archive/transactions" / first)
    assert values(built.archive, "project") == ["p2"] and ids(built.archive, project="p2") == [second]


def test_a_damaged_table_is_made_anew(make, publish, tmp_path):
    built = make()
    publish(built, project="p1")
    assert values(built.archive, "project") == ["p1"]
    built.archive.close()
    (file,) = (tmp_path / "cache/local").glob("*.sqlite")
    file.write_bytes(b"damaged" * 1000)
    assert values(make().archive, "project") == ["p1"]


def test_another_archive_in_its_place_is_another_table(make, publish, tmp_path):
    publish(make(), project="p1")
    assert values(make().archive, "project") == ["p1"]
    (tmp_path / "archive").rename(tmp_path / "away")
    built = make("archive2")
    publish(built, project="p2")
    assert values(built.archive, "project") == ["p2"]


def test_what_was_damaged_by_hand_is_an_error_never_left_out(make, publish, tmp_path):
    built = make()
    first = publish(built, project="p1")
    (tmp_path / "archive/transactions" / first / "transaction.json").write_text("{")
    with pytest.raises(BadAnswer, match="damaged"):
        built.archive.groups("project", {})
