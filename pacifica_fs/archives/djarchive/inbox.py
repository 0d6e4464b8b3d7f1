"""The publishing side: a bundle becomes a revision, whose manifest is uploaded last, by the `admin` identity."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...archive import Sidecars
from ...clock import Clock
from ...errors import Corrupt, Denied, Exists, Invalid, NotFound, PacificaFSError
from ...model import Bundle, Metadata, Problem, Progress, Ticket
from . import manifest, rules
from .multipart import Multipart
from .options import Chosen
from .sending import Sending
from .sent import Sent
from .store import Bucket, is_name


class DJInbox:
    """Implements `archive.Inbox` and `archive.Choosy`. A published revision cannot be taken back."""

    reversible = False
    hash = "sha256"
    sidecars = Sidecars(rules.FIELDS)
    layout = "{dataset}/{revision}"
    whole = True
    manifest = manifest.NAME

    def __init__(
        self, name: str, bucket: Bucket, chosen: Chosen, state: Path, clock: Clock, log: logging.Logger
    ) -> None:
        """`state` is a folder for what was sent of revisions that are not complete yet."""
        self._name = name
        self._bucket = bucket
        self._chosen = chosen
        self._state = state
        self._clock = clock
        self._log = log

    # -- which files

    def leaves_out(self, path: str, metadata: Metadata) -> str:
        """See Choosy."""
        return rules.leaves_out(path, metadata, self._chosen.filter)

    def listed(self, content: bytes) -> Mapping[str, int]:
        """See Choosy."""
        return {path: size for size, _, path in manifest.parse(content, manifest.NAME)}

    def place(self, container: str) -> str:
        """See Choosy."""
        return container

    # -- Inbox

    def check(self, bundle: Bundle) -> Sequence[Problem]:
        """The rules, then whether the revision is there already, and whether these keys may write."""
        found = rules.problems(bundle)
        dataset, _, revision = rules.target(bundle.metadata).partition("/")
        if not (is_name(dataset) and is_name(revision)):
            return found
        try:
            there = self._there(rules.target(bundle.metadata))
        except Denied as error:
            return [*found, Problem(str(error), f"Correct admin in [archives.{self._name}].")]
        if there is not None and there != rules.lines(bundle):
            found += rules.replaced(bundle, there)
        return found

    def length(self, bundle: Bundle) -> int:
        """The bytes of its files, and of the manifest."""
        return sum(file.size for file in bundle.files if file.path != manifest.NAME) + len(_manifest(bundle))

    def send(self, bundle: Bundle, sent: Callable[[int], None], last: Callable[[], None]) -> Ticket:
        """Upload the files, several at once, and the manifest last. What an earlier try sent is not sent again.

        Invalid where it breaks a rule of `check`, Corrupt where a source is not what its digest says.
        """
        if refused := rules.problems(bundle):
            raise Invalid("; ".join(f"{problem.path} {problem.what}".strip() for problem in refused[:3]))
        id, lines, text = rules.target(bundle.metadata), rules.lines(bundle), _manifest(bundle)
        there = self._there(id)
        if there == lines:
            sent(self.length(bundle))
            last()
            return _ticket(id, bundle)
        if there is not None and (refused := rules.replaced(bundle, there)):
            raise Invalid("; ".join(problem.what for problem in refused))
        before = Sent(self._state / f"{bundle.id}.jsonl")
        if there is not None:
            self._log.warning("%s: replacing the revision: its manifest is removed first", id)
            before.same(self._bucket.objects(f"{id}/"), there, f"{id}/")
            self._bucket.delete([f"{id}/{manifest.NAME}"])
        multipart = Multipart(self._bucket.place, self._bucket.keys(), self._clock, self._state)
        try:
            Sending(self._bucket, multipart, id, before, self._log)(bundle, sent)
        finally:
            multipart.close()
        sent(self.length(bundle))
        last()
        try:
            self._bucket.put(f"{id}/{manifest.NAME}", text, create=True)
        except Exists:
            if self._there(id) != lines:
                raise Invalid(f"somebody else published {id} meanwhile: choose another revision") from None
        self._tidy(id, lines, before, rules.said(bundle.metadata, "replace"))
        self._log.info("%s: published, %d files, %d bytes", id, len(lines), bundle.size)
        return _ticket(id, bundle)

    def poll(self, ticket: Ticket) -> Progress:
        """What has its manifest is done."""
        dataset, _, revision = ticket.job.partition("/")
        if not (is_name(dataset) and is_name(revision)):
            raise NotFound(f"{self._name}: {ticket.job!r} is no revision")
        self._bucket.head(f"{ticket.job}/{manifest.NAME}")
        return Progress("done", task="published", percent=100.0, container=ticket.job)

    def find(self, bundle: Bundle) -> Sequence[str]:
        """The revision, if its manifest says exactly what is in the bundle."""
        id = rules.target(bundle.metadata)
        return (id,) if self._there(id) == rules.lines(bundle) else ()

    # -- inside

    def _there(self, id: str) -> dict[str, tuple[int, str]] | None:
        """The manifest of the revision `id`; None if it has none."""
        key = f"{id}/{manifest.NAME}"
        try:
            data, _ = self._bucket.get(key)
        except NotFound:
            return None
        parsed = manifest.parse(bytes(data), self._bucket.place.url(key))
        return dict(sorted((path, (size, digest)) for size, digest, path in parsed))

    def _tidy(self, id: str, lines: rules.Lines, before: Sent, replace: bool) -> None:
        """Nothing of this is needed for the revision to be right."""
        try:
            if replace:
                keep = {f"{id}/{path}" for path in (*lines, manifest.NAME)}
                stale = [each.key for each in self._bucket.objects(f"{id}/") if each.key not in keep]
                self._bucket.delete(stale)
            before.remove()
        except (PacificaFSError, OSError) as error:
            self._log.warning("%s: leftovers of the earlier revision stay: %s", id, error)


def _manifest(bundle: Bundle) -> bytes:
    """The one that was dropped (it was compared with the files), else a new one."""
    for file in bundle.files:
        if file.path == manifest.NAME:
            try:
                return file.source.read_bytes()
            except OSError as error:
                raise Corrupt(f"{file.path} cannot be read: {error.strerror}") from error
    return manifest.format((size, digest, path) for path, (size, digest) in rules.lines(bundle).items())


def _ticket(id: str, bundle: Bundle) -> Ticket:
    return Ticket(id, {"revision": id, "files": len(bundle.files), "bytes": bundle.size})
