"""Logins, and that a wrong one is never an empty tree."""

import pytest

from pacifica_fs.archives.mytardis.archive import build
from pacifica_fs.errors import ConfigError, Denied
from pacifica_fs.tree.views import walk
from tests.servers.mytardis import TOKEN

from .conftest import names

ALICES = {"Cryo EM: run 12%2Fα_1", "Cryo EM: run 12%2Fα_6", "Open data_2", "Only described_5"}
PUBLIC = {"Open data_2", "Only described_5"}


def shown(root):
    return {name for name in names(root) if not name.endswith(".json")}


def test_by_api_key(tardis, archive, tree):
    server = tardis()
    made = archive(server)
    assert shown(tree(made)) == ALICES and made.identity == "alice"
    assert made.probe().identity == "alice" and not made.probe().error
    assert all(headers["Authorization"] == "ApiKey alice:alice-key" for _, _, headers in server.log)


def test_by_password(tardis, archive, tree):
    made = archive(tardis(), login="basic", password="alice-password")
    assert shown(tree(made)) == ALICES and made.probe().identity == "alice"


def test_by_share_token(tardis, archive, tree):
    server = tardis()
    made = archive(server, "", token=TOKEN)
    root = tree(made)
    assert shown(root) == PUBLIC | {"Bob's own_3"}
    assert names(root, "3", "3") == ["bobs.dat"]
    assert made.probe().identity == "whoever has the share link"
    assert TOKEN not in made.identity and TOKEN not in str(made.probe())
    elsewhere = {"HOME": "", f"PACIFICA_FS_{made.name.upper()}_TOKEN": TOKEN}
    assert archive(server, "", environ=elsewhere, login="token").identity == made.identity
    other = {name: value and "other" for name, value in elsewhere.items()}
    assert archive(server, "", environ=other, login="token").identity != made.identity


def test_by_session(tardis, archive, tree):
    server = tardis()
    made = archive(server, login="session", password="alice-password")
    assert shown(tree(made)) == ALICES and made.probe().identity == "alice"
    assert server.count("^/login/") == 2


def test_a_session_that_ended_is_begun_anew(tardis, archive, tree):
    server = tardis()
    made = archive(server, login="session", password="alice-password")
    assert shown(tree(made)) == ALICES
    server.sessions.clear()
    assert made.probe().identity == "alice"
    assert shown(tree(made)) == ALICES


def test_as_the_public(tardis, archive, tree):
    made = archive(tardis(), "")
    assert shown(tree(made)) == PUBLIC and made.identity == "anonymous"
    assert made.probe().identity == "public" and not made.probe().error


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": "wrong"},
        {"login": "basic", "password": "wrong"},
        {"login": "session", "password": "wrong"},
        {"username": "nobody", "api_key": "wrong"},
    ],
)
def test_wrong_credentials_are_told_by_check_and_by_the_tree(tardis, archive, tree, wrong):
    made = archive(tardis(), **wrong)
    health = made.probe()
    assert health.reachable and health.error and health.services["login"] != "ok"
    assert "wrong" not in health.identity and "alice-key" not in str(health)
    for look in (lambda: names(tree(made)), lambda: walk(tree(made), "Open data_2"), lambda: made.files("2")):
        with pytest.raises(Denied):
            look()


def test_a_missing_key_is_not_the_public(tardis, archive, tree):
    server = tardis()
    made = archive(server, api_key="")
    with pytest.raises(Denied, match=r"/download/api_key/ and set PACIFICA_FS_TARDIS_API_KEY"):
        names(tree(made))
    assert "no API key" in made.probe().error
    assert not server.count("/experiment/")


def test_an_expired_token_is_not_the_public(tardis, archive, tree):
    made = archive(tardis(), "", token="x" * 30)
    with pytest.raises(Denied, match="expired"):
        names(tree(made))
    assert "expired" in made.probe().error


def test_a_key_that_changed_is_looked_up_again(tardis, archive, tree):
    server = tardis()
    secrets = {"PACIFICA_FS_TARDIS_API_KEY": "alice-key"}
    made = archive(server, environ=secrets, api_key="")
    assert shown(tree(made)) == ALICES
    server.site.users["alice"].api_key = secrets["PACIFICA_FS_TARDIS_API_KEY"] = "new"
    assert shown(tree(made)) == ALICES


def test_what_is_no_mytardis_is_said(tardis, archive):
    server = tardis()
    made = archive(server, url=server.store_url)
    health = made.probe()
    assert not health.reachable and health.error


@pytest.mark.parametrize("text", ["url = {url}\nusername = alice\napikey = alice-key\n",
                                  "mytardis_url = {url}/\nusername = alice\napi_key = alice-key\n"])  # fmt: skip
def test_the_configuration_of_mytardisclient(tardis, archive, tree, tmp_path, text):
    server = tardis()
    file = tmp_path / ".config" / "mytardisclient" / "mytardisclient.cfg"
    file.parent.mkdir(parents=True)
    file.write_text("[mytardisclient]\n" + text.format(url=server.url))
    given = {"url": "", "api_key": "", "username": ""}
    made = archive(server, mytardisclient=True, environ={"HOME": str(tmp_path)}, **given)
    assert shown(tree(made)) == ALICES
    made = archive(server, mytardisclient=str(file), **given)
    assert shown(tree(made)) == ALICES


@pytest.mark.parametrize("content", [None, "no section\n", b"\xff\xfe"])
def test_a_configuration_of_mytardisclient_that_cannot_be_read(tardis, archive, tmp_path, content):
    file = tmp_path / "its.cfg"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=r"config\.toml: \[archives\.tardis\]: mytardisclient: .*its\.cfg"):
        archive(tardis(), mytardisclient=str(file))


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"url": "mytardis.example"}, "url: an address"),
        ({"url": "https://me:secret@mytardis.example"}, "no user, password"),
        ({"username": "", "login": "apikey"}, "needs a username"),
        ({"timezone": "Australia/Melburn"}, "timezone: a name"),
        ({"recall": "sometimes"}, "recall"),
        ({"nonsense": 1}, "unknown key 'nonsense'"),
        ({"parallel": 0}, "parallel: at least 1"),
        ({"ca_bundle": "/nowhere"}, "there is no file"),
        ({"providers": {"vbl": "nowhere"}}, r"providers\.vbl: an address"),
    ],
)
def test_a_wrong_option_says_which(tardis, archive, wrong, words):
    with pytest.raises(ConfigError, match=rf"config\.toml: .*archives\.tardis.*{words}") as caught:
        archive(tardis(), **wrong)
    assert "secret" not in str(caught.value)


def test_the_kind_is_found_by_its_name():
    from importlib.metadata import entry_points

    (point,) = entry_points(group="pacifica_fs.archives", name="mytardis")
    assert point.load() is build
