"""Whom a partner's commands ask, and as whom: kept in one file that nobody else can read."""

import fcntl
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

DEFAULT: Final = "default"
"""The name of a profile that nobody named."""

PROFILE_VARIABLE: Final = "RELI_PROFILE"
URL_VARIABLE: Final = "RELI_URL"
KEY_VARIABLE: Final = "RELI_KEY"
CA_VARIABLE: Final = "RELI_CA"

_NAME_CHARACTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
)
_MAX_NAME: Final = 64


class ProfileProblem(Exception):
    """The profiles cannot be used as they are; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """An Ed25519 key whose public half the platform knows.

    Attributes:
        id: such as "requestsigningkey_01h455vb4pex5vsknk084sn02q".
        seed: the 32 bytes of RFC 8032 in base64url.
    """

    id: str
    seed: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One login.

    Attributes:
        url: such as "https://api.example.com".
        api_key: the secret.
        ca: certificates in PEM that are trusted there; empty for those of the system.
        tenant: its name for people, as it was at the login.
        tenant_id: empty where no login has told it.
        instruments: what could be traded at the login, for completion.
        signing_key: signs every call, if there is one.
    """

    name: str
    url: str
    api_key: str = field(repr=False)
    ca: str = field(default="", repr=False)
    tenant: str = ""
    tenant_id: str = ""
    instruments: tuple[str, ...] = ()
    signing_key: SigningKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """All logins, and which of them is meant where none is named."""

    current: str = ""
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    def put(self, profile: Profile) -> "Profiles":
        """Add or replace one, and make it the current one."""
        return Profiles(current=profile.name, by_name={**self.by_name, profile.name: profile})

    def replace(self, profile: Profile) -> "Profiles":
        """Put one in the place of what its name had; the current one stays."""
        return replace(self, by_name={**self.by_name, profile.name: profile})

    def remove(self, name: str) -> "Profiles":
        """Take one away; where it was the current one, none is."""
        left = {kept: one for kept, one in self.by_name.items() if kept != self.get(name).name}
        return Profiles(current="" if self.current == name else self.current, by_name=left)

    def use(self, name: str) -> "Profiles":
        return replace(self, current=self.get(name).name)

    def get(self, name: str) -> Profile:
        try:
            return self.by_name[name]
        except KeyError:
            raise ProfileProblem(
                f"there is no profile {name!r}: `reli login --profile {name}` makes it"
            ) from None


class ProfileFile:
    """The file of all profiles, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "profiles.json"

    def read(self) -> Profiles:
        """Return all profiles; none where nobody logged in. Raises ProfileProblem."""
        try:
            with self._path.open(encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise ProfileProblem(f"others can read {self._path}: chmod 600 it")
                return _profiles(json.load(file))
        except FileNotFoundError:
            return Profiles()
        except OSError as e:
            raise ProfileProblem(f"{self._path}: {e.strerror}") from None
        except (ValueError, TypeError, LookupError, AttributeError):
            # Its words would quote what is in the file.
            raise ProfileProblem(f"{self._path} is not what `reli login` wrote") from None

    @contextmanager
    def changing(self) -> Iterator["Change"]:
        """Hold the profiles alone; what the change then says is written if the block ends well."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The directory may be older than this command.
            self._directory.chmod(0o700)
            lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise ProfileProblem(f"{self._directory}: {e.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.read()
            change = Change(before)
            yield change
            if change.profiles is not before:
                self._write(change.profiles)
        finally:
            os.close(lock)

    def _write(self, profiles: Profiles) -> None:
        document = {
            "current": profiles.current,
            "profiles": [asdict(one) for one in profiles.by_name.values()],
        }
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            # Readable by us alone before the first byte is in it, and on the disk before it
            # takes the other's place.
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as text:
                json.dump(document, text, indent=2, ensure_ascii=False)
                text.write("\n")
                text.flush()
                os.fsync(text.fileno())
            fresh.replace(self._path)
        except OSError as e:
            raise ProfileProblem(f"{self._path}: {e.strerror}") from None
        finally:
            fresh.unlink(missing_ok=True)


@dataclass(slots=True)
class Change:
    """The profiles as they are to be."""

    profiles: Profiles


def profile_file(environment: Mapping[str, str]) -> ProfileFile:
    """Return the file of whoever has this environment: below $XDG_CONFIG_HOME, or ~/.config."""
    base = environment.get("XDG_CONFIG_HOME", "")
    # A relative one is to be passed over, says the XDG Base Directory Specification.
    root = Path(base) if base.startswith("/") else Path.home() / ".config"
    return ProfileFile(root / "reli")


def chosen_profile(name: str | None, environment: Mapping[str, str]) -> Profile:
    """Return the profile that a command is to use, or raise ProfileProblem.

    A name given goes before RELI_URL with RELI_KEY, which need no login, these before
    RELI_PROFILE, and that before the current one.
    """
    if not name:
        if alone := _from(environment):
            return alone
        name = environment.get(PROFILE_VARIABLE, "")
    profiles = profile_file(environment).read()
    if not (name or profiles.current):
        raise ProfileProblem("you are not logged in: `reli login` asks for what it needs")
    return profiles.get(name or profiles.current)


def _from(environment: Mapping[str, str]) -> Profile | None:
    url, key = (environment.get(name, "") for name in (URL_VARIABLE, KEY_VARIABLE))
    if not (url or key):
        return None
    if not (url and key):
        raise ProfileProblem(f"{URL_VARIABLE} and {KEY_VARIABLE} are set together, or neither is")
    ca = environment.get(CA_VARIABLE, "")
    return Profile(
        name="", url=checked_url(url), api_key=checked_key(key), ca=read_ca(Path(ca)) if ca else ""
    )


def checked_name(name: str) -> str:
    """Return the name of a profile, or raise ProfileProblem."""
    if not 0 < len(name) <= _MAX_NAME or set(name) - _NAME_CHARACTERS:
        raise ProfileProblem(f"a profile's name is 1 to {_MAX_NAME} letters, digits and . _ -")
    return name


def checked_url(url: str) -> str:
    """Return an address without a slash at its end, or raise ProfileProblem."""
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
        wrong = wrong or bool(parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        wrong = True
    else:
        wrong = wrong or parts.path.strip("/") != ""
    if wrong:
        raise ProfileProblem("the URL is http(s)://HOST[:PORT], without a path")
    return url.rstrip("/")


def checked_key(key: str) -> str:
    """Return an API key that can be sent in a header, or raise ProfileProblem."""
    if not (0 < len(key) <= 1_000 and key.isascii() and key.isprintable()) or " " in key:
        raise ProfileProblem("that is no API key: one is some printable characters without spaces")
    return key


def read_ca(path: Path) -> str:
    """Return the certificates of a file in PEM, or raise ProfileProblem."""
    try:
        text = path.read_text(encoding="ascii")
    except OSError as e:
        raise ProfileProblem(f"{path}: {e.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ProfileProblem(f"{path} holds no certificate in PEM")
    return text


def _profiles(document: Any) -> Profiles:
    profiles = [_profile(one) for one in document["profiles"]]
    return Profiles(current=str(document["current"]), by_name={one.name: one for one in profiles})


def _profile(stored: Mapping[str, Any]) -> Profile:
    signing_key = stored["signing_key"]
    return Profile(
        **{
            **stored,
            "instruments": tuple(stored["instruments"]),
            "signing_key": SigningKey(**signing_key) if signing_key else None,
        }
    )


def encoded_seed(seed: bytes) -> str:
    return urlsafe_b64encode(seed).decode().rstrip("=")


def decoded_seed(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
