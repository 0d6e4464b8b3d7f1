"""Being told when a bundle is done, held or failed."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest

from pacifica_fs.errors import Unreachable
from pacifica_fs.model import Problem

from .test_pipeline import fill


@pytest.fixture
def hook():
    """A web server that keeps what it is told; it answers with the statuses in `answers`, then 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = server.answers.pop(0) if server.answers else 200
            if status == 200:
                server.told.append((self.headers["Content-Type"], json.loads(body)))
            server.asked += 1
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.told, server.asked = [], [], 0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join(5)
    server.server_close()


def listen(rig, target):
    rig.stop()
    rig.settings = msgspec.structs.replace(rig.settings, on_state=target)
    rig.start()


def test_a_webhook_gets_a_cloudevent_once_and_again_if_it_failed(rig, hook):
    hook.answers = [500, 503]
    listen(rig, f"http://127.0.0.1:{hook.server_port}/hook")
    fill(rig)
    rig.until(lambda: hook.told, advance=1)
    (kind, event), *more = hook.told
    assert not more and hook.asked == 3
    assert kind == "application/cloudevents+json" and event["specversion"] == "1.0"
    assert event["type"] == "org.pacifica.fs.upload.done" and event["subject"] == "site/run"
    assert event["data"]["transaction"] == "1000" and event["data"]["receipt"]["files"]
    # A restart repeats nothing.
    rig.until(lambda: rig.drop._spool.get(rig.upload().id).journal.told)
    rig.restart()
    fill(rig, "next")
    rig.until(lambda: len(hook.told) == 2, advance=1)
    assert hook.told[1][1]["subject"] == "site/next"


def test_a_command_gets_it_on_standard_input(rig, tmp_path):
    out = tmp_path / "told"
    code = "import os, sys; line = os.environ['PACIFICA_FS_STATE'] + ' ' + sys.stdin.read() + chr(10); "
    code += f"open({str(out)!r}, 'a').write(line)"
    rig.site.script["check"] = lambda bundle: [Problem("project 99 is not known")] if bundle.name == "bad" else []
    listen(rig, (sys.executable, "-c", code))
    fill(rig, "bad")
    fill(rig, "good")
    rig.until(lambda: out.exists() and out.read_text().count("\n") == 2)
    told = dict(line.split(" ", 1) for line in out.read_text().splitlines())
    assert json.loads(told["held"])["data"]["problems"][0]["what"] == "project 99 is not known"
    assert json.loads(told["done"])["data"]["name"] == "good"


def test_an_outage_is_not_told(rig, hook):
    def down(bundle):
        raise Unreachable("policy does not answer")

    listen(rig, f"http://127.0.0.1:{hook.server_port}/hook")
    rig.site.script["check"] = down
    fill(rig)
    rig.until_state("held")
    rig.site.script.clear()
    rig.until(lambda: hook.told, advance=5)
    assert [event["type"].rpartition(".")[2] for _, event in hook.told] == ["done"]
