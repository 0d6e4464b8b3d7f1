"""The ways of a table into the DataStore, with the real DataPusher and the site's own plugin: all end right.

What DataPusher damages without a word (it takes the last sheet, loses zeros, swaps days and months, drops cells and
columns, makes no table) is noticed by comparing, and comes out right.
"""

from __future__ import annotations

import time

import pytest

from tests.servers.workbooks import xlsx

from .test_ckan_kind import table_of

pytestmark = [pytest.mark.ckan, pytest.mark.timeout(180)]
PLAIN = b"n,t\n" + b"".join(b"%d,x%d\n" % (i, i) for i in range(600))
AGAIN = "loaded directly instead"


@pytest.fixture
def service(kinds, ckan_site):
    return kinds(ckan_site, datapusher=ckan_site.datapusher_url())


def loaded(kind, site, content, name="data.csv", **fields):
    package = site.package()
    progress = kind.done(kind.bundle(package, {name: content}, **fields))
    return progress.details["files"][name], *table_of(site, package, name)


def test_the_service_loads_a_table(service, ckan_site):
    shown, types, rows = loaded(service, ckan_site, PLAIN)
    assert shown["route"] == "datapusher" and shown["datastore"]["rows_stored"] == 600
    assert types == {"n": "numeric", "t": "text"} and [row[0] for row in rows] == list(range(600))
    assert "remarks" not in shown


def test_the_service_takes_our_types_so_that_no_zero_is_lost(service, ckan_site):
    shown, types, rows = loaded(service, ckan_site, b"code,day\n00123,31-12-2020\n0044,01-02-2021\n")
    assert shown["route"] == "datapusher"
    assert types == {"code": "text", "day": "text"} and rows == [["00123", "31-12-2020"], ["0044", "01-02-2021"]]


def test_a_type_that_the_sidecar_gives_wins_on_the_service_route(service, ckan_site):
    fields = [{"id": "n", "type": "int"}]
    shown, types, _ = loaded(service, ckan_site, b"n,t\n1,a\n2,b\n", fields=fields)
    assert types["n"] == "int4" or types["n"] == "int"
    assert shown["route"] == "direct" and AGAIN in shown["remarks"][-1]


def test_a_late_cell_of_another_type_leaves_no_half_table(service, ckan_site):
    shown, types, rows = loaded(service, ckan_site, b"n,t\n" + b"1,x\n" * 1500 + b"abc,x\n")
    assert types["n"] == "text" and len(rows) == 1501 == shown["datastore"]["rows_stored"]


def test_headings_alone_and_nothing_at_all(service, ckan_site):
    shown, types, rows = loaded(service, ckan_site, b"a,b\n")
    assert rows == [] and list(types) == ["a", "b"] and shown["datastore"]["rows_expected"] == 0


DAMAGED = {
    "an unnamed column is dropped and shifts types": (b"a,,b\nx,5,hello\ny,6,world\n", ["x", 5, "hello"], 2),
    "extra cells are dropped": (b"a,b\n1,2\n4,5,extra\n", [1, 2, None], 2),
    "a duplicate heading": (b"a,a\n1,2\n", [1, 2], 1),
    "a heading with an underscore": (b"_id,b\n1,2\n", [1, 2], 1),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_the_service_damages_is_loaded_directly(service, ckan_site, case):
    content, first, count = DAMAGED[case]
    shown, _, rows = loaded(service, ckan_site, content)
    assert shown["route"] == "direct" and any(AGAIN in remark for remark in shown["remarks"])
    assert rows[0] == first and len(rows) == count == shown["datastore"]["rows_stored"]


def test_the_service_takes_the_last_sheet_and_we_the_first(service, ckan_site, tmp_path):
    sheets = {"First": [["a", "b"], [1, "x"], [2, "y"]], "Second": [["c"], [3]]}
    data = xlsx(tmp_path / "w.xlsx", sheets).read_bytes()
    shown, types, rows = loaded(service, ckan_site, data, "w.xlsx")
    assert list(types) == ["a", "b"] and rows == [[1, "x"], [2, "y"]]
    assert shown["route"] == "direct"


def test_a_failure_of_the_service_is_said_where_only_it_is_wanted(service, ckan_site):
    package = ckan_site.package()
    bundle = service.bundle(package, {"data.csv": b"a,a\n1,2\n"}, mode="datapusher")
    assert list(service.inbox.check(bundle)) == []
    progress = service.end(service.send(bundle))
    assert progress.outcome == "failed" and "datapusher" in progress.message
    (resource,) = ckan_site.api()("package_show", id=package)["resources"]
    assert resource["datastore_active"] is False, "half a table"
    assert ckan_site.token() not in repr(progress) and "Traceback" not in progress.message


def test_direct_is_direct_although_there_is_a_service(service, ckan_site):
    shown, _, rows = loaded(service, ckan_site, PLAIN, mode="direct")
    assert shown["route"] == "direct" and len(rows) == 600


def test_more_than_the_service_can_take_at_once(service, ckan_site):
    package = ckan_site.package()
    files = {f"f{i}.csv": b"n,t\n%d,x\n" % i for i in range(12)}
    progress = service.done(service.bundle(package, files))
    for i in range(12):
        assert table_of(ckan_site, package, f"f{i}.csv")[1] == [[i, "x"]]
    routes = {one["route"] for one in progress.details["files"].values()}
    assert routes == {"datapusher"}, progress.details


def test_a_service_that_cannot_be_reached(kinds, ckan_site):
    kind = kinds(ckan_site, datapusher="http://127.0.0.1:9")
    package = ckan_site.package()
    ticket = kind.send(kind.bundle(package, {"data.csv": PLAIN}))
    end = time.monotonic() + 30
    while "waiting for" not in repr(kind.inbox.poll(ticket).details):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert kind.inbox.poll(ticket).outcome == ""


# the site's own plugin


@pytest.fixture
def plugin(kinds, ckan_site):
    return kinds(ckan_site, url=ckan_site.plugin_url())


def test_the_plugin_is_left_to_work_and_not_raced(plugin, ckan_site, kinds, faulty, tmp_path):
    proxy = faulty(ckan_site.plugin_url())
    kind = kinds(ckan_site, url=proxy.url)
    shown, _, rows = loaded(kind, ckan_site, PLAIN)
    assert shown["route"] == "datapusher" and len(rows) == 600
    assert proxy.count("POST", "datastore_(create|upsert|delete)") == 0
    assert proxy.count("POST", "datapusher_submit") == 0, "it submits by itself"


def test_what_the_plugin_damages_is_loaded_directly_when_it_is_through(plugin, ckan_site):
    shown, types, rows = loaded(plugin, ckan_site, b"code,day\n00123,31-12-2020\n0044,01-02-2021\n")
    assert types == {"code": "text", "day": "text"} and rows == [["00123", "31-12-2020"], ["0044", "01-02-2021"]]
    assert shown["route"] == "direct" and "the column 'code' is numeric, not text" in shown["remarks"][0]
    assert "its format is 'CSV table' now" in shown["remarks"][1]


def test_direct_waits_until_the_plugin_is_through(plugin, ckan_site):
    shown, types, rows = loaded(plugin, ckan_site, b"code,n\n00123,1\n", mode="direct")
    assert shown["route"] == "direct" and rows == [["00123", 1]]
    time.sleep(1)
    assert types["code"] == "text"


def test_the_plugin_replaces(plugin, ckan_site):
    package = ckan_site.package()
    plugin.done(plugin.bundle(package, {"data.csv": b"code,n\n00123,1\n"}))
    plugin.done(plugin.bundle(package, {"data.csv": b"code,n\n0044,2\n"}, replace="true"))
    assert table_of(ckan_site, package)[1] == [["0044", 2]]
