"""What the address of an archive stands for."""

import pytest

from pacifica_fs.errors import ConfigError
from pacifica_fs.service.kinds import of_url


@pytest.mark.parametrize(
    ("url", "table"),
    [
        (
            "djarchive+https://s3.example.org/djhub.elements",
            {
                "djhub.elements": {
                    "kind": "djarchive",
                    "endpoint": "https://s3.example.org",
                    "bucket": "djhub.elements",
                }
            },
        ),
        (
            "pacifica+https://policy.example.org?cart=https://cart.example.org",
            {
                "policy.example.org": {
                    "kind": "pacifica",
                    "policy": "https://policy.example.org",
                    "cart": "https://cart.example.org",
                }
            },
        ),
        (
            "mytardis+https://tardis.example.org:8443/",
            {"tardis.example.org-8443": {"kind": "mytardis", "url": "https://tardis.example.org:8443/"}},
        ),
        ("local+file:///srv/my%20data", {"my-20data": {"kind": "local", "path": "/srv/my data"}}),
    ],
)
def test_an_address(url, table):
    assert of_url(url) == table


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://data.example.org", "KIND\\+https://… was expected"),
        ("fax+https://data.example.org", "unknown kind 'fax'; known are: "),
        ("djarchive+https://s3.example.org/", "djarchive\\+https://ENDPOINT/BUCKET was expected"),
        ("pacifica+ftp://x", "was expected"),
        ("pacifica+https://me:secret@policy.example.org", "a secret in an address is seen by everybody"),
    ],
)
def test_what_is_none(url, words):
    with pytest.raises(ConfigError, match=words) as caught:
        of_url(url)
    assert "secret@" not in str(caught.value)
