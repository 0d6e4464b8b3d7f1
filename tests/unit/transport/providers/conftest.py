import pytest

from pacifica_fs.transport.http import Http
from pacifica_fs.transport.providers import Context, Providers

BASE = "http://tardis.example"


class Signed:
    """A login whose signature a test can look for."""

    cert = None

    @property
    def auth(self):
        return self

    def __call__(self, request):
        request.headers["Authorization"] = "ApiKey me:key"
        request.headers["Cookie"] = "sessionid=s"
        return request

    def renew(self, refused):
        return False


@pytest.fixture
def context(clock, tmp_path):
    return Context("tardis", Http(BASE, clock=clock, login=Signed()), (tmp_path / "root",), environ={})


@pytest.fixture
def providers(context):
    """providers(vbl="/vbl/{id}/") → the registry."""
    return lambda **configured: Providers(configured, context, "config.toml: archives.tardis.providers")


def whole(opened):
    try:
        return b"".join(opened.chunks())
    finally:
        opened.close()
