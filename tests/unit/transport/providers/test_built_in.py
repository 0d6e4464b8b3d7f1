"""The providers that are there by themselves: web, file, and fsspec's."""

import errno
import importlib
import os
import threading

import pytest

from pacifica_fs.errors import BadAnswer, Denied, NotFound, PacificaFSError, Stale, Unobtainable, Unreachable, to_errno
from pacifica_fs.transport.providers import Remote, others

from .conftest import BASE, whole

DATA = bytes(range(256)) * 1000


def file(url, **more):
    return Remote("7", url, **more)


def ranged(data, tag='"1"'):
    """A server with ranges."""

    def answer(request, context):
        start = request.headers.get("Range", "bytes=0-")[6:-1]
        condition = request.headers.get("If-Range")
        context.headers["ETag"] = tag
        if start == "0" or (condition and condition != tag):
            return data
        if int(start) >= len(data):
            context.status_code = 416
            return b""
        context.status_code = 206
        context.headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return data[int(start) :]

    return answer


class TestWeb:
    url = "http://store.example/x.dat"

    def test_whole(self, providers, requests_mock):
        requests_mock.get(self.url, content=DATA, headers={"Content-Length": str(len(DATA)), "ETag": '"1"'})
        found = providers().open(file(self.url))
        assert (found.start, found.size, found.validator) == (0, len(DATA), '"1"')
        assert whole(found) == DATA
        assert "Range" not in requests_mock.last_request.headers

    def test_a_range_where_the_server_answers_206(self, providers, requests_mock):
        requests_mock.get(self.url, content=ranged(DATA))
        found = providers().open(file(self.url), 1000)
        assert (found.start, found.size) == (1000, len(DATA))
        assert whole(found) == DATA[1000:]

    def test_all_of_it_where_it_answers_200(self, providers, requests_mock):
        requests_mock.get(self.url, content=DATA)
        found = providers().open(file(self.url), 1000)
        assert found.start == 0 and whole(found) == DATA

    def test_beyond_the_end_there_is_nothing(self, providers, requests_mock):
        requests_mock.get(self.url, content=ranged(DATA))
        assert whole(providers().open(file(self.url), len(DATA))) == b""

    def test_another_range_than_asked_for_is_no_answer(self, providers, requests_mock):
        requests_mock.get(self.url, status_code=206, content=DATA, headers={"Content-Range": "bytes 5-9/10"})
        with pytest.raises(BadAnswer, match="another part"):
            providers().open(file(self.url), 3)

    def test_a_file_that_changed_is_stale(self, providers, requests_mock):
        requests_mock.get(self.url, content=ranged(DATA, '"2"'))
        for start in (0, 1000):
            with pytest.raises(Stale):
                providers().open(file(self.url, validator='"1"'), start)

    @pytest.mark.parametrize("status", [404, 410])
    def test_a_dead_address_is_eio_and_not_enoent(self, providers, requests_mock, status):
        requests_mock.get(self.url, status_code=status)
        with pytest.raises(Unobtainable) as caught:
            providers().open(file(self.url))
        assert to_errno(caught.value) == errno.EIO and not isinstance(caught.value, NotFound)

    def test_an_empty_body_for_nginx_is_an_error(self, providers, requests_mock):
        requests_mock.get(BASE + "/x", headers={"X-Accel-Redirect": "/protected/x", "Content-Length": "0"})
        with pytest.raises(Unobtainable, match="web server"):
            providers().open(file(BASE + "/x"))

    def test_redirects_take_the_range_along_but_not_the_identity(self, providers, requests_mock, tmp_path, monkeypatch):
        netrc = tmp_path / "netrc"
        netrc.write_text("default login me password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        requests_mock.get(BASE + "/1", status_code=302, headers={"Location": "/2"})
        requests_mock.get(BASE + "/2", status_code=302, headers={"Location": "http://s3.example/k?X-Amz-Signature=s"})
        requests_mock.get("http://s3.example/k", content=ranged(DATA))
        assert whole(providers().open(file(BASE + "/1"), 5)) == DATA[5:]
        first, second, third = requests_mock.request_history
        assert {"Authorization", "Cookie", "Range"} <= set(first.headers) & set(second.headers)
        assert third.headers["Range"] == "bytes=5-" and "Authorization" not in third.headers
        assert "Cookie" not in third.headers

    def test_who_was_led_away_and_back_is_nobody(self, providers, requests_mock):
        requests_mock.get(BASE + "/1", status_code=302, headers={"Location": "http://evil.example/"})
        requests_mock.get("http://evil.example/", status_code=302, headers={"Location": BASE + "/3"})
        requests_mock.get(BASE + "/3", content=b"x")
        whole(providers().open(file(BASE + "/1")))
        assert "Authorization" not in requests_mock.last_request.headers

    def test_redirects_end(self, providers, requests_mock):
        requests_mock.get(BASE + "/1", status_code=302, headers={"Location": "/1"})
        with pytest.raises(BadAnswer, match="without end"):
            providers().open(file(BASE + "/1"))
        assert requests_mock.call_count == 6

    def test_refused_is_eacces_and_an_outage_an_outage(self, providers, requests_mock):
        requests_mock.get(self.url, status_code=403)
        with pytest.raises(Denied):
            providers().open(file(self.url))
        requests_mock.get(self.url, status_code=503)
        with pytest.raises(Unreachable):
            providers().open(file(self.url))


class TestFile:
    @pytest.fixture
    def root(self, tmp_path):
        root = tmp_path / "root"
        root.mkdir()
        (root / "a b.dat").write_bytes(DATA)
        (tmp_path / "secret").write_bytes(b"secret")
        return root

    def test_within_a_root(self, providers, root):
        url = root.as_uri() + "/a%20b.dat"
        found = providers().open(file(url))
        assert (found.start, found.size) == (0, len(DATA)) and whole(found) == DATA
        assert whole(providers().open(file(url), 1000)) == DATA[1000:]

    @pytest.mark.parametrize("path", ["../secret", "%2e%2e/secret", "link", "folder/secret", "/etc/passwd"])
    def test_never_outside(self, providers, root, path):
        (root / "link").symlink_to("../secret")
        (root / "folder").symlink_to("..")
        url = f"file://{path}" if path.startswith("/") else f"{root.as_uri()}/{path}"
        with pytest.raises(Denied, match="provider_roots"):
            providers().open(file(url))

    def test_not_even_where_a_link_appears_just_now(self, providers, root, monkeypatch):
        real = os.path.realpath
        url = root.as_uri() + "/sub/secret"
        (root / "sub").symlink_to("..")
        monkeypatch.setattr(os.path, "realpath", lambda path: str(path) if "sub" in str(path) else real(path))
        with pytest.raises(Denied):
            providers().open(file(url))

    def test_only_regular_files(self, providers, root):
        os.mkfifo(root / "fifo")
        for name in ("fifo", ""):
            with pytest.raises(Unobtainable, match="regular"):
                providers().open(file(f"{root.as_uri()}/{name}"))

    def test_a_missing_one_is_not_enoent(self, providers, root):
        with pytest.raises(Unobtainable):
            providers().open(file(root.as_uri() + "/missing"))

    def test_of_another_machine(self, providers, root):
        with pytest.raises(Denied, match="another machine"):
            providers().open(file(f"file://elsewhere{root}/a%20b.dat"))

    def test_a_server_cannot_name_a_way_around(self, providers, root, tmp_path):
        for protocol in ("local", "simplecache", "reference", "dir", "zip"):
            with pytest.raises(Unobtainable):
                providers().open(file(f"{protocol}://{tmp_path}/secret"))
        with pytest.raises(Denied):
            providers().open(file(f"memory::file://{tmp_path}/secret", protocol="memory"))


class TestFsspec:
    @pytest.fixture
    def memory(self):
        system = pytest.importorskip("fsspec").filesystem("memory")
        system.pipe("/providers/x.dat", DATA)
        yield system
        system.rm("/providers", recursive=True)

    def test_what_fsspec_knows(self, providers, memory):
        found = providers().open(file("memory://providers/x.dat"))
        assert found.size == len(DATA) and whole(found) == DATA
        assert whole(providers().open(file("memory://providers/x.dat"), 1000)) == DATA[1000:]

    def test_a_missing_one_is_not_enoent(self, providers, memory):
        with pytest.raises(Unobtainable):
            providers().open(file("memory://providers/missing"))

    def test_an_implementation_that_is_not_installed_is_said(self, providers):
        pytest.importorskip("fsspec")
        with pytest.raises(Unobtainable, match="not installed"):
            providers().open(file("wandb://x/y"))

    def test_a_server_out_of_reach_is_an_outage_without_its_password(self, providers):
        pytest.importorskip("fsspec")
        with pytest.raises(Unreachable) as caught:
            providers(ftp={"timeout": 2}).open(file("ftp://me:secret@127.0.0.1:1/x"))
        assert "secret" not in str(caught.value)

    def test_without_fsspec_the_status_says_what_to_install(self, providers, monkeypatch):
        def missing(name):
            raise ImportError(name)

        monkeypatch.setattr(others.importlib, "import_module", missing)
        with pytest.raises(Unobtainable, match=r"pacifica-fs\[fsspec\]"):
            providers().open(file("s3://bucket/key"))


class TestFtp:
    """A real server."""

    @pytest.fixture
    def ftp(self, tmp_path):
        authorizers = pytest.importorskip("pyftpdlib.authorizers")
        handlers, servers = importlib.import_module("pyftpdlib.handlers"), importlib.import_module("pyftpdlib.servers")
        (tmp_path / "ftp").mkdir()
        (tmp_path / "ftp/a b.dat").write_bytes(DATA)
        users = authorizers.DummyAuthorizer()
        users.add_user("me", "secret", str(tmp_path / "ftp"), perm="elr")
        handler = type("Handler", (handlers.FTPHandler,), {"authorizer": users})
        server = servers.ThreadedFTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"timeout": 0.05}, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.address[1]}"
        server.close_all()
        thread.join(10)

    def test_whole_and_from_the_middle(self, providers, ftp):
        made = providers(ftp={"username": "me", "password": "secret"})
        for start in (0, 1000):
            found = made.open(file(f"ftp://{ftp}/a b.dat"), start)
            assert found.start == start and found.size == len(DATA) and whole(found) == DATA[start:]

    def test_what_is_missing_or_refused(self, providers, ftp):
        with pytest.raises(Unobtainable):
            providers(ftp={"username": "me", "password": "secret"}).open(file(f"ftp://{ftp}/missing"))
        with pytest.raises(PacificaFSError) as caught:
            providers(ftp={"username": "me", "password": "wrong-word"}).open(file(f"ftp://{ftp}/a b.dat"))
        assert "wrong-word" not in str(caught.value)
