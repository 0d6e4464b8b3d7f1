"""The job API over HTTP, as DataPusher has it: a WSGI application on top of a Runner."""

from __future__ import annotations

import hmac

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from ....errors import NotFound, PacificaFSError, TooBusy
from .job import TYPE, Job, Wrong
from .runner import Runner

LARGEST = 4 << 20
DAYS = 14
HELP = "pacifica-fs datapusher: POST /job starts a job, GET /job/ID shows it, GET /status says what there is."


def application(runner: Runner, secret: str = "") -> Flask:
    """The WSGI application. `secret` opens every job, and is what clearing asks for; empty: nothing does."""
    app = Flask("pacifica_fs.datapusher", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST
    app.json.sort_keys = False  # type: ignore[attr-defined]
    store = runner.store

    def master() -> bool:
        given = request.headers.get("Authorization", "")
        return bool(secret) and hmac.compare_digest(given.encode(), secret.encode())

    def opened(id: str) -> Job:
        job = store.get(id)
        if not master() and not job.opens(request.headers.get("Authorization", "")):
            raise _Closed
        return job

    @app.get("/")
    def top() -> Response:
        return jsonify(help=HELP)

    @app.get("/status")
    def status() -> Response:
        return jsonify(job_types=[TYPE], name="datapusher", stats=store.counts(), version=0.1)

    @app.get("/job")
    def listed() -> Response:
        wanted = request.args.to_dict()
        limit, offset = _number(wanted.pop("_limit", ""), 100), _number(wanted.pop("_offset", ""), 0)
        ids = store.ids(wanted.pop("_status", ""), wanted, limit, offset)
        return jsonify(list=[f"/job/{id}" for id in ids])

    @app.post("/job")
    @app.post("/job/<id>")
    def submitted(id: str = "") -> tuple[Response, int]:
        if request.mimetype != "application/json":
            return jsonify(error="the content type has to be application/json"), 415
        job = runner.submit(request.get_data(), id)
        return jsonify({**job.shown([]), "job_key": job.job_key}), 200

    @app.get("/job/<id>")
    def shown(id: str) -> Response:
        job = opened(id)
        limit = request.args.get("limit", "")
        return jsonify(job.shown(store.logs(id, _number(limit, 0) if limit else None)))

    @app.get("/job/<id>/data")
    def data(id: str) -> Response:
        opened(id)
        return Response("", mimetype="text/html")

    @app.delete("/job/<id>")
    def deleted(id: str) -> Response:
        opened(id)
        store.delete(id)
        return jsonify(success=True)

    @app.delete("/job")
    def cleared() -> Response:
        if not master():
            raise _Closed
        store.clear(_number(request.args.get("days", ""), DAYS) * 86400.0)
        return jsonify(success=True)

    @app.errorhandler(_Closed)
    def closed(error: _Closed) -> tuple[Response, int]:
        return jsonify(error="not authorized"), 403

    @app.errorhandler(PacificaFSError)
    def refused(error: PacificaFSError) -> tuple[Response, int]:
        kinds: tuple[tuple[type, int], ...] = ((NotFound, 404), (TooBusy, 503), (Wrong, 409))
        return jsonify(error=str(error)), next((code for kind, code in kinds if isinstance(error, kind)), 500)

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description or error.name), error.code or 500

    return app


class _Closed(Exception):
    """The key is not the right one."""


def _number(text: str, default: int) -> int:
    if not text:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise Wrong(f"a number was expected, not {text[:20]}")
    return int(text)
