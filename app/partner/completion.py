"""What a shell is told when somebody presses tab: from the profiles alone, never from afar."""

import os

from app.partner.profile import ProfileProblem, Profiles, chosen_profile, profile_file


def profile_names(incomplete: str) -> list[str]:
    return [name for name in _profiles().by_name if name.startswith(incomplete)]


def instrument_codes(incomplete: str) -> list[str]:
    """Return what could be traded when the chosen profile was logged in."""
    try:
        codes = chosen_profile(None, os.environ).instruments
    except ProfileProblem:
        return []
    if incomplete.islower():  # a shell takes only what goes on as it was begun
        codes = tuple(code.lower() for code in codes)
    return [code for code in codes if code.startswith(incomplete)]


def _profiles() -> Profiles:
    try:
        return profile_file(os.environ).read()
    except ProfileProblem:
        return Profiles()
