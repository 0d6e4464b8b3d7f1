"""The REST API's lists and records, with the oddities that real servers were seen to have."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from .site import DataFile, Dataset, Experiment, Parameter, ParameterSet, Site, User, md5

Query = dict[str, str]
APPS = ("hsm_replica", "hsm_dataset", "s3utils_replica")
_RESOURCES = """
    experiment experimentauthor experimentparameterset experimentparameter dataset datasetparameterset
    datasetparameter dataset_file datafileparameterset datafileparameter replica storagebox storageboxoption
    storageboxattribute location schema parametername user group objectacl facility instrument
"""
RESOURCES = _RESOURCES.split()
# Fields that exist but cannot be filtered by.
_FIXED = {
    "dataset_file": {"id", "md5sum", "sha512sum", "size", "version"},
    "experiment": {"description"},
    "dataset": {"created_time"},
}
_ORDERS = {
    "experiment": {"id", "title", "created_time", "update_time"},
    "dataset": {"id", "description"},
    "dataset_file": {"id", "filename", "modification_time"},
}


class Refused(Exception):
    """A status, and a JSON body or an empty one."""

    def __init__(self, status: int, value: Any = None) -> None:
        self.status, self.value = status, value


class Api:
    """Answers for one who asks (`who` None: anonymous)."""

    def __init__(self, site: Site, who: User | None, token: str, old: bool = False) -> None:
        self.site, self.who, self.token, self.old = site, who, token, old
        self.shown = site.shown(who, token)

    def index(self, hsm: bool) -> Any:
        """`/api/v1/`."""
        names = [*RESOURCES, *(APPS if hsm else ())]
        entry: Callable[[str], Any] = lambda n: {"list_endpoint": f"/api/v1/{n}/", "schema": f"/api/v1/{n}/schema/"}  # noqa: E731
        return {name: entry(name) for name in names}

    def list(self, resource: str, query: Query) -> tuple[Any, int, int]:
        """A page; and how many rows it has, of how many in all."""
        rows, order = self._rows(resource, query)
        wrong = _FIXED.get(resource, set()) & {key.split("__")[0] for key in query}
        if wrong or any(key.endswith("__isnull") for key in query):
            field = (wrong or {"directory"}).pop()
            raise Refused(400, {"error": f"The '{field}' field does not allow filtering."})
        wanted = query.get("order_by", order)
        key = wanted.lstrip("-")
        if key != order and key not in _ORDERS.get(resource, {"id"}):
            raise Refused(400, {"error": f"No matching '{key}' field for ordering on."})
        attribute = {"update_time": "time", "created_time": "time", "modification_time": "time"}.get(key, key)
        rows = sorted(rows, key=lambda row: getattr(row, attribute) or "", reverse=wanted.startswith("-"))
        limit, offset = _number(query, "limit", 20), _number(query, "offset", 0)
        limit = 1000 if limit == 0 or limit > 1000 else limit
        page = rows[offset : offset + limit]
        kept = {name: value for name, value in query.items() if name not in ("limit", "offset")}
        more = offset + limit < len(rows)
        where = f"/api/v1/{resource}/?"
        meta = {
            "limit": limit,
            "next": where + urlencode({**kept, "limit": limit, "offset": offset + limit}) if more else None,
            "offset": offset,
            "previous": where + urlencode({**kept, "limit": limit, "offset": offset - limit}) if offset else None,
            "total_count": len(rows),
        }
        return {"meta": meta, "objects": [self._record(row) for row in page]}, len(page), len(rows)

    def set(self, resource: str, ids: Sequence[int]) -> Any:
        """`set/1;2/`: what is missing or may not be seen is `not_found`."""
        found, missing = [], []
        for id in ids:
            try:
                found.append(self.detail(resource, id))
            except Refused:
                missing.append(str(id))
        return {"objects": found, **({"not_found": missing} if missing else {})}

    def detail(self, resource: str, id: int) -> Any:
        """One record; 404 and 401 come without a body."""
        tables: dict[str, Any] = {
            "experiment": self.site.experiments,
            "dataset": self.site.datasets,
            "dataset_file": self.site.files,
            "parametername": self.site.names,
        }
        row = tables.get(resource, {}).get(id)
        if row is None:
            raise Refused(404)
        if not self._sees(row):
            raise Refused(401)
        return self._record(row)

    def _rows(self, resource: str, query: Query) -> tuple[list[Any], str]:
        site = self.site
        if resource == "experiment":
            rows: Iterable[Any] = [each for each in site.experiments.values() if each.id in self.shown]
            return [each for each in rows if query.get("title", each.title) == each.title], "title"
        if resource == "dataset":
            rows = [each for each in site.datasets.values() if self.shown & set(each.experiments)]
            wanted = query.get("experiments__id")
            return [each for each in rows if wanted is None or int(wanted) in each.experiments], "id"
        if resource == "dataset_file":
            files = [each for each in site.files.values() if _matches(each, query)]
            return list(site.rows_of(files, self.who, self.token)), "filename"
        if resource == "parametername":
            return list(site.names.values()), "id"
        if resource == "user":
            # Anonymous ones see nobody; others themselves.
            name = query.get("username")
            return [u for u in ([self.who] if self.who else []) if name in (None, u.username)], "id"
        if resource in ("location", "replica"):
            return [], "id"
        raise Refused(404)

    def _sees(self, row: Any) -> bool:
        if isinstance(row, Experiment):
            return row.id in self.shown
        if isinstance(row, DataFile):
            row = self.site.datasets[row.dataset]
        return bool(self.shown & set(row.experiments)) if isinstance(row, Dataset) else True

    def _record(self, row: Any) -> Any:
        if isinstance(row, Experiment):
            return self._experiment(row)
        if isinstance(row, Dataset):
            return self._dataset(row)
        if isinstance(row, DataFile):
            return self.file(row)
        if isinstance(row, User):
            return {"id": row.id, "username": row.username, "first_name": row.username.title(), "last_name": ""}
        return {"id": row.id, "name": row.name, "full_name": row.full_name, "units": row.units, "data_type": 2}

    def _experiment(self, row: Experiment) -> Any:
        sets = [each for each in self.site.datasets.values() if row.id in each.experiments]
        files = [each for each in self.site.files.values() if row.id in self.site.datasets[each.dataset].experiments]
        record = {
            "id": row.id,
            "title": row.title,
            "description": row.description,
            "institution_name": "Monash University",
            "created_by": "/api/v1/user/1/",
            "created_time": row.time,
            "update_time": row.time,
            "start_time": None,
            "end_time": None,
            "handle": "",
            "url": None,
            "locked": False,
            "approved": False,
            "public_access": row.public_access,
            "authors": [{"name": name, "url": ""} for name in row.authors],
            "owner_ids": [1],
            "license": None,
            "is_publication": False,
            "parameter_sets": [_parameter_set("experiment", each) for each in row.parameter_sets],
            "resource_uri": f"/api/v1/experiment/{row.id}/",
        }
        if not self.old:
            record |= {
                "dataset_count": len(sets),
                "datafile_count": len(files),
                "experiment_size": sum(len(file.data) for file in files),
            }
        return record

    def _dataset(self, row: Dataset) -> Any:
        files = [each for each in self.site.files.values() if each.dataset == row.id]
        record = {
            "id": row.id,
            "description": row.description,
            "directory": row.directory,
            "created_time": row.time,
            "modified_time": row.time,
            "immutable": False,
            # Also of those that one cannot see.
            "experiments": [f"/api/v1/experiment/{id}/" for id in row.experiments],
            "instrument": None,
            "parameter_sets": [_parameter_set("dataset", each) for each in row.parameter_sets],
            "resource_uri": f"/api/v1/dataset/{row.id}/",
        }
        if not self.old:
            record |= {
                "dataset_size": sum(len(file.data) for file in files),
                "dataset_datafile_count": len(files),
                "dataset_experiment_count": len(row.experiments),
            }
        return record

    def file(self, row: DataFile) -> Any:
        """A DataFile."""
        size = len(row.data) if row.size is None else row.size
        replica: dict[str, Any] = {
            "id": row.id,
            "datafile": f"/api/v1/dataset_file/{row.id}/",
            "location": row.box,
            "uri": quote(f"{self.site.datasets[row.dataset].description}-{row.dataset}/{row.directory}/{row.filename}"),
            "verified": bool(row.verified),
            "last_verified_time": None,
            "created_time": row.time,
            "resource_uri": f"/api/v1/replica/{row.id}/",
        }
        if self.old:
            replica |= {"protocol": row.protocol, "url": row.url, "stay_remote": False}
            replica |= {"location": "/api/v1/location/1/"}
            del replica["uri"]
        return {
            "id": row.id,
            "dataset": f"/api/v1/dataset/{row.dataset}/",
            "directory": row.directory,
            "filename": row.filename,
            "size": None if size < 0 else str(size) if self.old else size,
            "md5sum": md5(row.data) if row.md5 is None else row.md5,
            "sha512sum": hashlib.sha512(row.data).hexdigest() if row.sha512 else "",
            "mimetype": row.mimetype,
            "created_time": row.time,
            "modification_time": row.time,
            "deleted": False,
            "deleted_time": None,
            "datafile": None,
            "parameter_sets": [],
            "replicas": [] if row.verified is None else [replica],
            "resource_uri": f"/api/v1/dataset_file/{row.id}/",
            **({} if self.old else {"version": row.version}),
        }


def _matches(file: DataFile, query: Query) -> bool:
    conditions = {
        "dataset__id": str(file.dataset),
        "directory": file.directory,
        "filename": file.filename,
    }
    start = query.get("directory__startswith")
    if start is not None and not (file.directory is not None and file.directory.startswith(start)):
        return False
    # Whatever is not known is ignored.
    return all(value == query[name] for name, value in conditions.items() if name in query)


def _parameter_set(kind: str, row: ParameterSet) -> Any:
    def value(parameter: Parameter, number: int) -> Any:
        return {
            "id": number,
            "name": f"/api/v1/parametername/{parameter.name}/",
            "numerical_value": parameter.number,
            "string_value": parameter.string,
            "datetime_value": None,
            "link_id": None,
            "value": None,
            "parameterset": f"/api/v1/{kind}parameterset/{row.id}/",
            "resource_uri": f"/api/v1/{kind}parameter/{number}/",
        }

    return {
        "id": row.id,
        "schema": {"id": row.id, "name": row.schema, "namespace": row.namespace, "hidden": False},
        "parameters": [value(parameter, number) for number, parameter in enumerate(row.parameters, 1)],
        "resource_uri": f"/api/v1/{kind}parameterset/{row.id}/",
    }


def _number(query: Query, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"\d+", text):
        raise Refused(400, {"error": f"Invalid {name} '{text}' provided. Please provide a positive integer >= 0."})
    return int(text)
