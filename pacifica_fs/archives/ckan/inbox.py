"""Where a site takes uploads: files become resources of a package, tables go on into the DataStore."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import msgspec

from ...archive import Effects, Sidecars
from ...config import ArchiveSettings
from ...errors import BadAnswer, Invalid, NotFound, PacificaFSError, TooLarge, Unreachable
from ...model import Bundle, BundleFile, FileRef, Metadata, Problem, Progress, Ticket
from ...transport.http import Http, Timeouts
from . import rows
from .api import Api, Refused, Token, result
from .datastore import DataStore
from .loaders import DataPusher, Loader, Plugin
from .options import Options
from .pushes import PUSHING, WAITING, FilePush, Push, Pushes, Ways
from .rows import BUNDLE, PATH, SHA
from .site import Site
from .tables import BadTable, NotATable, format_of, read
from .upload import Multipart
from .wishes import PLAIN, STRUCTURED, Plan, Wish, plan

APART = " table"
SEND_SECONDS = 120.0
SEND_RATE = 1 << 20


class CkanInbox:
    """See Inbox. A resource carries its bundle's id and its file's path and hash among its own extras."""

    reversible = True
    hash = "sha256"
    sidecars = Sidecars(frozenset({*PLAIN, *STRUCTURED}), frozenset(STRUCTURED), True)
    layout = "{package}"
    whole = False
    manifest = ""

    def __init__(
        self,
        settings: ArchiveSettings,
        chosen: Options,
        http: Http,
        token: Token,
        site: Site,
        pusher: Http | None,
        effects: Effects,
    ) -> None:
        self._name, self._options, self._http, self._token, self._site = settings.name, chosen, http, token, site
        self._api, self._pusher = Api(http), pusher
        self._lock = threading.Lock()
        self._turns: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        state = effects.state / "ckan" / settings.name
        store = DataStore(self._api, state / "tables", effects.clock)
        self._store = store
        ways = Ways(store, self._loader, self._plugin, self._aside, lambda: (token.value,), float(chosen.job_timeout))
        self._pushes = Pushes(state / "pushes", ways, effects.clock, site.stopping)
        site.at_close(self._pushes.close)

    def check(self, bundle: Bundle) -> Sequence[Problem]:
        """See Inbox. Every table is read to its end before the site is asked anything."""
        wanted = plan(bundle, self._options.organisation)
        found = [*wanted.problems, *self._names(wanted)]
        for file in bundle.files:
            found += self._file(file, wanted.files.get(file.path, Wish()))
        if found:
            return found
        if not self._token.value:
            remedy = f"Make one at the site, and put it where [archives.{self._name}] finds it."
            return [Problem("uploads need a token", remedy)]
        if not self._site.who():
            return [Problem("the site does not accept the token (any more)", "Make a new one there, and configure it.")]
        modes = {self._mode(wish) for wish in wanted.files.values()}
        if "datapusher" in modes and self._loader("datapusher") is None:
            found.append(Problem('mode "datapusher": the site has none', f"Set datapusher in [archives.{self._name}]."))
        try:
            package: Mapping[str, Any] | None = self._show(wanted.package)
        except NotFound:
            package = None
        return [*found, *(self._new(wanted) if package is None else self._existing(bundle, wanted, package))]

    def length(self, bundle: Bundle) -> int:
        """See Inbox: the bytes of the files."""
        return bundle.size

    def send(self, bundle: Bundle, sent: Callable[[int], None], last: Callable[[], None]) -> Ticket:
        """See Inbox. What an earlier try brought there already is found by the bundle's id, and not sent again."""
        wanted = plan(bundle, self._options.organisation)
        for problem in wanted.problems:
            raise Invalid(f"{problem.what}; {problem.remedy}")
        with self._sending(wanted.package):
            return self._send(bundle, wanted, sent, last)

    def _send(self, bundle: Bundle, wanted: Plan, sent: Callable[[int], None], last: Callable[[], None]) -> Ticket:
        package = self._package(wanted)
        id = str(package["id"])
        there = {file.path: self._there(package, bundle, file, wanted.files[file.path]) for file in bundle.files}
        missing = [file for file in bundle.files if there[file.path] is None]
        pushed: dict[str, FilePush] = {}
        done = 0
        for file in bundle.files:
            wish, resource = wanted.files[file.path], there[file.path]
            known, before = resource is not None, ""
            if resource is None:
                begun = done
                action, body, before = self._body(
                    bundle, package, file, wish,
                    lambda count, begun=begun: sent(begun + count),  # type: ignore[misc]
                    last if file is missing[-1] else lambda: None,
                )  # fmt: skip
                resource = self._upload(action, body)
            done += file.size
            sent(done)
            known = known and resource.get(BUNDLE) != bundle.id
            pushed[file.path] = self._entry(file, wish, str(resource["id"]), known, before)
        if not missing:
            last()
        self._pushes.add(Push(bundle.id, id, tuple(pushed.values())))
        details = {"package": package.get("name"), "resources": {path: one.resource for path, one in pushed.items()}}
        return Ticket(bundle.id, details)

    def poll(self, ticket: Ticket) -> Progress:
        """See Inbox. It goes on with the tables, after a restart, too."""
        push = self._pushes.get(ticket.job)
        details = {"files": {file.path: file.shown() for file in push.files}}
        if push.over:
            if push.failure:
                return Progress("failed", "DataStore", 100.0, push.failure, push.package, details)
            return Progress("done", "stored", 100.0, "", push.package, details)
        busy = [file for file in push.files if file.state in (WAITING, PUSHING)]
        rows_done = sum(file.stored or 0 for file in push.files)
        rows_all = sum(file.expected or 0 for file in push.files)
        first = next((file for file in busy if file.state == PUSHING), busy[0])
        far = f": {first.stored} of {first.expected} rows" if first.expected and first.stored is not None else ""
        percent = 100.0 * rows_done / rows_all if rows_all else 0.0
        return Progress(
            "", f"{first.path} into the DataStore ({first.route or 'reading'}){far}", percent, "", "", details
        )

    def find(self, bundle: Bundle) -> Sequence[str]:
        """See Inbox. Found once all files are resources, and their tables in the DataStore."""
        wanted = plan(bundle, self._options.organisation)
        try:
            package = self._show(wanted.package)
        except NotFound:
            return ()
        found = {file.path: self._there(package, bundle, file, wanted.files[file.path]) for file in bundle.files}
        if not found or any(resource is None for resource in found.values()):
            return ()
        try:
            push = self._pushes.get(bundle.id)
        except NotFound:
            entries = [
                self._entry(file, wanted.files[file.path], str((found[file.path] or {})["id"]), True)
                for file in bundle.files
            ]
            self._pushes.add(Push(bundle.id, str(package["id"]), tuple(entries)))
            push = self._pushes.get(bundle.id)
        if push.failure and push.over:
            raise Invalid(f"the files are there, but {push.failure}")
        return (push.package,) if push.over else ()

    def added(self, bundle: Bundle, container: str) -> Sequence[FileRef]:
        """See Adds: a package has other files, too."""
        package = self._show(container)
        wanted = plan(bundle, self._options.organisation)
        refs = []
        for file in bundle.files:
            resource = self._there(package, bundle, file, wanted.files[file.path])
            if resource is not None:
                size = resource.get("size")
                ref = rows.file(self._name, container, resource, size if isinstance(size, int) else file.size)
                refs.append(msgspec.structs.replace(ref, parts=tuple(file.path.split("/"))))
        return refs

    def listed(self, content: bytes) -> Mapping[str, int]:
        """See Choosy: there are no manifests."""
        return {}

    def leaves_out(self, path: str, metadata: Metadata) -> str:
        """See Choosy: nothing is left out."""
        return ""

    def place(self, container: str) -> str:
        """See Choosy."""
        return f"packages/{container}"

    # what is wanted

    def _names(self, wanted: Plan) -> list[Problem]:
        if rows.NAME(wanted.package):
            return []
        what = f"'{wanted.package}' cannot be the name of a package"
        return [Problem(what, "Small letters, digits, '-' and '_', at least two. Or name it: \"dataset\".")]

    def _file(self, file: BundleFile, wish: Wish) -> list[Problem]:
        most = self._options.max_upload
        if most is not None and file.size > most:
            what = f"has {file.size} bytes; the site takes files of at most {int(most)} (max_upload)"
            return [Problem(what, "Divide it, or ask the site to raise ckan.max_resource_size.", file.path)]
        if self._mode(wish) == "none":
            return []
        try:
            read(file.source, _format(file, wish), wish.table)
        except NotATable as error:
            if wish.table.fields or wish.primary_key:
                what = f"the sidecar describes columns, but it is not a table: {error}"
                return [Problem(what, 'Correct the file, or say "mode": "none".', file.path)]
        except BadTable as error:
            return [Problem(str(error), 'Correct the file or the sidecar, or say "mode": "none".', file.path)]
        return []

    def _new(self, wanted: Plan) -> list[Problem]:
        if wanted.create is None:
            what = f"the site has no package '{wanted.package}' (or it is private, and not for this user)"
            return [Problem(what, 'Correct its name, or ask for it in metadata.json: "create_dataset": {}.')]
        if not wanted.organisation:
            return [Problem("a new package needs an organisation", 'Write "org": "…" into metadata.json.')]
        if not self._site.writable(wanted.organisation):
            what = f"this user may not make packages of the organisation '{wanted.organisation}'"
            return [Problem(what, "Choose another one, or ask its administrators.")]
        return []

    def _existing(self, bundle: Bundle, wanted: Plan, package: Mapping[str, Any]) -> list[Problem]:
        found = []
        owner = str(package.get("owner_org") or "")
        if owner and not self._site.writable(owner) and not self._collaborates(package):
            what = f"this user may not change the package '{wanted.package}' of '{rows.organisation(package)}'"
            return [Problem(what, "Ask the administrators of its organisation.")]
        for file in bundle.files:
            try:
                if self._there(package, bundle, file, wanted.files[file.path]) is None:
                    self._target(package, file, wanted.files[file.path])
            except Invalid as error:
                remedy = 'Set "replace": true in its sidecar, or give it another "name".'
                found.append(Problem(str(error), remedy, file.path))
        return found

    def _collaborates(self, package: Mapping[str, Any]) -> bool:
        try:
            listed = self._api.read("package_collaborator_list_for_user", id=self._site.who(), capacity="editor")
        except PacificaFSError:
            return False
        return any(one.get("package_id") == package["id"] for one in listed)

    # what is there

    def _sending(self, package: str) -> threading.Lock:
        """One upload into a package at a time: whether a name is taken must not change, and CKAN loses resources that
        are made at once."""
        with self._lock:
            return self._turns.setdefault(package, threading.Lock())

    def _show(self, name: str) -> Mapping[str, Any]:
        found = self._api.read("package_show", id=name)
        if not isinstance(found, dict) or not found.get("id"):
            raise BadAnswer(f"package_show of {name}: an object with an id was expected")
        return found

    def _there(
        self, package: Mapping[str, Any], bundle: Bundle, file: BundleFile, wish: Wish
    ) -> Mapping[str, Any] | None:
        """The resource that has this file already; None if it is to be sent."""
        for one in rows.resources(package):
            if one.get(BUNDLE) == bundle.id and one.get(PATH) == file.path:
                return one
        for one in rows.resources(package):
            if rows.name_of(one) == wish.name and rows.is_upload(one) and self._equal(one, file):
                return one
        return None

    def _equal(self, resource: Mapping[str, Any], file: BundleFile) -> bool:
        """The same bytes: by the hash that we left, else they are read. Links and tables are none."""
        if resource.get("size") not in (file.size, None):
            return False
        if resource.get(SHA):
            return bool(resource[SHA] == file.digest.value)
        hasher = hashlib.sha256()
        with self._http.stream(self._http.base + urlsplit(str(resource["url"])).path) as stream:
            for piece in stream.chunks():
                hasher.update(piece)
        return hasher.hexdigest() == file.digest.value

    def _target(self, package: Mapping[str, Any], file: BundleFile, wish: Wish) -> str:
        """The resource that gets other content, empty for a new one. Invalid where a name is taken."""
        listed = rows.resources(package)
        if wish.replace and wish.replace != "true":
            found = [str(one["id"]) for one in listed if wish.replace in (one["id"], rows.name_of(one))]
            if len(found) != 1:
                count = "no resource" if not found else f"{len(found)} resources"
                raise Invalid(f"the package has {count} called '{wish.replace}', which was to be replaced")
            return found[0]
        same = [one for one in listed if rows.name_of(one) == wish.name and one.get(SHA) != file.digest.value]
        if not same:
            return ""
        if wish.replace and len(same) == 1:
            return str(same[0]["id"])
        if wish.replace:
            raise Invalid(f"the package has {len(same)} resources called '{wish.name}'; name the one by its id")
        raise Invalid(f"the package has a resource '{wish.name}' with other content")

    # sending

    def _package(self, wanted: Plan) -> Mapping[str, Any]:
        try:
            return self._show(wanted.package)
        except NotFound:
            if wanted.create is None:
                raise Invalid(f"the site has no package '{wanted.package}'") from None
        asked = {"private": True, **wanted.create, "name": wanted.package, "owner_org": wanted.organisation}
        try:
            self._api.write("package_create", **asked)
        except Refused as error:
            if "name" not in error.fields:  # else another one made it meanwhile
                raise
        except Unreachable:
            pass  # perhaps it was made; if not, the next line says so
        return self._show(wanted.package)

    def _body(
        self,
        bundle: Bundle,
        package: Mapping[str, Any],
        file: BundleFile,
        wish: Wish,
        sent: Callable[[int], None],
        last: Callable[[], None],
    ) -> tuple[str, Multipart, str]:
        target = self._target(package, file, wish)
        fields = {**wish.extras, BUNDLE: bundle.id, PATH: file.path, SHA: file.digest.value}
        if wish.description:
            fields["description"] = wish.description
        if target:
            # The former table is saved before the site's own loader can touch it.
            self._store.begin(target)
            plugin = self._plugin()
            before = plugin.look(target, "", "").sign if plugin is not None else ""
            return "resource_patch", Multipart({"id": target, **fields}, file, _filename(file), sent, last), before
        said = wish.format or _format(file, wish).upper()
        if said and self._mode(wish) == "direct" and self._site.loader():
            said = _apart(said)
        named = {"package_id": str(package["id"]), "name": wish.name, **({"format": said} if said else {}), **fields}
        return "resource_create", Multipart(named, file, _filename(file), sent, last), ""

    def _upload(self, action: str, body: Multipart) -> Mapping[str, Any]:
        timeouts = Timeouts(connect=SEND_SECONDS, read=SEND_SECONDS + len(body) / SEND_RATE)
        try:
            answer = self._http.upload(
                f"/api/3/action/{action}", body, content_type=body.content_type, timeouts=timeouts
            )  # fmt: skip
        except Refused as error:
            if "too large" in str(error.fields.get("upload", "")).lower():
                raise TooLarge(
                    f"the site takes no file of {body.file.size} bytes ({body.file.path}): set max_upload in "
                    f"[archives.{self._name}] to its limit (ckan.max_resource_size) to know that before it is sent"
                ) from error
            raise
        except BaseException as error:
            if body.failure is not None and body.failure is not error and not isinstance(body.failure, GeneratorExit):
                raise body.failure from None
            raise
        found = result(answer)
        if not isinstance(found, dict) or not found.get("id"):
            raise BadAnswer(f"{action}: an object with an id was expected")
        return found

    def _entry(self, file: BundleFile, wish: Wish, resource: str, known: bool, before: str = "") -> FilePush:
        return FilePush(
            file.path, resource, str(file.source), _format(file, wish), wish, self._mode(wish), known, before
        )  # fmt: skip

    # the ways into the DataStore

    def _mode(self, wish: Wish) -> str:
        return wish.mode or self._options.mode

    def _plugin(self) -> Loader | None:
        name = self._site.loader()
        return Plugin(self._api, name, self._token.value) if name else None

    def _aside(self, resource: str) -> str:
        """Have the site's own loader leave a resource alone, which it does by the format."""
        format = str(self._api.read("resource_show", id=resource).get("format") or "")
        if not format or format == _apart(format):
            return ""
        self._api.write("resource_patch", id=resource, format=_apart(format))
        return f"its format is '{_apart(format)}' now, so that the site's {self._site.loader()} leaves it alone"

    def _loader(self, mode: str) -> Loader | None:
        if mode not in ("auto", "datapusher"):
            return None
        plugin = self._plugin()
        if plugin is not None:
            return plugin
        return DataPusher(self._pusher, self._http.base, self._token.value) if self._pusher is not None else None


def _format(file: BundleFile, wish: Wish) -> str:
    return format_of(_filename(file), wish.format, file.mime_type)


def _apart(format: str) -> str:
    """A format that no loader takes for its own."""
    return f"{format.removesuffix(APART)}{APART}"


def _filename(file: BundleFile) -> str:
    return PurePosixPath(file.path).name
