"""Settings of DataPusher (a Python file named by JOB_CONFIG); values from the environment."""

import os

DEBUG = TESTING = False
NAME = "datapusher"
SECRET_KEY = os.environ["DATAPUSHER_SECRET"]
USERNAME, PASSWORD = "admin", SECRET_KEY  # GET /login, for DELETE /job?days=N
SQLALCHEMY_DATABASE_URI = os.environ["DATAPUSHER_JOBS"]
MAX_CONTENT_LENGTH = int(os.environ["DATAPUSHER_MAX_BYTES"])
CHUNK_SIZE = 16384
CHUNK_INSERT_ROWS = int(os.environ["DATAPUSHER_CHUNK_ROWS"])
DOWNLOAD_TIMEOUT = 30
SSL_VERIFY = True
LOG_FILE = ""
STDERR = True
