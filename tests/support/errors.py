"""Every refusal that the code can give."""

import importlib
import pkgutil
from types import ModuleType
from typing import Final

import app
import domain
import ports
from domain.errors import DomainError, all_errors


def _import_all(*packages: ModuleType) -> None:
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):  # which would start the program
                importlib.import_module(module.name)


def _errors() -> list[type[DomainError]]:
    _import_all(domain, ports, app)
    # Classes that tests make up are no reasons of ours.
    ours = {"domain", "ports", "adapters", "app"}
    return [error for error in all_errors() if error.__module__.split(".")[0] in ours]


ERRORS: Final = _errors()
