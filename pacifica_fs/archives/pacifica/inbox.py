"""Where a site takes uploads: checked here and by policy, sent as one tar, followed, and found again."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from cachetools import TTLCache

from ...archive import Sidecars
from ...config import ArchiveSettings
from ...errors import BadAnswer, Invalid, NotFound, PacificaFSError, TooLarge, Unreachable
from ...model import Bundle, FileRef, Problem, Progress, Ticket
from ...model import Metadata as Given
from ...transport.failures import Answer
from ...transport.http import Http, Timeouts
from ...transport.wire import HungUp, Wire
from . import entries, jobs, rows, rules
from .catalogue import Catalogue
from .filling import Filled
from .metadata import Metadata
from .policy import Policy
from .tarwrite import TarBody
from .template import Template
from .uploader import Uploader

log = logging.getLogger(__name__)

# A bundle is looked for among what was uploaded since it was made, less what the two clocks may differ.
SKEW_NS = 3600 * 10**9
ALLOWED_SECONDS = 30.0
SEND_SECONDS = 120.0
SPOOL_SECONDS = 600.0
SPOOL_RATE = 5 * 2**20


class PacificaInbox:
    """See Inbox. A refusal that `send` raises as Denied or Invalid was stated by the server: nothing was ingested."""

    # No transaction can be taken back either, but quiet is how instruments say that they are done.
    reversible = True

    def __init__(
        self,
        settings: ArchiveSettings,
        login: str,
        ingest: Http,
        policy: Policy,
        metadata: Metadata | None,
        catalogue: Catalogue,
        template: Template | None = None,
        first: bool = False,
    ) -> None:
        self.hash = settings.hash
        self._name = settings.name
        self._limit = settings.max_bundle
        self._login = login
        self._ingest = ingest
        self._policy = policy
        self._metadata = metadata
        self._catalogue = catalogue
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()
        self._allowed: TTLCache[str, bool] = TTLCache(256, ALLOWED_SECONDS)
        self._answered = float("-inf")
        self._uploader = Uploader(policy, template, first, self._refuses)
        self._template = template
        self.sidecars = Sidecars(frozenset(entries.HEADER) | (template.names if template else frozenset()))

    def check(self, bundle: Bundle) -> Sequence[Problem]:
        """See Inbox. The site's template completes the metadata first; its own problems come with the rules'."""
        found = rules.problems(bundle, self._uploader.fields)
        if any(rules.metadata(bundle.metadata, self._uploader.fields)):
            return found
        try:
            submitter = self._submitter(bundle)
        except NotFound:
            return [*found, self._unknown_user(bundle)]
        filled = self._uploader.fill(bundle.metadata, submitter)
        whole = _completed(bundle, filled)
        found = [*filled.problems, *rules.problems(whole)]
        if filled.problems:
            return found
        if not found and self._limit is not None and self.length(bundle) > self._limit:
            found.append(_too_large(self.length(bundle), self._limit))
        if any(rules.metadata(whole.metadata)):
            return found
        fields = whole.metadata.fields
        refusal = self._refusal(entries.header(fields, submitter))
        if refusal is not None:
            found.extend(_refusals(refusal, self._who(bundle), fields["project"].strip(), fields["instrument"].strip()))
        return found

    def guide(self, path: Sequence[str]) -> Sequence[str] | None:
        """See Guides: `.choices/`, `.example/` and `.template.json`."""
        return self._uploader.names(path)

    def guide_text(self, path: Sequence[str], user: str) -> str:
        """See Guides."""
        return self._uploader.text(path, lambda: self._number(user or self._login))

    def added(self, bundle: Bundle, container: str) -> Sequence[FileRef]:
        """See Adds: without the folders that the site's template puts around all files."""
        refs = rows.file_refs(self._name, container, self._catalogue.files(container))
        around = self._around(bundle, refs)
        return [msgspec.structs.replace(ref, parts=ref.parts[around:]) for ref in refs] if around else refs

    def _around(self, bundle: Bundle, refs: Sequence[FileRef]) -> int:
        """How many folders those are."""
        most = sum(1 + (entry.shown or "").count("/") for entry in self._template.folders) if self._template else 0
        paths = {file.path for file in bundle.files}
        for number in range(most + 1):
            if {"/".join(ref.parts[number:]) for ref in refs} == paths:
                return number
        return 0

    def _refuses(self, submitter: int, fields: Mapping[str, str]) -> bool:
        return self._refusal(entries.header(fields, submitter)) is not None

    def _refusal(self, header: list[dict[str, Any]]) -> tuple[str, ...] | None:
        """What policy says; its yes holds for a moment: many bundles of one day ask the same, the site is slow at it,
        and asks itself again when it ingests.
        """
        key = json.dumps(header, sort_keys=True)
        with self._lock:
            if key in self._allowed:
                return None
        refusal = self._policy.refusal(header)
        if refusal is None:
            with self._lock:
                self._allowed[key] = True
        return refusal

    def unknown(self, fields: Mapping[str, str]) -> Sequence[Problem]:
        """Those of `fields` (a project, an instrument) that the site does not know; it judges rights only with both."""
        given = {"project": "", "instrument": "-1"} | {name: value.strip() for name, value in fields.items()}
        if not given["instrument"].lstrip("-").isdecimal():
            return [Problem(f"instrument '{given['instrument']}' is not the number of one", "use its number")]
        submitter = self._submitter(Bundle("", self._name, "", (), Given(given)))
        refused = self._policy.refusal(entries.header(given, submitter)) or ()
        return _refusals(tuple(name for name in refused if name in fields), "", given["project"], given["instrument"])

    def length(self, bundle: Bundle) -> int:
        """See Inbox. Asks policy for the submitter's number, once for each login name, and what a template needs."""
        return len(self._body(self._whole(bundle)))

    def send(self, bundle: Bundle, sent: Callable[[int], None], last: Callable[[], None]) -> Ticket:
        """See Inbox. The answer comes only after the site has stored the whole upload, which may take its time."""
        bundle = self._whole(bundle)
        # The site would store `..` and two files of one path as they are: such names never leave this machine.
        for problem in rules.files(bundle.files):
            raise Invalid(f"{problem.path}: {problem.what}; {problem.remedy}")
        wire = Wire(SEND_SECONDS)
        body = self._body(bundle, sent, last, wire.settle)
        size = len(body)
        # A cheap question first (no job has this number): a password that is no longer right must not show at the end.
        # It is not asked where ingest has answered a moment ago, as while one bundle follows the other.
        if time.monotonic() - self._answered > ALLOWED_SECONDS:
            self._ingest.request("GET", "/get_state", params={"job_id": -1}, expect=(200, 404, 500))
        timeouts = Timeouts(connect=SEND_SECONDS, read=SPOOL_SECONDS + size / SPOOL_RATE)
        try:
            expect = (200, 400, 404, 405, 411, 413)
            answer = self._ingest.upload("/upload", body, expect=expect, timeouts=timeouts, wire=wire)
        except BaseException as error:
            self._answered = float("-inf")
            if body.failure not in (None, error) and not isinstance(body.failure, GeneratorExit | HungUp):
                raise body.failure from None
            raise
        if answer.status != 200:
            raise self._refused(answer, size)
        if body.passed < size:
            raise Unreachable(f"{answer.url} answered before it had the whole upload")
        state = answer.json()
        job = state.get("job_id") if isinstance(state, dict) else None
        if not isinstance(job, int) or job < 0:
            raise BadAnswer(f"{answer.url}: no job number in the answer")
        return Ticket(str(job), state)

    def poll(self, ticket: Ticket) -> Progress:
        """See Inbox."""
        state = self._ingest.json("GET", "/get_state", params={"job_id": ticket.job}, absent=True)
        self._answered = time.monotonic()
        if not isinstance(state, dict):
            raise BadAnswer(f"{self._ingest.base}/get_state: an object was expected")
        return jobs.progress(state)

    def find(self, bundle: Bundle) -> Sequence[str]:
        """See Inbox. Several ids mean that the site made several transactions of it."""
        if self._metadata is not None:
            found = self._metadata.with_pair(entries.BUNDLE_KEY, bundle.id)
            if found:
                return found
        since = entries.timestamp(bundle.created_ns - SKEW_NS) if bundle.created_ns > SKEW_NS else ""
        project = bundle.metadata.fields.get("project", "").strip()
        candidates = tuple(self._policy.candidates(self._submitter(bundle), project, since))
        marked = tuple(entry.id for entry in candidates if entry.keys.get(entries.BUNDLE_KEY) == bundle.id)
        if marked:
            return marked
        # A site that strips keys: only the content is left to recognise it by. Another bundle's id rules it out.
        return tuple(
            entry.id
            for entry in candidates
            if bundle.files
            and entries.BUNDLE_KEY not in entry.keys
            and entry.files == len(bundle.files)
            and self._same(entry.id, bundle)
        )

    def _same(self, id: str, bundle: Bundle) -> bool:
        refs = self.added(bundle, id)
        return {_signature(ref) for ref in refs} == {(file.path, file.size, str(file.digest)) for file in bundle.files}

    def _body(
        self,
        bundle: Bundle,
        sent: Callable[[int], None] = lambda _: None,
        last: Callable[[], None] = lambda: None,
        settle: Callable[[Callable[[], None]], None] = lambda meanwhile: None,
    ) -> TarBody:
        return TarBody(bundle.files, entries.document(bundle, self._submitter(bundle)), sent, last, settle)

    def _whole(self, bundle: Bundle) -> Bundle:
        """With what the site's template adds; Invalid where something is missing by now."""
        filled = self._uploader.fill(bundle.metadata, self._submitter(bundle))
        for problem in filled.problems:
            raise Invalid(f"{problem.what}; {problem.remedy}")
        return _completed(bundle, filled)

    def _who(self, bundle: Bundle) -> str:
        return bundle.metadata.fields.get("submitter", "").strip() or self._login

    def _submitter(self, bundle: Bundle) -> int:
        """The submitter's number; a login name is resolved once. NotFound if the site does not know it."""
        return self._number(self._who(bundle))

    def _number(self, who: str) -> int:
        if who.isdecimal():
            return int(who)
        if who not in self._numbers:
            self._numbers[who] = self._policy.user_id(who)
        return self._numbers[who]

    def _unknown_user(self, bundle: Bundle) -> Problem:
        who = self._who(bundle)
        if bundle.metadata.fields.get("submitter", "").strip():
            return Problem(f"the submitter '{who}' is not known to the site", "correct it in the sidecar")
        return Problem(
            f"your login name '{who}' is not known to the site",
            f'set user = "…" in [archives.{self._name}], or "submitter" in the sidecar',
        )

    def _refused(self, answer: Answer, size: int) -> PacificaFSError:
        if answer.status == 413:
            return TooLarge(
                f"the site refuses an upload of {size} bytes: its limit is lower. Divide the bundle, or ask the site "
                f"to raise it; max_bundle in [archives.{self._name}] makes this known before the upload"
            )
        return Invalid(f"{answer.url} takes no uploads (status {answer.status}); is the address of ingest right?")


def _completed(bundle: Bundle, filled: Filled) -> Bundle:
    """`bundle` with the metadata found, and its files below the folders that the site wants around them."""
    files = bundle.files
    if filled.prefix:
        around = "/".join(filled.prefix)
        files = tuple(msgspec.structs.replace(file, path=f"{around}/{file.path}") for file in files)
    return msgspec.structs.replace(bundle, metadata=filled.metadata, files=files)


def _signature(ref: FileRef) -> tuple[str, int, str]:
    return "/".join(ref.parts), ref.size, str(ref.digest)


def _too_large(size: int, limit: int) -> Problem:
    return Problem(f"the upload has {size} bytes; the site takes at most {limit}", "divide it into several bundles")


def _refusals(found: tuple[str, ...], who: str, project: str, instrument: str) -> list[Problem]:
    """Policy's findings with the values at hand."""
    if found == ("right",):
        return [
            Problem(
                f"user {who} may not upload to project {project} with instrument {instrument}",
                "choose another project or instrument, or ask the site for the right",
            )
        ]
    values = {"submitter": f"user {who}", "project": f"project {project}", "instrument": f"instrument {instrument}"}
    return [
        Problem(f"{values[name]} is not known to the site", f"correct the {name} in the sidecar")
        if name in values
        else Problem(f"the site's policy refuses the upload: {name}", "ask the site")
        for name in found
    ]
