"""An outage is never ENOENT, and never an empty directory that looks real."""

import errno
import os

import pytest

from tests.servers.fake_site import File

from .harness import bounded
from .survival import SHORT, eventually, failed, tables

pytestmark = [pytest.mark.mount, pytest.mark.timeout(60)]

OUTAGE = {errno.EHOSTDOWN, errno.ETIMEDOUT}
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>please sign in</body></html>"


@pytest.fixture
def site(fake_site):
    fake_site.add(7, File(1, "file", b"content" * 100), File(2, "other", b"other"))
    return fake_site


def everything_local_answers(mount):
    for name in ("", "site", "status", "status/archives", "drop", "drop/here", "here", "here/transactions"):
        bounded(name or "the top", lambda name=name: os.listdir(mount.path / name), SHORT)
    assert {"README.txt", "site", "here", "drop", "status"} <= set(os.listdir(mount.path))
    assert {"transactions", "recent", "projects", "events"} <= set(os.listdir(mount.path / "site"))
    assert b"cache" in mount.read("status/metrics", SHORT)
    assert mount.downloads() == []


@pytest.mark.parametrize("way", ["down", "silent", "bad gateway", "login page", "not found page"])
def test_a_site_that_is_out_of_reach_when_it_is_mounted(mounted, site, way):
    if way == "down":
        site.down()
    else:
        pages = {"silent": (0, ""), "bad gateway": (502, LOGIN_PAGE), "login page": (200, LOGIN_PAGE)}
        site.page = pages.get(way, (404, LOGIN_PAGE))
    # A page that says "not found" may be a wrong address: no outage, but no absence of a transaction either.
    expected = {errno.EIO} if way == "not found page" else OUTAGE
    mount = mounted(tables(site, timeouts={"connect": "1s", "read": "250ms"}))
    everything_local_answers(mount)
    folder = mount.path / "site"
    for work in (
        lambda: os.listdir(folder / "transactions"),
        lambda: os.listdir(folder / "recent"),
        lambda: os.stat(folder / "transactions/7"),
        lambda: os.stat(folder / "transactions/7.json"),
        lambda: os.listdir(folder / "transactions/7"),
        lambda: os.open(folder / "transactions/7/file", os.O_RDONLY),
        lambda: os.stat(folder / "recent/7"),
    ):
        code, took = failed(work)
        assert code in expected, errno.errorcode[code or 0]
        assert took < 8
    eventually("the status tells", lambda: mount.json("status/archives/site.json")["reachable"] is not None, 20)
    if way in ("down", "silent", "bad gateway"):
        told = mount.json("status/archives/site.json")
        assert told["reachable"] is False and told["error"]
    # Back without a remount.
    site.page = None
    site.up()
    names = eventually("it is back", lambda: _listed(folder / "transactions"), 15)
    assert sorted(names) == ["7", "7.json"]
    assert (folder / "transactions/7/file").read_bytes() == b"content" * 100


def _listed(folder):
    try:
        return os.listdir(folder)
    except OSError as error:
        assert error.errno in OUTAGE | {errno.EIO}
        return []


def test_while_one_site_is_silent_the_rest_goes_on(mounted, site):
    site.page = (0, "")
    mount = mounted(tables(site, timeouts={"connect": "20s", "read": "20s"}))
    hanging = mount.path / "site/transactions/7"
    with pytest.raises(TimeoutError):
        bounded("a silent site", hanging.stat, 0.5)
    everything_local_answers(mount)
    (mount.path / "drop/here/run").mkdir()
    (mount.path / "drop/here/run/file").write_text("x")
    site.page = None


def test_what_is_known_is_served_offline_also_after_a_restart(mounted, site):
    mount = mounted(tables(site, read_wait="2s"))
    folder = mount.path / "site/transactions/7"
    assert (folder / "file").read_bytes() == b"content" * 100
    assert sorted(os.listdir(folder)) == ["file", "other"]
    assert sorted(os.listdir(mount.path / "site/transactions")) == ["7", "7.json"]
    document = (mount.path / "site/transactions/7.json").read_bytes()
    assert b"1234a" in document
    site.down()
    for _ in range(2):
        eventually("listings are old", lambda: _raises(mount.path / "site/transactions/8"), 10)
        assert sorted(os.listdir(mount.path / "site/transactions")) == ["7", "7.json"]
        assert sorted(os.listdir(folder)) == ["file", "other"]
        assert (folder / "file").read_bytes() == b"content" * 100
        assert (mount.path / "site/transactions/7.json").read_bytes() == document
        code, _ = failed((folder / "other").read_bytes)
        assert code in OUTAGE
        mount.restart()
    site.up()
    assert eventually("it is back", lambda: _read(folder / "other"), 45) == b"other"


def _raises(path):
    code, _ = failed(path.stat)
    assert code in OUTAGE | {errno.ENOENT}
    return code in OUTAGE


def _read(path):
    try:
        return path.read_bytes()
    except OSError as error:
        assert error.errno in OUTAGE
        return None


def test_a_transaction_that_does_not_exist_is_enoent_and_one_that_is_empty_is_empty(mounted, site):
    site.transactions[8] = []
    mount = mounted(tables(site))
    assert failed((mount.path / "site/transactions/4711").stat)[0] == errno.ENOENT
    assert failed((mount.path / "site/transactions/abc").stat)[0] == errno.ENOENT
    assert os.listdir(mount.path / "site/transactions/8") == []
