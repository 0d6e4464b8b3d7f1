import base64
import sys
import threading
import types

import pytest
import requests

from pacifica_fs.config import Auth
from pacifica_fs.errors import ConfigError, Denied
from pacifica_fs.transport import credentials
from pacifica_fs.transport.credentials import Basic, Secrets, login


def secrets(environ, keyring=lambda *_: None, archive="my-site.x"):
    return Secrets(archive, environ, keyring)


def test_the_order_in_which_a_secret_is_found(tmp_path):
    (tmp_path / "my-site.x.password").write_text("file\n")
    (tmp_path / ".netrc").write_text("machine h.example login me password netrc\n")
    full = {"CREDENTIALS_DIRECTORY": str(tmp_path), "PACIFICA_FS_MY_SITE_X_PASSWORD": "env", "HOME": str(tmp_path)}
    asked = []

    def keyring(service, user):
        asked.append((service, user))
        return "ring"

    def get(environ, **given):
        return secrets(environ, keyring).get("password", host="h.example", username="me", **given)

    assert get(full, configured="conf") == "file"
    del full["CREDENTIALS_DIRECTORY"]
    assert get(full, configured="conf") == "env"
    del full["PACIFICA_FS_MY_SITE_X_PASSWORD"]
    assert get(full, configured="conf") == "conf"
    assert get(full) == "netrc"
    assert asked == []
    assert get({}) == "ring"
    assert asked == [("pacifica-fs:my-site.x", "me")]


def test_netrc_of_somebody_else_is_not_taken(tmp_path):
    (tmp_path / "n").write_text("machine h.example login you password p\n")
    assert secrets({"NETRC": str(tmp_path / "n")}).get("password", host="h.example", username="me") == ""


def test_a_broken_netrc_is_passed_over_without_its_words(tmp_path, caplog):
    (tmp_path / "n").write_text("machine h.example login me passwort S3CRET\n")
    assert secrets({"NETRC": str(tmp_path / "n")}).get("password", host="h.example") == ""
    assert "cannot be used" in caplog.text and "S3CRET" not in caplog.text


def test_a_keyring_that_crashes_or_hangs_does_no_harm(monkeypatch):
    def crash(*_):
        raise RuntimeError("no D-Bus")

    release = threading.Event()
    monkeypatch.setitem(sys.modules, "keyring", types.SimpleNamespace(get_password=crash))
    assert Secrets("a", {}).get("password") == ""
    monkeypatch.setattr(credentials, "KEYRING_SECONDS", 0.05)
    monkeypatch.setitem(sys.modules, "keyring", types.SimpleNamespace(get_password=lambda *_: release.wait(10)))
    assert Secrets("a", {}).get("password") == ""
    release.set()


def request():
    return requests.Request("GET", "http://h.example").prepare()


def test_basic():
    found = login("a", Auth(type="basic", username="me", password="pä"), "https://h.example", secrets({}))
    header = found.auth(request()).headers["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "me:pä"
    assert found.renew(header) is False


def test_basic_without_a_password_says_where_to_put_it():
    found = login("a", Auth(type="basic", username="me"), "https://h.example", secrets({}, archive="a"))
    with pytest.raises(Denied, match=r"keyring set pacifica-fs:a me.*PACIFICA_FS_A_PASSWORD"):
        found.auth(request())


def test_none_sends_nothing_even_if_netrc_has_something(tmp_path, monkeypatch, requests_mock):
    (tmp_path / "n").write_text("machine h.example login me password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "n"))
    session = requests.Session()
    session.auth = login("a", Auth(), "https://h.example", secrets({})).auth
    requests_mock.get("http://h.example")
    session.get("http://h.example")
    assert "Authorization" not in requests_mock.last_request.headers


def test_client_certificates(tmp_path):
    pem = tmp_path / "me.pem"
    pem.write_text("x")
    assert login("a", Auth(type="clientssl", cert=str(pem)), "https://h", secrets({})).cert == str(pem)
    both = login("a", Auth(type="clientssl", cert=str(pem), key=str(pem)), "https://h", secrets({}))
    assert both.cert == (str(pem), str(pem))
    with pytest.raises(ConfigError, match="no file /nowhere"):
        login("a", Auth(type="clientssl", cert="/nowhere"), "https://h", secrets({}))
    with pytest.raises(ConfigError, match="needs cert"):
        login("a", Auth(type="clientssl"), "https://h", secrets({}))


def test_what_is_missing_is_named(monkeypatch):
    with pytest.raises(ConfigError, match=r"f.toml: \[archives.a.auth\].*username"):
        login("a", Auth(type="basic"), "https://h", secrets({}), "f.toml")
    monkeypatch.setitem(sys.modules, "requests_gssapi", None)
    with pytest.raises(ConfigError, match=r"libkrb5-dev.*pip install 'pacifica-fs\[gssapi\]'"):
        login("a", Auth(type="gssapi"), "https://h", secrets({}))


def test_gssapi(monkeypatch):
    class Signer(requests.auth.AuthBase):
        def __init__(self, opportunistic_auth):
            assert opportunistic_auth, "the body of an upload cannot be sent twice"

        def __call__(self, request):
            if request.url == "http://other.example/":
                raise requests.RequestException("No Kerberos credentials available")
            request.headers["Authorization"] = "Negotiate abc"
            return request

    monkeypatch.setitem(sys.modules, "requests_gssapi", types.SimpleNamespace(HTTPSPNEGOAuth=Signer))
    auth = login("a", Auth(type="gssapi"), "https://h", secrets({})).auth
    assert auth(request()).headers["Authorization"] == "Negotiate abc"
    with pytest.raises(Denied, match=r"ticket for HTTP@other\.example: run kinit"):
        auth(requests.Request("GET", "http://other.example").prepare())


def test_a_password_that_another_thread_renewed_is_used():
    """Two requests are refused at once: the second must not take the first one's new password for the old one."""
    passwords = iter(["old", "new"])
    found = Basic("me", lambda: next(passwords), "nowhere")
    old = found(request()).headers["Authorization"]
    assert found.renew(old) is True
    assert found.renew(old) is True, "and nothing was looked up a second time"
    assert found(request()).headers["Authorization"] != old


def test_a_keyring_that_hangs_is_asked_once(monkeypatch):
    release, asked = threading.Event(), []

    def hang(*_):
        asked.append(1)
        release.wait(10)

    monkeypatch.setattr(credentials, "KEYRING_SECONDS", 0.05)
    monkeypatch.setitem(sys.modules, "keyring", types.SimpleNamespace(get_password=hang))
    secrets = Secrets("a", {})
    assert [secrets.get("password") for _ in range(5)] == [""] * 5
    release.set()
    assert len(asked) == 1
