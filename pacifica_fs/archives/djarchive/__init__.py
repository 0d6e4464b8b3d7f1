"""The kind `djarchive`: dataset revisions in an S3 bucket, as djarchive-client publishes and downloads them.

    s3://BUCKET/DATASET/REVISION/PATH                      one object for a file
    s3://BUCKET/DATASET/REVISION/djarchive-manifest.csv    uploaded last: the revision is complete

`manifest` knows the manifest's text, `store` the bucket, `archive` the reading side (`windows` how a file is streamed),
`inbox` the publishing side (`sending` a bundle's files, `multipart` the large ones), `options` and `datajoint` the
configuration.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ...archive import ANONYMOUS, Built, Effects
from ...config import ArchiveSettings
from ...errors import ConfigError
from ...transport.credentials import Secrets

try:
    import obstore as _obstore  # noqa: F401 - only to say at once what is missing
except ImportError as error:
    raise ImportError("it needs the Python package 'obstore': pip install 'pacifica-fs[djarchive]'") from error

from .archive import DJArchive
from .inbox import DJInbox
from .options import Chosen, choose
from .store import Bucket, Keys, Place

SEND_SECONDS = 600.0


def from_url(url: str) -> dict[str, str]:
    """The options that `djarchive+https://ENDPOINT/BUCKET` stands for; ConfigError without a bucket."""
    parts = urlsplit(url)
    bucket = parts.path.strip("/")
    if not bucket or "/" in bucket:
        raise ConfigError(f"djarchive+{url}: djarchive+https://ENDPOINT/BUCKET was expected")
    return {"endpoint": f"{parts.scheme}://{parts.netloc}", "bucket": bucket}


def build(settings: ArchiveSettings, effects: Effects) -> Built:
    """The archive, and its inbox where `admin` is configured. ConfigError if the options are wrong."""
    chosen = choose(settings, effects.environ)
    secrets = Secrets(settings.name, effects.environ)
    place = Place(
        chosen.endpoint, chosen.bucket, chosen.region, chosen.ca, chosen.timeouts.connect, chosen.timeouts.read,
        effects.agent,
    )  # fmt: skip
    access = secrets.without_keyring().get("access_key", configured=chosen.access_key)
    log = _log(settings, chosen)

    def keys() -> Keys:
        return (
            Keys(access, secrets.get("secret_key", configured=chosen.secret_key, username=access)) if access else Keys()
        )

    archive = DJArchive(settings.name, Bucket(place, keys), _identity(access), chosen, effects.clock, log)
    if chosen.admin is None:
        return Built(archive)
    admin = chosen.admin

    def admin_keys() -> Keys:
        key = secrets.get("admin.access_key", configured=admin.access_key)
        return Keys(key, secrets.get("admin.secret_key", configured=admin.secret_key, username=key) if key else "")

    # A part of an upload is larger than a piece of a download, and lines are slower in that direction.
    slow = msgspec.structs.replace(place, read=max(place.read, SEND_SECONDS))
    bucket = Bucket(slow, admin_keys)
    state = effects.state / "djarchive" / settings.name
    return Built(archive, DJInbox(settings.name, bucket, chosen, state, effects.clock, log))


def _identity(access: str) -> str:
    """An access key is half a secret: enough of it to be recognised, and to tell it from any other."""
    if not access:
        return ANONYMOUS
    return f"access key {hashlib.sha256(access.encode()).hexdigest()[:12]} …{access[-4:]}"


def _log(settings: ArchiveSettings, chosen: Chosen) -> logging.Logger:
    """The archive's own logger, as loud as datajoint's configuration says, also into its file."""
    log = logging.getLogger(f"{__name__}.{settings.name}")
    if chosen.loglevel:
        log.setLevel(chosen.loglevel)
    if chosen.logfile and not log.handlers:
        try:
            handler = logging.FileHandler(Path(chosen.logfile).expanduser())
        except OSError as error:
            raise ConfigError(f"{settings.source}: [archives.{settings.name}]: logfile: {error}") from error
        handler.setFormatter(logging.Formatter("%(asctime)s:%(funcName)s:%(message)s"))
        log.addHandler(handler)
    return log
