"""What a failed request means: who is not let in, and what only cannot be reached."""

import ssl

import pytest
import requests

from pacifica_fs.errors import BadAnswer, Denied, Unreachable
from pacifica_fs.transport.failures import Answer, outage, refusal

PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>nginx</body></html>"


def page(status, title):
    return Answer(status, {"content-type": "text/html"}, PAGE.format(title).encode(), "https://site/x")


@pytest.mark.parametrize(
    ("status", "title", "kind", "words"),
    [
        (401, "401 Authorization Required", Denied, "the login is not accepted"),
        (403, "403 Forbidden", Denied, "this identity may not"),
        (400, "400 No required SSL certificate was sent", Denied, "a client certificate is asked for"),
        (400, "400 The SSL certificate error", Denied, "a client certificate is asked for"),
        (400, "400 Bad Request", BadAnswer, "unexpected"),
        (502, "502 Bad Gateway", Unreachable, "not available"),
    ],
)
def test_a_proxys_page_is_told_by_its_title(status, title, kind, words):
    error = refusal(page(status, title))
    assert type(error) is kind and words in str(error)
    assert str(error).count(title) == 1 and "nginx" not in str(error)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)", Denied),
        ("[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate (_ssl.c:2580)", Denied),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", Unreachable),
    ],
)
def test_tls(said, kind):
    """An alert about our certificate is the server's no; not to trust the server's is our own."""
    error = requests.exceptions.SSLError("outer")
    error.__cause__ = ssl.SSLError(1, said)
    assert type(outage(error, "https://site/x")) is kind
