"""The small site that the tests find: people, instruments, projects, and who may upload what.

The policy service (0.8.3) decides so about an upload of (user, project, instrument):
* the user's projects are those they are `member_of` (no other relationship counts), and, for the custodian of an
  instrument, every project linked to it; a member of group 0 has all;
* the project must be linked, by any relationship, to the instrument or to one in a group with it;
* dates are not looked at: a closed project takes uploads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import requests

ADMIN, MEMBER, INVESTIGATOR, CUSTODIAN, STRANGER = 101, 102, 103, 104, 105
LOGONS = {ADMIN: "amoreau", MEMBER: "bkim", INVESTIGATOR: "cnovak", CUSTODIAN: "dortiz", STRANGER: "eguest"}
PROJECTS = ("51001", "Étude-7", "51003", "49004")
INSTRUMENTS = (2001, 2002, 2003, 2004)

# (project, instrument) of which each user's uploads are accepted; every other pair is refused with 412.
ACCEPTED: Mapping[int, frozenset[tuple[str, int]]] = {
    ADMIN: frozenset(
        {("51001", 2001), ("51001", 2002), ("Étude-7", 2003), ("51003", 2003), ("51003", 2004), ("49004", 2004)}
    ),
    MEMBER: frozenset({("51001", 2001), ("51001", 2002), ("Étude-7", 2003)}),
    INVESTIGATOR: frozenset({("51001", 2001), ("51001", 2002), ("49004", 2004)}),
    CUSTODIAN: frozenset({("Étude-7", 2003), ("51003", 2003), ("51003", 2004)}),
    STRANGER: frozenset(),
}

# Transactions and files get ids above this one; lower ones are free for rows that a test inserts itself.
RESERVED_IDS = 1000

_ADMINS, _USERS, _MICROSCOPES = 0, 1001, 1002
_PERIOD = {"submitted_date": "2024-01-15T09:00:00", "accepted_date": "2024-02-01"}
_ROWS: tuple[tuple[str, list[dict[str, Any]]], ...] = (
    (
        "groups",
        [
            {"_id": _ADMINS, "name": "admin", "display_name": "Administrators", "is_admin": True, "description": ""},
            {"_id": _USERS, "name": "users", "display_name": "Users", "is_admin": False, "description": ""},
            {
                "_id": _MICROSCOPES,
                "name": "microscopes",
                "display_name": "Electron microscopes (Gebäude 3)",
                "is_admin": False,
                "description": "They share their projects.",
            },
        ],
    ),
    ("institutions", [{"_id": 11, "name": "Université d'Exemple", "association_cd": "UNIV", "is_foreign": False}]),
    (
        "users",
        [
            {
                "_id": id,
                "network_id": LOGONS[id],
                "first_name": first,
                "last_name": last,
                "email_address": f"{LOGONS[id]}@site.example",
            }
            for id, first, last in (
                (ADMIN, "Alice", "Moreau"),
                (MEMBER, "Bo", "Kim"),
                (INVESTIGATOR, "Čeněk", "Novák"),
                (CUSTODIAN, "Diana", "Ortiz"),
                (STRANGER, "Erin", "Guest"),
            )
        ],
    ),
    (
        "instruments",
        [
            {"_id": id, "name": name, "name_short": short, "display_name": title, "active": True}
            for id, name, short, title in (
                (2001, "sem-1", "SEM", "Scanning electron microscope"),
                (2002, "tem-2", "TEM", "Transmission electron microscope"),
                (2003, "nmr-600", "NMR", "600 MHz NMR spectrometer"),
                (2004, "ms-3", "MS", "Mass spectrometer"),
            )
        ],
    ),
    (
        "projects",
        [
            {"_id": id, "title": title, "short_name": short, "project_type": "open", "abstract": "", **_PERIOD, **dates}
            for id, title, short, dates in (
                (
                    "51001",
                    "Catalyst surfaces",
                    "catalyst",
                    {"actual_start_date": "2024-03-01", "actual_end_date": "2029-02-28"},
                ),
                (
                    "Étude-7",
                    "Étude des solvants à basse température",
                    "étude",
                    {"actual_start_date": "2024-06-01", "actual_end_date": "2029-05-31"},
                ),
                (
                    "51003",
                    "Protein folds",
                    "protein",
                    {"actual_start_date": "2025-02-01", "actual_end_date": "2030-01-31"},
                ),
                (
                    "49004",
                    "Isotope survey 2018",
                    "isotopes",
                    {
                        "actual_start_date": "2018-03-01",
                        "actual_end_date": "2020-06-30",
                        "closed_date": "2020-06-30",
                    },
                ),
            )
        ],
    ),
    (
        "user_group",
        [{"user": ADMIN, "group": _ADMINS}]
        + [{"user": user, "group": _USERS} for user in (ADMIN, MEMBER, INVESTIGATOR, CUSTODIAN)],
    ),
    ("instrument_group", [{"instrument": instrument, "group": _MICROSCOPES} for instrument in (2001, 2002)]),
)
# table -> columns of the two sides, and (left, right, relationship)
_LINKS: tuple[tuple[str, tuple[str, str], list[tuple[Any, Any, str]]], ...] = (
    ("institution_user", ("institution", "user"), [(11, user, "member_of") for user in LOGONS]),
    (
        "project_user",
        ("project", "user"),
        [
            ("51001", MEMBER, "member_of"),
            ("51001", INVESTIGATOR, "member_of"),
            ("Étude-7", MEMBER, "member_of"),
            ("49004", INVESTIGATOR, "member_of"),
            ("51003", INVESTIGATOR, "principal_investigator"),
        ],
    ),
    (
        "project_instrument",
        ("project", "instrument"),
        [
            (project, instrument, "upload_required")
            for project, instrument in (
                ("51001", 2001),
                ("Étude-7", 2003),
                ("51003", 2003),
                ("51003", 2004),
                ("49004", 2004),
            )
        ],
    ),
    (
        "instrument_user",
        ("instrument", "user"),
        [(2003, CUSTODIAN, "custodian"), (2001, MEMBER, "point_of_contact")],
    ),
)


def seed(metadata: str, uniqueid: str) -> None:
    """Fill the empty databases of the services at these URLs; RuntimeError shows what a server did not like."""
    with requests.Session() as http:
        http.trust_env = False
        for table, rows in _ROWS:
            _insert(http, metadata, table, rows)
        answer = http.get(f"{metadata}/relationships", params={"recursion_depth": 0}, timeout=60)
        relationship = {row["name"]: row["uuid"] for row in answer.json()}
        for table, (left, right), links in _LINKS:
            _insert(
                http,
                metadata,
                table,
                [{left: a, right: b, "relationship": relationship[name]} for a, b, name in links],
            )
        for counter in ("upload_job", "file"):
            http.get(
                f"{uniqueid}/getid", params={"mode": counter, "range": RESERVED_IDS}, timeout=60
            ).raise_for_status()


def _insert(http: requests.Session, metadata: str, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    answer = http.put(f"{metadata}/{table}", json=list(rows), timeout=60)
    if answer.status_code != 200:
        raise RuntimeError(f"PUT /{table}: {answer.status_code}: {answer.text[:500]}")
