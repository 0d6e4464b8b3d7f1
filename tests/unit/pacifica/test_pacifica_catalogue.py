import pytest
import requests

from pacifica_fs.errors import BadAnswer, NotFound, Unreachable
from pacifica_fs.model import Digest

POLICY, METADATA = "http://policy.example", "http://metadata.example"
ABSENT = {
    "status": "404 Not Found",
    "message": "No Transaction with an ID of 9 was found",
    "traceback": "Traceback ...",
}
FILE = {
    "_id": 2,
    "name": "bar.bin",
    "subdir": "a/c",
    "mimetype": "text/x",
    "ctime": "2019-01-02T03:04:05",
    "mtime": "2020-01-02T03:04:05",
    "size": 15,
    "hashsum": "5179ED",
    "hashtype": "sha256",
}
BLOCK = {
    "_id": 1,
    "submitter_id": 10,
    "project_id": "1234a",
    "instrument_id": 54,
    "submitter_name": "Davidé Browné Jr",
    "project_name": "P",
    "instrument_name": "NMR",
    "submitted": "2026-11-21T01:20:13",
    "created": "2026-11-21T01:20:13",
    "updated": "2026-11-21T01:20:14",
    "release_state": "not_released",
    "release_date": None,
    "files": {"2": FILE},
    "key_values": {"Temp C": "27", "Tag": "second"},
}


@pytest.fixture
def policy(site):
    return site(policy=POLICY).archive


@pytest.fixture
def metadata(site):
    return site(policy=POLICY, metadata=METADATA).archive


def pages(requests_mock, total):
    """A search over transactions 1…total, as policy answers it."""

    def answer(request, context):
        size, page = int(request.qs["item_count"][0]), int(request.qs["page"][0])
        ids = range(total, 0, -1)[size * (page - 1) : size * page]
        entries = {
            str(id): {"metadata": {"transaction_id": id, "submitted": "2026-11-21T01:20:13"}, "file_count": 1}
            for id in ids
        }
        return {"transactions": entries, "total_count": total}

    return requests_mock.get(POLICY + "/status/transactions/search/list", json=answer)


def test_all_of_them_by_pages(policy, requests_mock):
    asked = pages(requests_mock, 2450)
    listing = policy.containers({}, 10_000)
    assert [int(entry.id) for entry in listing.entries] == list(range(2450, 0, -1))
    assert listing.complete and listing.entries[0].mtime_ns == 1795224013 * 10**9
    assert asked.call_count == 3


@pytest.mark.parametrize("total", [1, 999, 1000])
def test_up_to_a_thousand_are_one_request(policy, requests_mock, total):
    asked = pages(requests_mock, total)
    assert len(policy.containers({}, 10_000).entries) == total
    assert asked.call_count == 1


@pytest.mark.parametrize(
    "limit,total,complete,calls",
    [(100, 450, False, 1), (450, 450, True, 1), (449, 450, False, 1), (1200, 2450, False, 2), (2450, 2450, True, 3)],
)
def test_the_newest_of_them(policy, requests_mock, limit, total, complete, calls):
    asked = pages(requests_mock, total)
    listing = policy.containers({}, limit)
    assert [int(entry.id) for entry in listing.entries] == list(range(total, total - limit, -1))
    assert listing.complete is complete and bool(listing.remark) is not complete
    assert asked.call_count == calls


def test_an_empty_archive(policy, requests_mock):
    pages(requests_mock, 0)
    assert policy.containers({}, 10).entries == ()


def test_selected_ones(policy, requests_mock):
    asked = pages(requests_mock, 1)
    policy.containers({"project": "1234a", "user": "10"}, 10)
    assert asked.last_request.qs["project"] == ["1234a"] and asked.last_request.qs["submitter"] == ["10"]
    with pytest.raises(NotFound):
        policy.containers({"colour": "red"}, 10)
    with pytest.raises(NotFound):
        policy.groups("colour", {})


def test_one_transaction(policy, requests_mock):
    requests_mock.get(POLICY + "/status/transactions/by_id/1", json=BLOCK)
    found = policy.container("1")
    assert found.mtime_ns == 1795224013 * 10**9
    assert found.info == {
        "transaction": 1,
        "submitter": 10,
        "submitter_name": "Davidé Browné Jr",
        "project": "1234a",
        "project_title": "P",
        "instrument": 54,
        "instrument_name": "NMR",
        "keys": {"Temp C": "27", "Tag": "second"},
        "submitted": "2026-11-21T01:20:13Z",
        "updated": "2026-11-21T01:20:14Z",
        "release_state": "not_released",
        "release_date": None,
        "file_count": 1,
        "size": 15,
    }


def test_files(policy, requests_mock):
    odd = [
        FILE | {"_id": 3, "name": "p/q", "subdir": "//a//c/", "mtime": None, "created": "2026-11-21T01:20:14"},
        FILE | {"_id": 4, "name": "..", "subdir": None, "hashsum": "", "mimetype": ""},
    ]
    requests_mock.get(POLICY + "/status/transactions/files/1", json={str(row["_id"]): row for row in [FILE, *odd]})
    dots, bar, slash = policy.files("1")
    assert (bar.archive, bar.container, bar.id, bar.size, bar.mime_type) == ("emsl", "1", "2", 15, "text/x")
    assert bar.parts == ("a", "c", "bar.bin") and bar.digest == Digest("sha256", "5179ed")
    assert bar.mtime_ns == 1577934245 * 10**9
    assert slash.parts == ("a", "c", "p/q") and slash.mtime_ns == 1795224014 * 10**9
    assert dots.parts == ("..",) and dots.digest is None and dots.mime_type is None


def test_no_files_and_no_such_transaction_are_told_apart(policy, requests_mock):
    requests_mock.get(POLICY + "/status/transactions/files/1", json={})
    requests_mock.get(POLICY + "/status/transactions/files/9", json={})
    requests_mock.get(POLICY + "/status/transactions/by_id/1", json=BLOCK | {"files": {}})
    requests_mock.get(POLICY + "/status/transactions/by_id/9", json=ABSENT)
    assert policy.files("1") == ()
    with pytest.raises(NotFound):
        policy.files("9")
    with pytest.raises(NotFound, match="No Transaction with an ID of 9"):
        policy.container("9")


@pytest.mark.parametrize("id", ["", "abc", "-1", "067", "1.5", "9" * 30, "²", "1/../2"])
def test_what_cannot_be_a_transaction_is_not_asked_for(policy, requests_mock, id):
    for ask in (policy.container, policy.files):
        with pytest.raises(NotFound):
            ask(id)
    assert requests_mock.call_count == 0


TRACE = {"traceback": "requests.exceptions.ConnectionError: ... Connection refused", "message": "unexpected"}


@pytest.mark.parametrize(
    "answer,error",
    [
        ({"json": {"status": "500 Internal Server Error", **TRACE}}, Unreachable),
        (
            {"json": {"status": "500 Internal Server Error", "message": "a &lt;b&gt;", "traceback": "ValueError"}},
            BadAnswer,
        ),
        ({"json": {"status": "400 Invalid Request Options", "message": "x", "traceback": ""}}, BadAnswer),
        ({"json": {"status": "500 Internal Server Error", **TRACE}, "status_code": 500}, Unreachable),
        ({"json": {"message": "x", "traceback": "ValueError: y"}, "status_code": 500}, BadAnswer),
        ({"text": "<!DOCTYPE html><title>500</title>", "status_code": 500}, Unreachable),
        ({"text": "<!DOCTYPE html><title>404</title>", "status_code": 404}, BadAnswer),
        ({"text": "<!DOCTYPE html><title>Log in</title>"}, Unreachable),
        ({"json": {"message": "x"}, "status_code": 404}, BadAnswer),
        ({"json": []}, BadAnswer),
        ({"exc": requests.exceptions.ConnectTimeout}, Unreachable),
    ],
)
def test_errors_of_policy_are_neither_absence_nor_emptiness(policy, requests_mock, answer, error):
    requests_mock.register_uri(requests_mock_method(), requests_mock_any(), **answer)
    if "json" in answer and answer["json"] == []:  # a list is what the uploader's questions are answered with
        requests_mock.post(POLICY + "/uploader", json={})
    for ask in (
        lambda: policy.container("1"),
        lambda: policy.files("1"),
        lambda: policy.containers({}, 10),
        lambda: policy.containers({"project": "1", "after": "2020"}, 10),
        lambda: policy.containers({"user": "somebody"}, 10),
        lambda: policy.groups("project", {}),
        lambda: policy.find_group("instrument", {}, "5"),
        lambda: policy.find_container({"project": "1"}, "5"),
        policy.version,
    ):
        with pytest.raises(error) as caught:
            ask()
        assert not isinstance(caught.value, NotFound)


def requests_mock_method():
    import requests_mock

    return requests_mock.ANY


def requests_mock_any():
    import re

    return re.compile("^" + re.escape(POLICY))


def transsip(requests_mock, total):
    def answer(request, context):
        size, page = int(request.qs["items_per_page"][0]), int(request.qs["page_number"][0])
        assert request.qs["recursion_depth"] == ["0"]
        ids = range(1, total + 1)[size * (page - 1) : size * page]
        return [{"_id": id, "created": "2026-11-21T01:20:13"} for id in ids]

    requests_mock.get(METADATA + "/objectinfo/transsip", json={"record_count": total})
    return requests_mock.get(METADATA + "/transsip", json=answer)


@pytest.mark.parametrize(
    "limit,total,complete",
    [(100, 2450, False), (10_000, 2450, True), (2450, 2450, True), (1000, 1000, True), (5, 0, True)],
)
def test_metadata_lists_backwards(metadata, requests_mock, limit, total, complete):
    transsip(requests_mock, total)
    listing = metadata.containers({}, limit)
    assert [int(entry.id) for entry in listing.entries] == list(range(total, max(0, total - limit), -1))
    assert listing.complete is complete


def test_metadata_knows_all_values_of_a_key_and_the_doi(metadata, requests_mock):
    requests_mock.get(METADATA + "/transactioninfo/by_id/1", json=BLOCK)
    requests_mock.get(METADATA + "/trans_key_value", json=[{"key": k, "value": v} for k, v in [(1, 1), (2, 2), (2, 3)]])
    for id, key in [(1, "Temp C"), (2, "Tag")]:
        requests_mock.get(f"{METADATA}/keys?_id={id}", json=[{"key": key}])
    for id, value in [(1, "27"), (2, "first"), (3, "second")]:
        requests_mock.get(f"{METADATA}/values?_id={id}", json=[{"value": value}])
    entry = {"doi_reference": "10.1234/lab.1", "doi_status": "completed", "site_url": "http://example.org/1"}
    release = {"release_state": "released", "release_date": "2026-11-22T00:00:00", "release_doi_entries": [entry]}
    requests_mock.get(METADATA + "/transactioninfo/release_state/1", json={"1": release})
    info = metadata.container("1").info
    assert info["keys"] == {"Temp C": "27", "Tag": ["first", "second"]}
    assert (info["release_state"], info["release_date"]) == ("released", "2026-11-22T00:00:00Z")
    assert info["doi"] == [{"doi": "10.1234/lab.1", "status": "completed", "url": "http://example.org/1"}]


def test_metadata_has_real_404s(metadata, requests_mock):
    requests_mock.get(METADATA + "/transactioninfo/by_id/9", status_code=404, json=ABSENT)
    requests_mock.get(METADATA + "/files?transaction_id=9&recursion_depth=0", json=[])
    requests_mock.get(METADATA + "/files?transaction_id=8&recursion_depth=0", json=[])
    requests_mock.get(METADATA + "/transsip?_id=9", json=[])
    requests_mock.get(METADATA + "/transsip?_id=8", json=[{"_id": 8}])
    with pytest.raises(NotFound):
        metadata.container("9")
    with pytest.raises(NotFound):
        metadata.files("9")
    assert metadata.files("8") == ()


@pytest.mark.parametrize(
    "row", [{"_id": 1, "name": "a"}, {"name": "a", "size": 1}, {"_id": 1, "name": "a", "size": -1}]
)
def test_rows_without_what_is_needed(policy, requests_mock, row):
    requests_mock.get(POLICY + "/status/transactions/files/1", json={"1": row})
    with pytest.raises(BadAnswer):
        policy.files("1")


# selections


def changed(requests_mock, days):
    """A search that answers with transactions submitted on these days of May 2020, all changed much later."""

    def answer(request, context):
        size, page = int(request.qs["item_count"][0]), int(request.qs["page"][0])
        shown = list(enumerate(days, 1))[size * (page - 1) : size * page]
        entries = {
            str(id): {"metadata": {"transaction_id": id, "submitted": f"2020-05-{day:02}T12:00:00"}, "file_count": 1}
            for id, day in shown
        }
        return {"transactions": entries, "total_count": len(days)}

    return requests_mock.get(POLICY + "/status/transactions/search/list", json=answer)


def test_policy_compares_with_the_time_of_submission(policy, requests_mock):
    asked = changed(requests_mock, [1, 2, 3, 4, 5])
    listing = policy.containers({"after": "2020-05-02", "before": "2020-05-04"}, 100)
    assert [entry.id for entry in listing.entries] == ["3", "2"] and listing.complete
    assert asked.last_request.qs["start"] == ["2020-05-02t00:00:00"] and "end" not in asked.last_request.qs
    assert [entry.id for entry in policy.containers({"before": "2020-05-02"}, 100).entries] == ["1"]


def test_policy_says_where_it_could_not_look_at_all(policy, requests_mock, monkeypatch):
    monkeypatch.setattr("pacifica_fs.archives.pacifica.policy.MOST", 1000)
    changed(requests_mock, [1] * 1500)
    listing = policy.containers({"after": "2020-05-02"}, 2000)
    assert listing.entries == () and not listing.complete and listing.remark
    changed(requests_mock, [1] * 1000)
    assert policy.containers({"after": "2020-05-02"}, 2000).complete


def test_policy_has_no_keys_and_releases(policy, requests_mock):
    for where in ({"key": "Tag"}, {"released": "yes"}):
        with pytest.raises(NotFound, match="metadata"):
            policy.containers(where, 10)
    assert requests_mock.call_count == 0


@pytest.mark.parametrize(
    "where",
    [
        {"instrument": "sem"},
        {"transaction": "x"},
        {"released": "no"},
        {"value": "27"},
        {"after": "soon"},
        {"year": "2020", "day": "01"},
        {"year": "20"},
        {"year": "2020", "month": "13"},
        {"after": "2020-05-17T25:00:00"},
    ],
)
def test_values_that_cannot_be_are_not_asked_for(metadata, requests_mock, where):
    with pytest.raises(NotFound):
        metadata.containers(where, 1000)
    assert requests_mock.call_count == 0


def test_metadata_selects_a_day(metadata, requests_mock):
    asked = requests_mock.get(METADATA + "/transsip", json=[])
    assert metadata.containers({"year": "2020", "month": "02", "day": "29"}, 10_000).entries == ()
    query = asked.last_request.qs
    assert query["created_operator"] == ["between"]
    assert (query["created_0"], query["created_1"]) == (["2020-02-29t00:00:00"], ["2020-02-29t23:59:59.999999"])
    assert asked.call_count == 1


def test_metadata_finds_one_transaction_with_one_request(metadata, requests_mock):
    asked = requests_mock.get(METADATA + "/transsip", json=[{"_id": 5, "created": "2026-11-21T01:20:13"}])
    found = metadata.find_container({"project": "p"}, "5")
    assert (found.id, found.mtime_ns) == ("5", 1795224013 * 10**9)
    assert asked.last_request.qs == {"_id": ["5"], "project": ["p"], "recursion_depth": ["0"]}
    assert requests_mock.call_count == 1
    requests_mock.get(METADATA + "/transsip", json=[])
    with pytest.raises(NotFound):
        metadata.find_container({}, "6")
    assert requests_mock.call_count == 2


def test_metadata_lists_a_project_of_thousands_with_one_request(metadata, requests_mock):
    rows = [{"_id": id, "created": "2026-11-21T01:20:13"} for id in range(1, 5001)]
    asked = requests_mock.get(METADATA + "/transsip", json=rows)
    listing = metadata.containers({"project": "1234a"}, 10_000)
    assert listing.complete and len(listing.entries) == 5000 and requests_mock.call_count == 1
    assert asked.last_request.qs["items_per_page"] == ["10001"]


def test_metadata_tells_an_empty_project_from_none(metadata, requests_mock):
    requests_mock.get(METADATA + "/transsip", json=[])
    requests_mock.get(METADATA + "/projects?_id=51001", json=[{"_id": "51001", "title": "T", "short_name": None}])
    requests_mock.get(METADATA + "/projects?_id=none", json=[])
    assert metadata.containers({"project": "51001"}, 10_000).entries == ()
    with pytest.raises(NotFound, match="project 'none'"):
        metadata.containers({"project": "none"}, 10_000)
    assert metadata.find_group("project", {}, "51001").info == {"project": "51001", "title": "T"}


def test_metadata_selects_by_key_value_and_release(metadata, requests_mock):
    requests_mock.get(METADATA + "/keys?key=tag", json=[{"_id": 7}])
    requests_mock.get(METADATA + "/keys?key=none", json=[])
    requests_mock.get(METADATA + "/values?value=first", json=[{"_id": 8}])
    links = [{"transaction": id, "created": "2026-11-21T01:20:13"} for id in (1, 2, 3)]
    requests_mock.get(METADATA + "/trans_key_value", json=links)
    requests_mock.get(METADATA + "/transaction_user", json=[{"transaction": 2}, {"transaction": 2}, {"transaction": 9}])
    requests_mock.get(METADATA + "/transsip?project=p", json=[{"_id": 3}, {"_id": 4}])
    pair = {"key": "tag", "value": "first"}
    assert [entry.id for entry in metadata.containers(pair, 100).entries] == ["3", "2", "1"]
    assert [entry.id for entry in metadata.containers({"key": "tag"}, 2).entries] == ["3", "2"]
    assert [entry.id for entry in metadata.containers({"released": "yes"}, 100).entries] == ["9", "2"]
    assert [entry.id for entry in metadata.containers({**pair, "released": "yes"}, 100).entries] == ["2"]
    assert [entry.id for entry in metadata.containers({**pair, "project": "p"}, 100).entries] == ["3"]
    with pytest.raises(NotFound, match="none"):
        metadata.containers({"key": "none"}, 100)


# groups

SUMMARY = {
    "51001": {"54": {"upload_date_start": "2019-12-31", "upload_date_end": "2021-02-03", "transaction_count": 2}}
}


def test_years_are_those_between_the_first_and_the_last_upload(metadata, requests_mock):
    requests_mock.get(METADATA + "/transactioninfo/summary/1900-01-01/2999-12-31", json=SUMMARY)
    asked = requests_mock.get(METADATA + "/transsip", json=[{"_id": 1}])
    assert [group.id for group in metadata.groups("year", {}).entries] == ["2019", "2020", "2021"]
    assert asked.last_request.qs["created_1"] == ["2019-12-31t23:59:59.999999"]
    requests_mock.get(METADATA + "/transsip", json=[])  # the service's days are not those of UTC
    assert [group.id for group in metadata.groups("year", {}).entries] == ["2020", "2021"]
    requests_mock.get(METADATA + "/transactioninfo/summary/1900-01-01/2999-12-31", json={})
    assert metadata.groups("year", {}).entries == ()


def test_months_and_days_are_those_with_transactions(metadata, requests_mock):
    times = ["2020-02-01T00:00:00", "2020-02-29T23:59:59", "2020-11-05T00:00:00"]
    requests_mock.get(METADATA + "/transsip", json=[{"_id": n, "created": time} for n, time in enumerate(times)])
    assert [group.id for group in metadata.groups("month", {"year": "2020"}).entries] == ["02", "11"]
    february = metadata.groups("day", {"year": "2020", "month": "02"})
    assert {"01", "29"} <= {group.id for group in february.entries}


def test_of_a_busy_year_all_months_are_shown_in_which_there_can_be_some(metadata, requests_mock, monkeypatch):
    monkeypatch.setattr("pacifica_fs.archives.pacifica.metadata.WHOLE", 3)
    requests_mock.get(METADATA + "/transactioninfo/summary/1900-01-01/2999-12-31", json=SUMMARY)
    rows = [{"_id": n, "created": "2021-01-05T00:00:00"} for n in range(3)]
    requests_mock.get(METADATA + "/transsip", json=rows)
    assert [group.id for group in metadata.groups("month", {"year": "2021"}).entries] == ["01", "02"]
    days = metadata.groups("day", {"year": "2021", "month": "02"}).entries
    assert [group.id for group in days] == ["01", "02", "03", "04"]
    assert len(metadata.groups("month", {"year": "2020"}).entries) == 12


def test_a_table_too_long_is_not_listed_and_names_are_found(metadata, requests_mock, monkeypatch):
    monkeypatch.setattr("pacifica_fs.archives.pacifica.metadata.WHOLE", 3)
    users = [{"_id": n, "network_id": f"u{n}", "first_name": "A", "last_name": "B"} for n in range(3)]
    requests_mock.get(METADATA + "/users?recursion_depth=0&page_number=1&items_per_page=3", json=users)
    requests_mock.get(METADATA + "/users?network_id=u2", json=users[2:])
    listing = metadata.groups("user", {})
    assert not listing.complete and listing.remark
    assert metadata.find_group("user", {}, "u2").info == {"user": 2, "login": "u2", "name": "A B"}


@pytest.mark.parametrize("dimension,row", [("project", {"_id": 5}), ("instrument", {"_id": "x"}), ("user", {})])
def test_groups_without_what_is_needed(metadata, requests_mock, dimension, row):
    requests_mock.get(f"{METADATA}/{dimension}s", json=[row])
    with pytest.raises(BadAnswer):
        metadata.groups(dimension, {})
