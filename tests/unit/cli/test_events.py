"""`pacifica-fs events`: what a request may say, and what is answered."""

import errno
import io
import json
from pathlib import Path

import pytest

from pacifica_fs.cli.codes import Failed
from pacifica_fs.cli.events import address, chosen, handing
from pacifica_fs.cli.outside import MountPoint
from pacifica_fs.cli.reception import Reception
from pacifica_fs.errors import Invalid, TooLarge, Unreachable

EVENT = b'{"specversion": "1.0", "id": "1"}'


class Sender:
    def __init__(self, token="", hand=None):
        self.handed = []
        self.reception = Reception(hand or self.handed.append, token)

    def __call__(self, body=b"", method="POST", **environ):
        answer = {}

        def start(status, headers):
            answer.update(status=int(status.split()[0]), headers=dict(headers))

        environ = {"REQUEST_METHOD": method, "wsgi.input": io.BytesIO(body), **environ}
        body = b"".join(self.reception(environ, start))
        return answer["status"], body.decode().strip(), answer["headers"]


def raising(error):
    def hand(event):
        raise error

    return hand


@pytest.mark.parametrize("kind", ["application/json", "application/cloudevents+json; charset=utf-8", ""])
def test_an_event_is_handed_on_as_it_came(kind):
    sender = Sender()
    assert sender(EVENT, CONTENT_TYPE=kind)[0] == 204
    assert sender.handed == [EVENT]


def test_a_batch_is_several():
    sender = Sender()
    assert sender(b'[{"id": "1"}, {"id": "2"}]', CONTENT_TYPE="application/cloudevents-batch+json")[0] == 204
    assert [json.loads(event)["id"] for event in sender.handed] == ["1", "2"]
    assert sender(b"{}", CONTENT_TYPE="application/cloudevents-batch+json")[0] == 400


def test_binary_mode_has_the_event_in_headers():
    sender = Sender()
    headers = {"HTTP_CE_ID": "1", "HTTP_CE_SPECVERSION": "1.0", "HTTP_CE_TYPE": "t", "HTTP_CE_SOURCE": "s"}
    assert sender(b"[1, 2]", CONTENT_TYPE="application/json", **headers)[0] == 204
    assert json.loads(sender.handed[0]) == {"id": "1", "specversion": "1.0", "type": "t", "source": "s", "data": [1, 2]}
    assert sender(b"{", **headers)[0] == 400


@pytest.mark.parametrize(
    ("error", "status"), [(Invalid("no id"), 400), (TooLarge("too large"), 413), (Unreachable("no mount"), 503)]
)
def test_what_is_wrong_is_answered(error, status):
    found, text, headers = Sender(hand=raising(error))(EVENT)
    assert (found, text) == (status, str(error))
    assert ("Retry-After" in headers) is (status == 503)


def test_nothing_is_no_event():
    assert Sender()(b"")[0] == 400


def test_other_methods():
    sender = Sender()
    assert sender(method="GET")[0] == 200 and sender(method="HEAD")[:2] == (200, "")
    status, _, headers = sender(method="OPTIONS")
    assert status == 200 and headers["WebHook-Allowed-Origin"] == "*"
    assert sender(method="PUT")[0] == 405
    assert sender.handed == []


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic c2VjcmV0", "Bearer sécret"])
def test_without_the_token_nothing_is_taken(authorization):
    sender = Sender("secret")
    status, text, _ = sender(EVENT, HTTP_AUTHORIZATION=authorization)
    assert status == 401 and "secret" not in text and sender.handed == []


def test_with_the_token():
    sender = Sender("secret")
    assert sender(EVENT, HTTP_AUTHORIZATION="bearer secret")[0] == 204


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:80", ("::1", 80)),
        (":80", ("0.0.0.0", 80)),
        ("host:0", ("host", 0)),
    ],
)
def test_addresses(text, found):
    assert address(text) == found


@pytest.mark.parametrize("text", ["", "8080", "host", "host:", "host:http", "host:99999", "host:-1"])
def test_what_is_no_address(text):
    with pytest.raises(Failed, match="HOST:PORT"):
        address(text)


def test_which_archive(tmp_path):
    mount = MountPoint(tmp_path)
    notes = tmp_path / "status/events"
    notes.mkdir(parents=True)
    with pytest.raises(Failed, match="no archive"):
        chosen(mount, None)
    (notes / "one.json").touch()
    assert chosen(mount, None) == "one"
    (notes / "two.json").touch()
    with pytest.raises(Failed, match="--archive: one, two"):
        chosen(mount, None)
    assert chosen(mount, "two") == "two"
    with pytest.raises(Failed, match="these do: one, two"):
        chosen(mount, "three")


def test_the_reason_comes_from_the_status(tmp_path, monkeypatch):
    notes = tmp_path / "notes.json"

    def refuse(path, data):
        notes.write_text(json.dumps([{"name": path.name, "reason": "it has no id"}]))
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("pacifica_fs.cli.events._write", refuse)
    with pytest.raises(Invalid, match="it has no id"):
        handing(tmp_path, notes)(EVENT)


def test_a_mount_that_is_not_there_is_waited_for(tmp_path):
    folder = tmp_path / "events"
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            folder.mkdir()

    handing(folder, tmp_path / "notes", sleep=sleep)(EVENT)
    assert len(slept) == 3 and [path.read_bytes() for path in folder.iterdir()] == [EVENT]


def test_a_mount_that_stays_away_is_said(tmp_path):
    with pytest.raises(Unreachable, match="No such file"):
        handing(tmp_path / "events", tmp_path / "notes", patience=0)(EVENT)
    assert not list(Path(tmp_path).iterdir())
