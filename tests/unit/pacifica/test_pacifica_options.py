import pytest
import requests

from pacifica_fs.errors import ConfigError

POLICY = "https://policy.example"


@pytest.mark.parametrize(
    "options,words",
    [
        ({}, "policy"),
        ({"policy": "policy.example"}, "policy: an address like"),
        ({"policy": "ftp://policy.example"}, "policy: an address like"),
        ({"policy": "https://me:secret@policy.example"}, "no user or password"),
        ({"metadata": POLICY, "ingest": POLICY}, "ingest needs policy"),
        ({"policy": POLICY, "ranges": "trusted"}, "archive_interface"),
        ({"policy": POLICY, "ranges": "maybe"}, "ranges"),
        ({"policy": POLICY, "ca_bundle": "/nowhere.pem"}, "no file /nowhere.pem"),
        ({"policy": POLICY, "parallel": 0}, "parallel"),
        ({"policy": POLICY, "carts": POLICY}, "did you mean 'cart'"),
        ({"policy": POLICY, "timeouts": {"conect": 1}}, "did you mean 'connect'"),
        ({"policy": POLICY, "auth": {"type": "basic"}}, "username"),
        ({"policy": POLICY, "cart_stuck": "soon"}, "cart_stuck"),
        ({"policy": POLICY, "hash": "shake_128"}, "hash: one of"),
    ],
)
def test_wrong_options(site, options, words):
    with pytest.raises(ConfigError) as caught:
        site(**options)
    message = str(caught.value)
    assert words in message and "test.toml" in message and "emsl" in message and "secret" not in message


def test_who_one_is(site):
    assert site(policy=POLICY).archive.identity == "bkim"
    assert site(policy=POLICY, user="", auth={"type": "basic", "username": "me"}).archive.identity == "me"
    assert site(policy=POLICY, user="").archive.identity
    assert site(policy=POLICY, auth={"type": "basic", "username": "me"}).archive.identity == "bkim as me"


def test_another_certificate_is_somebody_else(site, tmp_path):
    def who(content):
        (tmp_path / "cert.pem").write_text(content)
        auth = {"type": "clientssl", "cert": str(tmp_path / "cert.pem")}
        return site(policy=POLICY, auth=auth).archive.identity

    assert who("one").startswith("bkim by certificate ")
    assert who("one") == who("one") != who("two")


def test_building_asks_nobody(site, requests_mock):
    names = ("policy", "metadata", "ingest", "cart", "archive_interface", "files_by_hash")
    built = site(**{name: f"https://{name}.example" for name in names})
    assert built.inbox is not None and built.archive.kind == "pacifica" and built.archive.name == "emsl"
    assert requests_mock.call_count == 0


def test_the_password_goes_to_every_service(site, requests_mock):
    auth = {"type": "basic", "username": "me", "password": "pw"}
    archive = site(policy=POLICY, cart="https://cart.example", auth=auth, user="10").archive
    requests_mock.get("https://cart.example/", json={})
    requests_mock.get(POLICY + "/", json={})
    requests_mock.post(POLICY + "/uploader", json=[{"first_name": "Bo", "last_name": None}])
    health = archive.probe()
    assert health.reachable and health.identity == "Bo (10, user 10)" and health.latency is not None
    assert {request.headers["Authorization"] for request in requests_mock.request_history} == {"Basic bWU6cHc="}


def test_a_probe_says_what_is_down(site, requests_mock):
    archive = site(policy=POLICY, cart="https://cart.example").archive
    requests_mock.get(POLICY + "/", json={})
    requests_mock.post(POLICY + "/uploader", json=[])
    requests_mock.get("https://cart.example/", exc=requests.exceptions.ConnectionError("refused"))
    health = archive.probe()
    assert health.reachable and health.services["policy"] == "ok" and "refused" in health.services["cart"]
    assert "cart: " in health.error and "no user 'bkim'" in health.error
    requests_mock.get(POLICY + "/", status_code=502)
    assert not archive.probe().reachable
