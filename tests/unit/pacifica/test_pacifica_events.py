"""CloudEvents of a site, old and new, and the information of a transaction, as events."""

import base64
import json

import pytest

from pacifica_fs.archives.pacifica.events import event
from pacifica_fs.errors import Invalid
from pacifica_fs.model import Digest

SHA1 = "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15"
FILE = {
    "_id": 1055,
    "ctime": "2020-01-02T03:04:05",
    "destinationTable": "Files",
    "hashsum": SHA1,
    "hashtype": "sha1",
    "mimetype": "text/plain",
    "mtime": "2020-01-02T03:04:05",
    "name": "foo.txt",
    "size": 4,
    "subdir": "a/b",
}
DATA = [
    {"destinationTable": "Transactions.submitter", "value": 10},
    {"destinationTable": "Transactions.project", "value": "1234a"},
    {"destinationTable": "Transactions.instrument", "value": 54},
    {"destinationTable": "TransactionKeyValue", "key": "Tag", "value": "event"},
    {"destinationTable": "TransactionKeyValue", "key": "Tag", "value": "second"},
    FILE,
    {"destinationTable": "Transactions._id", "value": 1047},
]
OLD = {
    "cloudEventsVersion": "0.1",
    "eventType": "org.pacifica.metadata.ingest",
    "source": "http://metadata.pacifica.org/transactions?_id=1047",
    "eventID": "metadata.ingest.1047",
    "eventTime": "2026-11-21T01:26:12",
    "extensions": {"lab": "x"},
    "contentType": "application/json",
    "data": DATA,
}
NEW = {
    "specversion": "1.0",
    "type": "org.pacifica.metadata.ingest",
    "source": "http://metadata.pacifica.org/transactions?_id=1047",
    "id": "metadata.ingest.1047",
    "time": "2026-11-21T01:26:12Z",
    "datacontenttype": "application/json",
    "data": DATA,
}


def parse(value):
    return event("emsl", json.dumps(value).encode())


@pytest.mark.parametrize("value", [OLD, NEW])
def test_both_forms_mean_the_same(value):
    found = parse(value)
    assert (found.id, found.container) == ("metadata.ingest.1047", "1047")
    assert found.mtime_ns == 1795224372 * 10**9
    assert found.where == {"user": "10", "project": "1234a", "instrument": "54"}
    assert found.keys == (("Tag", "event"), ("Tag", "second"))
    (ref,) = found.files
    assert (ref.archive, ref.container, ref.id, ref.parts, ref.size) == (
        "emsl",
        "1047",
        "1055",
        ("a", "b", "foo.txt"),
        4,
    )
    assert ref.digest == Digest("sha1", SHA1) and ref.mime_type == "text/plain"


def test_data_in_other_clothes():
    plain = parse(NEW)
    packed = {key: value for key, value in NEW.items() if key != "data"}
    encoded = base64.b64encode(json.dumps(DATA).encode()).decode()
    assert parse(packed | {"data_base64": encoded}) == parse(packed | {"data": json.dumps(DATA)}) == plain


def test_the_transaction_may_stand_in_the_source_alone():
    assert parse(OLD | {"data": DATA[:-1]}).container == "1047"


def test_the_files_are_those_that_the_site_lists(policy_row=None):
    from pacifica_fs.archives.pacifica import rows

    assert parse(OLD).files == rows.file_refs("emsl", "1047", [FILE])


def test_the_information_of_a_transaction():
    info = {
        "_id": 67,
        "transaction_id": 67,
        "project_id": "1234a",
        "instrument_id": 54,
        "submitter_id": 10,
        "submitted": "2026-11-21T01:26:12",
        "files": {"1055": FILE},
        "key_values": {"Tag": "first"},
    }
    found = parse(info)
    assert (found.id, found.container, len(found.files)) == ("transaction.67", "67", 1)
    assert found.where == {"user": "10", "project": "1234a", "instrument": "54"} and found.keys == (("Tag", "first"),)


def test_other_events_of_a_site_have_no_files():
    assert parse(OLD | {"eventType": "org.pacifica.metadata.orm", "data": {"any": 1}}).files == ()


def without(value, *names):
    return {key: each for key, each in value.items() if key not in names}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "object"),
        ({}, "neither"),
        ({"files": {}}, "neither"),
        (OLD | {"cloudEventsVersion": "7"}, "version"),
        (without(OLD, "eventID"), "eventID"),
        (without(OLD, "source"), "source"),
        (OLD | {"eventID": "x" * 2000}, "eventID"),
        (NEW | {"id": 5}, "id"),
        (without(NEW, "type"), "type"),
        (without(NEW, "data"), "data"),
        (NEW | {"data": {"a": 1}}, "data"),
        (NEW | {"data": "{"}, "JSON"),
        (without(NEW, "data") | {"data_base64": "!!"}, "base64"),
        (OLD | {"source": "x", "data": DATA[:-1]}, "transaction"),
        (OLD | {"data": [without(FILE, "_id"), DATA[-1]]}, "_id"),
        (OLD | {"data": [without(FILE, "size"), DATA[-1]]}, "size"),
        (OLD | {"data": [FILE | {"size": -1}, DATA[-1]]}, "size"),
        (OLD | {"data": [without(FILE, "hashsum"), DATA[-1]]}, "hashsum"),
        (OLD | {"data": [FILE, FILE | {"name": "b"}, DATA[-1]]}, "same number"),
        ({"_id": "x", "files": {}}, "number"),
        ({"_id": 1, "files": {"1": 5}}, "number"),
    ],
)
def test_what_is_wrong_is_said(value, said):
    with pytest.raises(Invalid, match=said):
        parse(value)


@pytest.mark.parametrize("data", [b"", b"not json", b"\xff\xfe", b"[" * 10_000])
def test_what_is_no_json(data):
    with pytest.raises(Invalid):
        event("emsl", data)
