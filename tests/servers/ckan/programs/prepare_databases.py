"""Run with CKAN's Python: the tables, the sysadmin, and tokens; prints the SQL for the DataStore's rights.

CKAN_INI names the configuration, TOKENS the folder for the tokens.
"""

import os
import secrets
import sys
from pathlib import Path

from ckan import model
from ckan.cli import load_config
from ckan.config.middleware import make_app
from ckan.model import parse_db_config
from ckan.plugins.toolkit import get_action
from ckanext.datastore.cli import permissions_sql

ADMIN = "admin"


def main() -> None:
    app = make_app(load_config(os.environ["CKAN_INI"]))
    with app._wsgi_app.test_request_context():
        model.repo.init_db()
        site_user = get_action("get_site_user")({"ignore_auth": True}, {})["name"]
        get_action("user_create")(
            {"user": site_user, "ignore_auth": True},
            {"name": ADMIN, "email": "admin@site.example", "password": secrets.token_urlsafe(16)},
        )
        model.User.get(ADMIN).sysadmin = True
        model.repo.commit()
        for name in (ADMIN, "datapusher"):
            context = {"user": ADMIN, "ignore_auth": True}
            made = get_action("api_token_create")(context, {"user": ADMIN, "name": name})
            (Path(os.environ["TOKENS"]) / name).write_text(made["token"])
    main_db, write_db, read_db = (
        parse_db_config(key) for key in ("sqlalchemy.url", "ckan.datastore.write_url", "ckan.datastore.read_url")
    )
    sys.stdout.write(
        permissions_sql(
            maindb=main_db["db_name"],
            datastoredb=write_db["db_name"],
            mainuser=main_db["db_user"],
            writeuser=write_db["db_user"],
            readuser=read_db["db_user"],
        )
    )


if __name__ == "__main__":
    main()
