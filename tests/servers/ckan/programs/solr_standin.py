#!/usr/bin/env python3
"""In-memory stand-in for the Solr core that CKAN needs, for tests.

    solr_standin.py PORT SCHEMA.XML JOURNAL

SCHEMA.XML is the file that CKAN ships (ckan/config/solr/schema.xml); field types and
copied fields are read from it.  JOURNAL keeps the documents over a restart.

Requests that CKAN 2.12 makes, below any path prefix (such as /solr/ckan):
    GET  …/schema?wt=schema.xml   the schema; CKAN compares its name with its own version
    GET  …/select/?q=…            search; POST with a form body when the query is long
    POST …/update/                JSON list of documents, or XML <delete>, <commit/>
Anything else is answered with 404, a query that is not understood with 400.

Queries: field:value, field:"a phrase", field:(a OR b), ranges, wildcards, + - NOT AND OR,
parentheses; words without a field search the fields in qf or df.  Boosts are accepted and
ignored.  No stemming, no synonyms, no date arithmetic; every score is 1.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

Doc = dict[str, object]
Test = Callable[[Doc], bool]
Params = dict[str, list[str]]


class BadQuery(ValueError):
    """The query is outside of what this program understands."""


class Schema:
    """Field types and copied fields of a Solr schema file."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self.xml = file.read()
        root = ET.fromstring(self.xml)
        self.types = {f.get("name", ""): f.get("type", "") for f in root.iter("field")}
        # the longest pattern is the most specific one
        self.patterns = sorted(
            ((f.get("name", ""), f.get("type", "")) for f in root.iter("dynamicField")), key=lambda item: -len(item[0])
        )
        self.copies: dict[str, list[str]] = {}
        for copy in root.iter("copyField"):
            self.copies.setdefault(copy.get("dest", ""), []).append(copy.get("source", ""))

    def type_of(self, field: str) -> str:
        """Name of the field's type."""
        return self.types.get(field) or next((t for p, t in self.patterns if fnmatchcase(field, p)), "string")

    def values(self, doc: Doc, field: str, copied: bool = True) -> list[str]:
        """The values of a field, those copied into it included."""
        found = doc.get(field)
        out = [text(v) for v in (found if isinstance(found, list) else [found]) if v is not None]
        for source in self.copies.get(field, []) if copied else []:
            for name in [n for n in doc if fnmatchcase(n, source)] if "*" in source else [source]:
                out += self.values(doc, name, copied=source != field)
        return out


def text(value: object) -> str:
    """A value as Solr prints it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def words(value: str) -> list[str]:
    """The terms of a text field."""
    return re.findall(r"\w+", value.lower())


TOKEN = re.compile(
    r"""\s*(?:
    (?P<op>(?:AND|OR|NOT|&&|\|\|)(?=[\s()+\-"]|$)) | (?P<sign>[+\-!]) | (?P<open>\() | (?P<close>\)) |
    (?P<field>[A-Za-z_*][\w.*\-]*):(?!\s) |
    (?P<phrase>"(?:[^"\\]|\\.)*") | (?P<range>[\[{][^\]}]*\sTO\s[^\]}]*[\]}]) |
    (?P<word>(?:\\.|[^\s()"\[\]{}\\])+)
    )(?:(?<=[")\]}])[\^~][\d.]*)?""",
    re.VERBOSE,
)


class Parser:
    """Turns a query into a function that says whether a document matches."""

    def __init__(self, schema: Schema, query: str, fields: list[str]) -> None:
        self.schema, self.fields = schema, fields
        self.tokens: list[tuple[str, str]] = []
        place = 0
        while query[place:].strip():
            match = TOKEN.match(query, place)
            if not match:
                raise BadQuery(f"cannot parse at {query[place:]!r}")
            self.tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            place = match.end()
        self.place = 0

    def next(self, kind: str) -> str | None:
        """The next token, if it is of this kind."""
        if self.place < len(self.tokens) and self.tokens[self.place][0] == kind:
            self.place += 1
            return self.tokens[self.place - 1][1]
        return None

    def parse(self) -> Test:
        """The whole query."""
        test = self.either(self.fields)
        if self.place < len(self.tokens):
            raise BadQuery(f"unexpected {self.tokens[self.place][1]!r}")
        return test

    def either(self, fields: list[str]) -> Test:
        """Alternatives joined by OR; the clauses within one are all required (q.op=AND)."""
        groups: list[list[Test]] = [[]]
        negate = dangling = False
        while self.place < len(self.tokens) and self.tokens[self.place][0] != "close":
            if op := self.next("op"):
                if op in ("OR", "||"):
                    groups.append([])
                negate, dangling = op == "NOT", True
            elif sign := self.next("sign"):
                negate, dangling = sign != "+", True
            else:
                groups[-1].append(self.clause(fields, negate))
                negate = dangling = False
        if dangling or not all(groups):
            raise BadQuery("a clause is missing")
        return lambda doc: any(all(test(doc) for test in group) for group in groups)

    def clause(self, fields: list[str], negate: bool) -> Test:
        """One term, phrase, range or group, with or without a field."""
        if field := self.next("field"):
            fields = [field]
        if self.next("open"):
            test = self.either(fields)
            if not self.next("close"):
                raise BadQuery("a closing parenthesis is missing")
        elif (bounds := self.next("range")) is not None:
            test = self.any_field(fields, self.between(bounds))
        elif (phrase := self.next("phrase")) is not None:
            test = self.any_field(fields, self.equal(unescape(phrase[1:-1]), False))
        elif (word := self.next("word")) is not None:
            word = re.sub(r"(?<!\\)[\^~][\d.]*$", "", word)
            test = (
                (lambda doc: True)
                if fields == ["*"]
                else self.any_field(fields, self.equal(word if "*" in word or "?" in word else unescape(word), True))
            )
        else:
            raise BadQuery("a term is missing")
        return (lambda doc: not test(doc)) if negate else test

    def any_field(self, fields: list[str], test: Callable[[str, str], bool]) -> Test:
        """Whether a value of one of the fields passes."""
        typed = [(name, self.schema.type_of(name)) for name in fields]
        return lambda doc: any(test(kind, value) for name, kind in typed for value in self.schema.values(doc, name))

    @staticmethod
    def equal(wanted: str, wildcards: bool) -> Callable[[str, str], bool]:
        """Comparison by type: text by words, n-grams by substring, the rest as a whole."""
        pattern = wildcards and re.search(r"(?<!\\)[*?]", wanted) is not None
        glob = unescape(wanted.replace("[", "[[]")) if pattern else ""
        terms = words(wanted)

        def test(kind: str, value: str) -> bool:
            if pattern:
                return (
                    any(
                        fnmatchcase(v, glob.lower() if kind.startswith("text") else glob)
                        for v in (words(value) if kind.startswith("text") else [value])
                    )
                    or glob == "*"
                )
            if kind == "text_ngram":
                return wanted.lower() in value.lower()
            if kind.startswith("text"):
                have = words(value)
                return any(have[i : i + len(terms)] == terms for i in range(len(have) - len(terms) + 1))
            return value == wanted

        return test

    @staticmethod
    def between(bounds: str) -> Callable[[str, str], bool]:
        """A range: numbers as such, everything else (ISO dates, strings) in text order."""
        low, high = (
            part.strip().strip('"').replace("\\", "") for part in re.split(r"\sTO\s", bounds[1:-1], maxsplit=1)
        )
        if re.match("NOW", low + high) or high.startswith("NOW"):
            raise BadQuery("date arithmetic is not supported")

        def test(kind: str, value: str) -> bool:
            number = re.search("int|long|float|double", kind) is not None
            key: Callable[[str], object] = float if number else str
            have, least, most = (key(v) if v != "*" else None for v in (value, low, high))
            return (
                (least is None or have > least or (have == least and bounds[0] == "["))  # type: ignore
                and (most is None or have < most or (have == most and bounds[-1] == "]"))
            )  # type: ignore

        return test


def unescape(value: str) -> str:
    """Without Solr's backslashes."""
    return re.sub(r"\\(.)", r"\1", value)


def free_text(schema: Schema, query: str, fields: list[str]) -> Test:
    """Search-box query (dismax) as CKAN sends it, with its rule for the minimum of matches:
    all of one or two words, all but one of up to five, 80 % of more."""
    need: list[Test] = []
    exclude: list[Test] = []
    for sign, phrase, word in re.findall(r'([+\-]?)(?:"([^"]*)"|([^\s"]+))', query):
        for term in [phrase] if phrase else words(word):
            plain = '"{}"'.format(term.replace("\\", ""))
            (exclude if sign == "-" else need).append(Parser(schema, plain, fields).parse())
    least = max(1, len(need) if len(need) <= 2 else len(need) - 1 if len(need) <= 5 else len(need) * 8 // 10)
    return lambda doc: sum(t(doc) for t in need) >= least and not any(t(doc) for t in exclude)


class Index:
    """The documents, by unique key."""

    def __init__(self, schema: Schema, journal: str) -> None:
        self.schema, self.lock = schema, threading.Lock()
        self.docs: dict[str, Doc] = {}
        if os.path.exists(journal):
            with open(journal, encoding="utf-8") as file:
                for line in file:
                    if line.endswith("\n"):  # the last line may be incomplete after a crash
                        self.apply(*json.loads(line))
        with open(journal + ".new", "w", encoding="utf-8") as file:
            for key, doc in self.docs.items():
                file.write(json.dumps([key, doc]) + "\n")
        os.replace(journal + ".new", journal)
        self.journal = open(journal, "a", encoding="utf-8")  # noqa: SIM115

    def apply(self, key: str, doc: Doc | None) -> None:
        """Set or remove one document."""
        if doc is None:
            self.docs.pop(key, None)
        else:
            self.docs[key] = doc

    def change(self, key: str, doc: Doc | None) -> None:
        """The same, kept over a restart."""
        self.apply(key, doc)
        self.journal.write(json.dumps([key, doc]) + "\n")

    def update(self, body: str) -> None:
        """An update message: documents in JSON, deletions and commits in XML."""
        with self.lock:
            if body.lstrip().startswith("<"):
                root = ET.fromstring(body)
                for deletion in root.iter("delete"):
                    for key in [e.text or "" for e in deletion.iter("id")]:
                        self.change(key, None)
                    for query in [e.text or "" for e in deletion.iter("query")]:
                        test = Parser(self.schema, query, ["text"]).parse()
                        for key in [k for k, d in self.docs.items() if test(d)]:
                            self.change(key, None)
                if root.tag not in ("delete", "commit", "update"):
                    raise BadQuery(f"unsupported message <{root.tag}>")
            elif body.strip():
                for doc in json.loads(body):
                    self.change(doc["index_id"], {k: v for k, v in doc.items() if v is not None})
            self.journal.flush()

    def select(self, params: Params) -> dict[str, object]:
        """A search."""

        def one(name: str, default: str) -> str:
            return params.get(name, [default])[-1]

        query = one("q", "*:*").strip() or "*:*"
        fields = [f.partition("^")[0] for f in one("qf", one("df", "text")).split()]
        filters = [q for q in params.get("fq", []) if q.strip()]
        if query.startswith("{!") or any(q.strip().startswith("{!") for q in filters):
            raise BadQuery("local parameters are not supported")
        tests = [Parser(self.schema, q, [one("df", "text")]).parse() for q in filters]
        if ":" in query or "defType" not in params:
            tests.append(Parser(self.schema, query, fields).parse())
        else:
            tests.append(free_text(self.schema, query, fields))
        with self.lock:
            hits = [doc for doc in self.docs.values() if all(test(doc) for test in tests)]

        for spec in reversed(one("sort", "score desc").split(",")):
            field, _, order = spec.strip().rpartition(" ")
            if order not in ("asc", "desc"):
                raise BadQuery(f"Can't determine a Sort Order (asc or desc) in sort spec {spec!r}")
            if field != "score":
                keyed = [(self.schema.values(doc, field, copied=False), doc) for doc in hits]
                have = sorted((item for item in keyed if item[0]), key=lambda item: item[0][0], reverse=order == "desc")
                hits = [doc for _, doc in have] + [doc for values, doc in keyed if not values]

        start, rows = int(float(one("start", "0"))), int(float(one("rows", "10")))
        wanted = one("fl", "*").replace(",", " ").split()
        docs = [doc if "*" in wanted else {k: doc[k] for k in wanted if k in doc} for doc in hits[start : start + rows]]
        result: dict[str, object] = {
            "responseHeader": {"status": 0, "QTime": 0},
            "response": {"numFound": len(hits), "start": start, "numFoundExact": True, "docs": docs},
        }
        if one("facet", "false").lower() == "true":
            result["facet_counts"] = {
                "facet_queries": {},
                "facet_ranges": {},
                "facet_fields": {
                    field: self.facet(hits, field, int(one("facet.limit", "100")), int(one("facet.mincount", "0")))
                    for item in params.get("facet.field", [])
                    for field in (json.loads(item) if item.startswith("[") else [item])
                },
            }
        return result

    def facet(self, hits: list[Doc], field: str, limit: int, least: int) -> list[object]:
        """Values and their numbers, the most frequent first."""
        counts = Counter(value for doc in hits for value in set(self.schema.values(doc, field)))
        ranked = sorted((c for c in counts.items() if c[1] >= least), key=lambda c: (-c[1], c[0]))
        return [part for pair in (ranked if limit < 0 else ranked[:limit]) for part in pair]


class Handler(BaseHTTPRequestHandler):
    """The HTTP side."""

    protocol_version = "HTTP/1.1"
    index: Index

    def do_GET(self) -> None:
        """All requests."""
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8")
        params = parse_qs(url.query, keep_blank_values=True)
        if "form-urlencoded" in (self.headers.get("Content-Type") or ""):
            params |= parse_qs(body, keep_blank_values=True)
        action = url.path.rstrip("/").rpartition("/")[2]
        try:
            if action == "schema" and params.get("wt") == ["schema.xml"]:
                self.reply(200, self.index.schema.xml, "application/xml")
            elif action == "update" and self.command == "POST":
                self.index.update(body)
                self.reply(200, {"responseHeader": {"status": 0, "QTime": 0}})
            elif action == "select":
                self.reply(200, self.index.select(params))
            else:
                self.reply(404, {"error": {"code": 404, "msg": "not found: " + url.path}})
        except (ValueError, KeyError, TypeError, ET.ParseError) as error:
            self.log_error("%s %s: %r", self.command, self.path, error)
            self.reply(400, {"error": {"code": 400, "msg": f"{type(error).__name__}: {error}"}})

    do_POST = do_GET  # noqa: N815

    def reply(self, code: int, body: object, kind: str = "application/json") -> None:
        """Send the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Only errors are logged."""


def main() -> None:
    """Serve on the loopback interface until stopped."""
    port, schema, journal = sys.argv[1:]
    Handler.index = Index(Schema(schema), journal)
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
