"""One owner's database URL is enough: those of the roles below it follow from it."""

import hmac
from urllib.parse import unquote, urlsplit

APP_ROLE = "reli_app"
WORK_ROLE = "reli_work"


def role_url(owner_url: str, role: str) -> str:
    """Return `owner_url` for `role`, its password derived from the owner's.

    Nothing has to be stored or handed out: whoever migrates and whoever connects compute the
    same password, and knowing a role's tells nothing about the owner's.
    """
    url = urlsplit(owner_url)
    host_and_port = url.netloc.rpartition("@")[2]
    login = role
    if url.password is not None:
        login += ":" + hmac.new(unquote(url.password).encode(), role.encode(), "sha256").hexdigest()
    return url._replace(netloc=f"{login}@{host_and_port}").geturl()
