"""Profiles: kept where nobody else reads them, whole or not at all, and never shown."""

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from app.partner.profile import (
    CA_VARIABLE,
    KEY_VARIABLE,
    PROFILE_VARIABLE,
    URL_VARIABLE,
    Profile,
    ProfileFile,
    ProfileProblem,
    Profiles,
    SigningKey,
    checked_key,
    checked_name,
    checked_url,
    chosen_profile,
    profile_file,
)
from app.settings import Settings

KEY = "reli_canary-of-a-profile-0123456789"
SEED = "canary-of-a-seed-0123456789"


def a_profile(name: str = "default", key: str = KEY) -> Profile:
    return Profile(
        name=name,
        url="https://api.example.com",
        api_key=key,
        tenant="Savanna Pay",
        instruments=("BTC-NGN", "ETH-NGN"),
        signing_key=SigningKey(id="requestsigningkey_1", seed=SEED),
    )


def keep(file: ProfileFile, *profiles: Profile) -> None:
    with file.changing() as change:
        for profile in profiles:
            change.profiles = change.profiles.put(profile)


def test_what_was_kept_is_read_again_as_it_was(tmp_path: Path) -> None:
    file = ProfileFile(tmp_path / "reli")

    keep(file, a_profile("one"), a_profile("two"))

    assert file.read() == Profiles(
        current="two", by_name={"one": a_profile("one"), "two": a_profile("two")}
    )


def test_whoever_never_logged_in_has_no_profiles(tmp_path: Path) -> None:
    assert ProfileFile(tmp_path / "reli").read() == Profiles()


def test_nobody_else_can_read_the_file_or_its_directory(tmp_path: Path) -> None:
    directory = tmp_path / "reli"
    directory.mkdir(mode=0o755)
    before = os.umask(0)  # even where others are let in unless told otherwise
    try:
        keep(ProfileFile(directory), a_profile())
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert modes == {"profiles.json": 0o600, "lock": 0o600}


def test_a_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    file = ProfileFile(tmp_path)
    keep(file, a_profile())
    (tmp_path / "profiles.json").chmod(0o640)

    with pytest.raises(ProfileProblem, match="chmod 600"):
        file.read()


def test_where_writing_fails_the_file_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ProfileFile(tmp_path)
    keep(file, a_profile("one"))
    before = (tmp_path / "profiles.json").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProfileProblem, match="No space left"):
        keep(file, a_profile("two"))

    assert (tmp_path / "profiles.json").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"profiles.json", "lock"}


def test_what_a_block_changed_is_not_kept_if_it_fails(tmp_path: Path) -> None:
    file = ProfileFile(tmp_path)
    keep(file, a_profile("one"))

    with pytest.raises(ProfileProblem, match="no profile 'three'"), file.changing() as change:
        change.profiles = change.profiles.put(a_profile("two")).use("three")

    assert list(file.read().by_name) == ["one"]


def _log_in(directory: Path, name: str) -> None:
    keep(ProfileFile(directory), a_profile(name))


def test_of_many_logins_at_once_none_is_lost(tmp_path: Path) -> None:
    names = [f"profile-{number}" for number in range(8)]
    start = multiprocessing.get_context("forkserver").Process
    processes = [start(target=_log_in, args=(tmp_path, name)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert set(ProfileFile(tmp_path).read().by_name) == set(names)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", f'"{KEY}"', f'{{"current": "a", "profiles": [{{"api_key": "{KEY}"}}]}}'],
)
def test_a_broken_file_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profiles.json"
    path.touch(mode=0o600)
    path.write_text(text)

    with pytest.raises(ProfileProblem) as caught:
        ProfileFile(tmp_path).read()

    assert str(path) in str(caught.value)
    assert KEY not in str(caught.value)


def test_no_secret_is_in_what_a_profile_is_shown_as() -> None:
    shown = repr(Profiles(current="default", by_name={"default": a_profile()}))

    assert "Savanna Pay" in shown
    assert KEY not in shown
    assert SEED not in shown


def test_removing_the_current_one_leaves_none_current() -> None:
    both = Profiles().put(a_profile("one")).put(a_profile("two"))

    assert both.remove("two") == Profiles(current="", by_name={"one": a_profile("one")})
    assert both.remove("one").current == "two"
    with pytest.raises(ProfileProblem, match="no profile 'three'"):
        both.remove("three")


def test_a_name_goes_before_the_key_of_the_environment_and_that_before_what_it_names(
    tmp_path: Path,
) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    keep(profile_file(env), a_profile("one"), a_profile("two"))
    alone = {URL_VARIABLE: "http://127.0.0.1:1", KEY_VARIABLE: "reli_other"}
    named = {PROFILE_VARIABLE: "one"}

    assert chosen_profile(None, env).name == "two"
    assert chosen_profile(None, env | named).name == "one"
    assert chosen_profile(None, env | named | alone).api_key == "reli_other"
    assert chosen_profile("two", env | named | alone).name == "two"


@pytest.mark.parametrize("missing", [URL_VARIABLE, KEY_VARIABLE])
def test_half_a_login_in_the_environment_is_not_taken_for_the_current_one(
    tmp_path: Path, missing: str
) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    keep(profile_file(env), a_profile())
    half = {URL_VARIABLE: "http://127.0.0.1:1", KEY_VARIABLE: "reli_other"}
    del half[missing]

    with pytest.raises(ProfileProblem, match="set together"):
        chosen_profile(None, env | half)


def test_without_a_login_it_is_said_how_to(tmp_path: Path) -> None:
    with pytest.raises(ProfileProblem, match="reli login"):
        chosen_profile(None, {"XDG_CONFIG_HOME": str(tmp_path)})


def test_profiles_are_where_the_xdg_specification_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    for env in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "not/absolute"}):
        keep(profile_file(env), a_profile())

    assert json.loads((tmp_path / ".config/reli/profiles.json").read_text())["current"]


def test_the_variables_are_none_of_the_platforms() -> None:
    ours = {PROFILE_VARIABLE, URL_VARIABLE, KEY_VARIABLE, CA_VARIABLE}

    assert ours & {f"RELI_{name.upper()}" for name in Settings.model_fields} == set()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://api.example.com/v1",
        "https://user:password@api.example.com",
        "https://api.example.com?a=b",
        "https://api.example.com:port",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ProfileProblem, match="URL"):
        checked_url(url)


def test_an_address_loses_the_slash_at_its_end() -> None:
    assert checked_url("https://api.example.com:8443/") == "https://api.example.com:8443"


@pytest.mark.parametrize("key", ["", "reli_ a", "reli_\n", "reli_é", "x" * 1_001])
def test_what_cannot_be_sent_in_a_header_is_no_key(key: str) -> None:
    with pytest.raises(ProfileProblem, match="API key"):
        checked_key(key)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "x" * 65])
def test_a_name_is_one_word(name: str) -> None:
    with pytest.raises(ProfileProblem, match="name"):
        checked_name(name)
