"""WSGI entry point of CKAN; CKAN_INI names the configuration file."""

import os
from logging.config import fileConfig

from ckan.cli import CKANConfigLoader
from ckan.config.middleware import make_app

INI = os.environ["CKAN_INI"]
fileConfig(INI, disable_existing_loggers=False)
application = make_app(CKANConfigLoader(INI).get_config())
