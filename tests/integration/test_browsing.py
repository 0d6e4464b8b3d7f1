"""The views of a real site, through a mount: by project, instrument, user, day, key, release and question."""

import errno
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
import requests

from .tools import until

pytestmark = [pytest.mark.pacifica, pytest.mark.timeout(240)]

FIRST = 300  # below what the site's services give out
NUMBER = 60


def tables(front):
    return {
        "archives": {
            "full": dict(front.table("policy", "metadata", "cart"), listing_ttl="1h"),
            "bare": front.table("policy", "cart"),
        }
    }


@pytest.fixture(scope="module", autouse=True)
def many(pacifica_site):
    """Transactions of two projects over three years, one in three with a key, some released."""
    http = requests.Session()
    http.trust_env = False

    def put(table, rows):
        answer = http.put(f"{pacifica_site.metadata}/{table}", json=rows, timeout=60)
        assert answer.status_code == 200, answer.text

    begin = datetime(2019, 12, 31, 23, 30)
    ids = range(FIRST, FIRST + NUMBER)
    times = [(begin + timedelta(days=15 * n)).isoformat() for n in range(NUMBER)]
    dated = [{"_id": id, "created": time, "updated": time} for id, time in zip(ids, times, strict=True)]
    put("transactions", [row | {"description": ""} for row in dated])
    put("transsip", [row | {"submitter": 103, "instrument": 2003, "project": "51003"} for row in dated])
    keys = requests.get(f"{pacifica_site.metadata}/objectinfo/keys", timeout=60).json()["record_count"]
    assert keys < 90_000
    put("keys", [{"_id": 90_000, "key": "Temp/°C"}])
    put("values", [{"_id": 90_000, "value": "27"}, {"_id": 90_001, "value": "a, b"}])
    put("trans_key_value", [{"transaction": id, "key": 90_000, "value": 90_000 + id % 2} for id in ids[::3]])
    relation = http.get(f"{pacifica_site.metadata}/relationships?name=authorized_releaser", timeout=60).json()
    put("transaction_user", [{"relationship": relation[0]["uuid"], "transaction": ids[5], "user": 103}])
    return ids


def ls(mount, *parts):
    return sorted(os.listdir(mount.path.joinpath(*parts)))


def folders(mount, *parts):
    return [name for name in ls(mount, *parts) if not name.endswith((".json", ".txt"))]


def asked(front, *services):
    found = [request for request in front.requests() if request.split(":")[0] in services]
    return [request for request in found if "objectinfo" not in request and " /groups" not in request]


def test_the_views_of_a_site(mount):
    shown = {"transactions", "recent", "projects", "instruments", "users", "dates", "keys", "released", "search"}
    assert shown <= set(ls(mount, "full")) and shown <= set(ls(mount, "bare"))


def test_projects_with_title_and_dates(mount, many):
    assert {"51003", "51003.json", "Étude-7"} <= set(ls(mount, "full", "projects"))
    document = json.loads((mount.path / "full/projects/51003.json").read_text())
    assert (document["title"], document["started"], document["ends"]) == ("Protein folds", "2025-02-01", "2030-01-31")
    assert set(folders(mount, "full", "projects", "51003")) >= {str(id) for id in many}
    assert json.loads((mount.path / f"full/projects/51003/{many[0]}.json").read_text())["project"] == "51003"


def test_instruments_and_users(mount, many):
    document = json.loads((mount.path / "full/instruments/2003.json").read_text())
    assert document["name"] == "nmr-600" and document["title"] == "600 MHz NMR spectrometer"
    assert str(many[3]) in folders(mount, "full", "instruments", "2003")
    assert json.loads((mount.path / "full/users/cnovak.json").read_text()) == {
        "user": 103,
        "login": "cnovak",
        "name": "Čeněk Novák",
    }
    assert str(many[3]) in folders(mount, "full", "users", "cnovak")


def test_days_are_those_of_the_submission_in_utc(mount, many):
    assert {"2019", "2020", "2021", "2022"} <= set(folders(mount, "full", "dates"))
    assert folders(mount, "full", "dates", "2019") == ["12"]
    assert folders(mount, "full", "dates", "2019", "12") == ["31"]
    assert folders(mount, "full", "dates", "2019", "12", "31") == [str(many[0])]
    assert folders(mount, "full", "dates", "2020", "01") == ["15", "30"]
    with pytest.raises(FileNotFoundError):
        os.listdir(mount.path / "full/dates/2020/02/30")


def test_keys_and_values(mount, many):
    (key,) = [name for name in folders(mount, "full", "keys") if "Temp" in name and "C" in name and "_" in name]
    assert folders(mount, "full", "keys", key) == ["27", "a, b"]
    assert folders(mount, "full", "keys", key, "27") == [str(id) for id in many[::3] if id % 2 == 0]


def test_released(mount, many):
    assert str(many[5]) in folders(mount, "full", "released")
    assert str(many[6]) not in folders(mount, "full", "released")


def test_the_same_transaction_by_every_way(mount, many):
    id, inodes = str(many[0]), set()
    for way in ("transactions", "projects/51003", "instruments/2003", "users/cnovak", "dates/2019/12/31"):
        inodes.add(os.stat(mount.path / "full" / way / id).st_ino)
    assert len(inodes) == 1


@pytest.mark.parametrize("archive", ["full", "bare"])
def test_questions(mount, many, archive):
    search = mount.path / archive / "search"
    assert "after=" in (search / "README.txt").read_text()
    found = folders(mount, archive, "search", "project=51003,instrument=2003,after=2020-02,before=2020-03-15")
    assert found == [str(many[3]), str(many[4])]
    assert folders(mount, archive, "search", "user=cnovak,before=2020-01-01") == [str(many[0])]
    assert folders(mount, archive, "search", "user=103,before=2020-01-01") == [str(many[0])]
    for name, error in {
        "project=none": errno.ENOENT,
        "instrument=sem": errno.ENOENT,
        "user=nobody": errno.ENOENT,
        "after=yesterday": errno.ENOENT,
        "projct=51003": errno.EINVAL,
        ".git": errno.ENOENT,
    }.items():
        with pytest.raises(OSError) as caught:
            os.listdir(search / name)
        assert caught.value.errno == error, name


def test_questions_about_keys(mount, many):
    found = folders(mount, "full", "search", "key=Temp%2F°C,value=a%2C b,before=2020-06")
    assert found == [str(id) for id in many[:11:3] if id % 2]
    with pytest.raises(OSError) as caught:
        os.listdir(mount.path / "bare/search/key=Temp")
    assert caught.value.errno == errno.EINVAL


def test_what_only_metadata_can_tell_says_so(mount):
    for view in ("dates", "keys", "released"):
        assert ls(mount, "bare", view) == ["README.txt"]
        assert "metadata = " in (mount.path / "bare" / view / "README.txt").read_text()


def test_policy_alone_lists_what_is_mine_and_opens_the_rest(mount, many):
    """Listing is complete, or says that it is not."""
    assert folders(mount, "bare", "projects") == ["51001", "Étude-7"]
    assert "bkim" in (mount.path / "bare/projects/README.txt").read_text()
    assert str(many[0]) in folders(mount, "bare", "projects", "51003")
    assert json.loads((mount.path / "bare/projects/51003.json").read_text())["title"] == "Protein folds"
    assert {"2001", "2003"} <= set(folders(mount, "bare", "instruments"))
    assert "2004" not in folders(mount, "bare", "instruments")
    assert folders(mount, "bare", "users") == ["bkim"]
    assert str(many[0]) in folders(mount, "bare", "users", "cnovak")
    assert str(many[0]) in folders(mount, "bare", "instruments", "2003")
    for name in ("projects/none", "users/nobody", "instruments/9", "instruments/x", "projects/51003/1"):
        with pytest.raises(FileNotFoundError):
            os.stat(mount.path / "bare" / name)


def test_a_listing_is_one_request_and_none_for_each_entry(mount, front, many):
    os.listdir(mount.path / "full/projects")
    front.forget()
    with os.scandir(mount.path / "full/projects/51003") as entries:
        found = [entry.stat().st_mtime for entry in entries if entry.is_dir()]
    assert len(found) >= NUMBER
    assert len(asked(front, "metadata", "policy")) <= 1, asked(front, "metadata", "policy")


def test_a_new_transaction_is_seen_without_waiting_for_the_listings_age(mount, pacifica_site, many):
    """Listings refresh when cheap probes say that something changed."""
    assert str(FIRST + NUMBER) not in folders(mount, "full", "projects", "51003")
    http = requests.Session()
    http.trust_env = False
    time = datetime.now(UTC).replace(tzinfo=None, microsecond=0).isoformat()
    row = {"_id": FIRST + NUMBER, "created": time, "updated": time}
    http.put(f"{pacifica_site.metadata}/transactions", json=[row | {"description": ""}], timeout=60)
    row |= {"submitter": 103, "instrument": 2003, "project": "51003"}
    http.put(f"{pacifica_site.metadata}/transsip", json=[row], timeout=60)
    until("it is listed", lambda: str(FIRST + NUMBER) in folders(mount, "full", "projects", "51003"), 60)
