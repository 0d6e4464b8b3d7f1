"""Jobs are begun, at most so many at a time, one for a resource; their ends are told. A restart begins them again."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import msgspec

from ....errors import PacificaFSError, TooBusy, Unreachable
from ..said import message
from .job import COMPLETE, ERROR, PENDING, Job, Wrong, asked, key_hash
from .store import Store
from .work import Interrupted, Work, World, failure

log = logging.getLogger(__name__)
LOOK = 0.5
"""Seconds between two looks for jobs that other processes took."""
PAUSES = (0.0, 2.0, 10.0, 30.0)
"""Seconds before each try to call result_url."""
UNTOLD = "Process completed but unable to post to result_url"


class Runner:
    """The jobs of one folder. `start` begins to work, unless another process does; the rest is for any thread."""

    def __init__(self, world: World, pauses: tuple[float, ...] = PAUSES) -> None:
        self.world, self._pauses = world, pauses
        self.store = Store(world.folder / "jobs.db")
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._running: dict[str, tuple[str, str]] = {}
        self._pool = ThreadPoolExecutor(world.settings.jobs, "datapusher")
        self._thread = threading.Thread(target=self._dispatch, name="datapusher", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; what runs ends at its next step, and is begun again by the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, body: bytes, id: str = "", key: str = "") -> Job:
        """Take a job from its JSON, durably; `key` is for one without. Wrong; TooBusy."""
        job = asked(body, keyless=bool(key))
        if self.store.counts()[PENDING] >= self.world.settings.max_waiting:
            raise TooBusy("too many jobs wait already; try again later")
        job_key = secrets.token_urlsafe(24)
        job = msgspec.structs.replace(
            job, id=id or str(uuid.uuid4()), requested=self.world.clock.now(), api_key=job.api_key or key,
            job_key=job_key, key_hash=key_hash(job_key),
        )  # fmt: skip
        self.store.add(job)
        self._wake.set()
        return job

    def _dispatch(self) -> None:
        with open(os.open(self.world.folder / "worker.lock", os.O_RDWR | os.O_CREAT, 0o600), "wb") as lock:
            while not self._stopping.is_set():
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._stopping.wait(LOOK)
            swept = 0.0
            while not self._stopping.is_set():
                self._wake.clear()
                try:
                    if self.world.clock.monotonic() - swept > 3600 or not swept:
                        swept = self.world.clock.monotonic()
                        self.store.clear(self.world.settings.retention)
                    self._begin()
                except Exception:
                    log.exception("the list of jobs")
                self._wake.wait(LOOK)

    def _begin(self) -> None:
        for job in self.store.todo():
            target = (job.site, job.resource)
            with self._lock:
                full = len(self._running) >= self.world.settings.jobs
                if full or job.id in self._running or target in self._running.values():
                    continue
                self._running[job.id] = target
            self._pool.submit(self._run, job)

    def _run(self, job: Job) -> None:
        try:
            work = Work(self.world, job, lambda text: self._log(job, text), lambda: self._wanted(job))
            if job.status == PENDING:
                job = self._work(job, work)
            self._tell(job, work)
        except Interrupted:
            pass
        except Exception:
            log.exception("job %s", job.id)
            self._stopping.wait(LOOK)
        finally:
            with self._lock:
                self._running.pop(job.id, None)
            self._wake.set()

    def _work(self, job: Job, work: Work) -> Job:
        log.info("job %s: resource %s", job.id, job.resource)
        error = None
        try:
            work.run()
        except Interrupted:
            if self._stopping.is_set():
                raise
            error = failure(Interrupted(), "the job was deleted")
            self._undo(job, work)
        except (PacificaFSError, OSError) as problem:
            error = failure(problem, message(str(problem), job.secrets))
            self._undo(job, work)
        except Exception as problem:
            log.exception("job %s", job.id)
            error = failure(problem, f"a defect of this program: {message(repr(problem), job.secrets)}")
            self._undo(job, work)
        if error:
            self._log(job, str(error["message"]), "ERROR")
        job = msgspec.structs.replace(
            job, status=ERROR if error else COMPLETE, error=error, finished=self.world.clock.now()
        )
        self.store.change(job)
        log.info("job %s: %s%s", job.id, job.status, f": {error['message']}" if error else "")
        return job

    def _undo(self, job: Job, work: Work) -> None:
        """Never half a table. What cannot be restored now is said, and kept."""
        try:
            work.undo()
        except (PacificaFSError, OSError) as problem:
            self._log(job, f"the former table is not restored: {message(str(problem), job.secrets)}", "ERROR")

    def _tell(self, job: Job, work: Work) -> None:
        """Call result_url, forget the keys."""
        wrong = ""
        for pause in self._pauses if job.result_url else ():
            if self._stopping.wait(pause):
                raise Interrupted
            try:
                shown = {**job.shown(self.store.logs(job.id)), "result_url": job.result_url, "job_key": job.job_key}
                work.tell(json.loads(json.dumps(shown)))
                wrong = ""
                break
            except (PacificaFSError, OSError) as problem:
                wrong = message(str(problem), job.secrets)
                if not isinstance(problem, Unreachable):
                    break
        error = job.error
        if wrong:
            self._log(job, f"unable to post to result_url: {wrong}", "ERROR")
            # The true error is not to be hidden by this one.
            error = error or {"message": UNTOLD}
        self.store.change(msgspec.structs.replace(job, error=error, told=True, api_key="", job_key=""))

    def _log(self, job: Job, text: str, level: str = "INFO") -> None:
        for secret in job.secrets:
            text = text.replace(secret, "***")
        self.store.log(job.id, text, level)

    def _wanted(self, job: Job) -> bool:
        return not self._stopping.is_set() and self.store.has(job.id)


__all__ = ["Runner", "Wrong"]
