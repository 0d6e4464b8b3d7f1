"""The push engine against a real DataStore: all of it, or what was there before."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pacifica_fs.archives.ckan.api import Api, Refused, Token, judge
from pacifica_fs.archives.ckan.datastore import DataStore, differences
from pacifica_fs.archives.ckan.tables import BadTable, FieldOption, Interrupted, Options, read
from pacifica_fs.clock import SystemClock
from pacifica_fs.errors import Denied, Unreachable
from pacifica_fs.transport.http import Http

pytestmark = pytest.mark.ckan
EVERYTHING = '''n,code,when,ok,note
1,00123,2024-01-31,true,a
-2.50,0044,2024-02-01T10:00:00,false,
1e3,7,,true,"say ""hi"""
'''


def api(url: str, token: str) -> Api:
    return Api(Http(url, clock=SystemClock(), login=Token(lambda: token), judge=judge))


@pytest.fixture
def store(ckan_site, tmp_path):
    return DataStore(
        api(ckan_site.url, ckan_site.token()), tmp_path / "keep", SystemClock(), first=100, rows=100, patience=20
    )


@pytest.fixture
def resource(ckan_site):
    """A fresh resource with a file, and no table."""
    made = ckan_site.api()(
        "resource_create", files={"upload": ("a.dat", b"x")}, package_id=ckan_site.package(), name="a"
    )
    return made["id"]


@pytest.fixture
def table(tmp_path: Path):
    def make(text: str, **options):
        (tmp_path / "a.csv").write_text(text)
        return read(tmp_path / "a.csv", "csv", Options(**options))

    return make


def rows(site, resource):
    found = site.api()("datastore_search", resource_id=resource, sort="_id", limit=32000)
    return [{key: value for key, value in record.items() if key != "_id"} for record in found["records"]]


def test_a_table_with_all_types(ckan_site, store, resource, table):
    found = store.push(resource, table(EVERYTHING))
    assert found.count == 3
    assert found.types == {"n": "numeric", "code": "text", "when": "timestamp", "ok": "bool", "note": "text"}
    assert rows(ckan_site, resource) == [
        {"n": 1, "code": "00123", "when": "2024-01-31T00:00:00.000", "ok": True, "note": "a"},
        {"n": -2.5, "code": "0044", "when": "2024-02-01T10:00:00.000", "ok": False, "note": None},
        {"n": 1000, "code": "7", "when": None, "ok": True, "note": 'say "hi"'},
    ]
    assert not store.open(resource)


def test_given_types_arrive(store, resource, table):
    fields = tuple(
        FieldOption(id, type=type)
        for id, type in {"i": "int", "b": "bigint", "f": "float", "d": "date", "t": "time", "x": "text"}.items()
    )
    found = store.push(resource, table("i,b,f,d,t,x\n1,2,3.5,2024-01-31,12:30,9\n", fields=fields))
    assert found.types == {option.id: option.type for option in fields}


def test_rows_are_in_file_order_over_many_calls(ckan_site, store, resource, table):
    seen: list[int] = []
    found = store.push(resource, table("n,t\n" + "".join(f"{i},x\n" for i in range(1050))), progress=seen.append)
    assert found.count == 1050 and seen == [*range(100, 1001, 100), 1050]
    assert [row["n"] for row in rows(ckan_site, resource)] == list(range(1050))


def test_it_replaces_as_a_whole_and_keeps_labels(ckan_site, store, resource, table):
    store.push(resource, table("a,b\n1,x\n", fields=(FieldOption("a", label="First", notes="Of all"),)))
    store.push(resource, table("a,c\n1,2\n3,4\n"))
    assert rows(ckan_site, resource) == [{"a": 1, "c": 2}, {"a": 3, "c": 4}]
    fields = ckan_site.api()("datastore_info", id=resource)["fields"]
    assert fields[0]["info"] == {"label": "First", "notes": "Of all"}


def test_a_refusal_in_the_middle_restores_the_former_table(ckan_site, store, resource, table):
    """A direct push replaces a DataStore table as a whole, or the table that was there before is there again."""
    store.push(resource, table(EVERYTHING, fields=(FieldOption("n", label="Number"),)))
    before = rows(ckan_site, resource)
    twice = "k,v\n" + "".join(f"{i},x\n" for i in range(250)) + "7,y\n"
    with pytest.raises(Refused, match="duplicate key"):
        store.push(resource, table(twice), primary_key=["k"])
    assert rows(ckan_site, resource) == before and not store.open(resource)
    found = store.info(resource)
    assert found.types["code"] == "text" and found.fields[0]["info"] == {"label": "Number"}


def test_a_refusal_of_a_first_table_leaves_none(ckan_site, store, resource, table):
    twice = "k,v\n" + "".join(f"{i},x\n" for i in range(250)) + "7,y\n"
    with pytest.raises(Refused):
        store.push(resource, table(twice), primary_key=["k"])
    assert store.info(resource) is None
    assert ckan_site.api()("resource_show", id=resource)["datastore_active"] is False


def test_a_file_that_changes_restores(ckan_site, store, resource, table, tmp_path):
    store.push(resource, table("a,b\n1,x\n"))
    changing = table("a,b\n" + "1,y\n" * 300)
    (tmp_path / "a.csv").write_text("a,b\n" + "1,y\n" * 250)
    with pytest.raises(BadTable, match="changed"):
        store.push(resource, changing)
    assert rows(ckan_site, resource) == [{"a": 1, "b": "x"}]


def test_one_that_was_stopped_is_taken_up(ckan_site, store, resource, table):
    store.push(resource, table("a,b\n1,old\n"))
    new = table("a,b\n" + "1,new\n" * 300)
    answers = iter([True, True, False])
    with pytest.raises(Interrupted):
        store.push(resource, new, go_on=lambda: next(answers))
    assert store.open(resource)
    store.push(resource, new)
    assert len(rows(ckan_site, resource)) == 300 and not store.open(resource)


def test_one_that_was_stopped_can_be_undone(ckan_site, store, resource, table):
    store.push(resource, table("a,b\n1.50,old\n2,\n"))
    before = rows(ckan_site, resource)
    with pytest.raises(Interrupted):
        store.push(resource, table("a,b\n1,new\n"), go_on=lambda: False)
    store.restore(resource)
    assert rows(ckan_site, resource) == before and not store.open(resource)


def test_no_digit_is_lost_when_a_table_is_restored(ckan_site, store, resource, table):
    store.push(resource, table("n,t\n0.12345678901234567890123,x\n12345678901234567890,y\n"))
    with pytest.raises(Interrupted):
        store.push(resource, table("a,b\n1,new\n"), go_on=lambda: False)
    store.restore(resource)
    answer = ckan_site.api()("datastore_search", resource_id=resource, records_format="csv", sort="_id")
    assert "0.12345678901234567890123,x" in answer["records"] and "12345678901234567890,y" in answer["records"]


def test_an_answer_that_is_lost_makes_no_row_twice(ckan_site, resource, table, tmp_path, faulty):
    from tests.servers.faults import LoseAnswer

    proxy = faulty(ckan_site.url)
    proxy.on("POST", "datastore_create", LoseAnswer(), times=1)
    proxy.on("POST", "datastore_upsert", LoseAnswer(), times=2)
    store = DataStore(
        api(proxy.url, ckan_site.token()), tmp_path / "keep", SystemClock(), first=100, rows=100, patience=20
    )
    found = store.push(resource, table("n,t\n" + "".join(f"{i},x\n" for i in range(350))))
    assert found.count == 350
    assert [row["n"] for row in rows(ckan_site, resource)] == list(range(350))


def test_an_outage_leaves_it_open_and_the_next_call_ends_it(ckan_site, store, resource, table, tmp_path):
    store.push(resource, table("a,b\n1,old\n"))
    dead = DataStore(api("http://127.0.0.1:9", "x"), tmp_path / "keep", SystemClock(), patience=0)
    with pytest.raises(Unreachable):
        dead.push(resource, table("a,b\n1,new\n"))
    assert rows(ckan_site, resource) == [{"a": 1, "b": "old"}]


def test_the_site_may_be_restarted_in_the_middle_of_a_push(ckan_faults, resource, table, tmp_path):
    """No row is lost, none is there twice, and the order is that of the file."""
    site = ckan_faults
    store = DataStore(api(site.url, site.token()), tmp_path / "keep", SystemClock(), first=200, rows=200, patience=120)
    store.push(resource, table("n,t\n7,old\n"))
    again = threading.Thread(target=site.restore)

    def progress(stored: int) -> None:
        if stored == 400:
            site.kill("ckan")
            again.start()

    found = store.push(resource, table("n,t\n" + "".join(f"{i},x\n" for i in range(1500))), progress=progress)
    again.join(90)
    assert found.count == 1500
    assert [row["n"] for row in rows(site, resource)] == list(range(1500))


def test_who_may_not_write_changes_nothing(ckan_site, store, resource, table, tmp_path):
    store.push(resource, table("a,b\n1,old\n"))
    stranger = DataStore(api(ckan_site.url, ckan_site.token("stranger")), tmp_path / "other", SystemClock())
    with pytest.raises(Denied):
        stranger.push(resource, table("a,b\n1,new\n"))
    assert rows(ckan_site, resource) == [{"a": 1, "b": "old"}]


def test_differences_are_named(ckan_site, store, resource, table):
    small = table("a,b\n1,x\n")
    found = store.push(resource, small)
    assert differences(small, found) == []
    assert differences(small, None) == ["there is no table"]
    other = table("a,c\nx,1\ny,2\n")
    assert differences(other, found) == [
        "1 rows are stored, 2 were counted",
        "the column 'a' is numeric, not text",
        "the column 'c' is missing",
    ]


def test_strange_headings_are_taken(ckan_site, store, resource, table):
    text = 'a%b,"x ""y""",_id,é (µm),select,a:b\n1,2,3,4,5,6\n'
    found = store.push(resource, table(text))
    assert list(found.types) == ["a%b", "x y", "id", "é (µm)", "select", "a:b"]


def test_a_token_is_never_part_of_an_error(ckan_site, resource, table, tmp_path):
    store = DataStore(api(ckan_site.url, "not-a-real-token"), tmp_path / "keep", SystemClock())
    with pytest.raises(Denied) as caught:
        store.push(resource, table("a,b\n1,x\n"))
    assert "not-a-real-token" not in str(caught.value)
