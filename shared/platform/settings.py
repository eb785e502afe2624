"""Settings from environment variables: each engine and vendor declares the few it needs.

A class's fields are the variables' names in lower case: `database_url` is read from DATABASE_URL.
"""

import os
from functools import cache
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

EMULATOR_VARIABLES = (
    "PUBSUB_EMULATOR_HOST",
    "FIRESTORE_EMULATOR_HOST",
    "CLOUD_TASKS_EMULATOR_HOST",
    "CLOUD_SCHEDULER_EMULATOR_HOST",
    "FIREBASE_AUTH_EMULATOR_HOST",
    "CLINICLOOP_CLOCK",
    "CLINICLOOP_FAIL_POINTS",
)


class Misconfigured(Exception):
    """The environment does not let this process start; the message names the variables only."""


class Settings(BaseModel):
    """Base of all settings; immutable."""

    model_config = ConfigDict(frozen=True, extra="ignore")


S = TypeVar("S", bound=Settings)


@cache
def load(kind: type[S]) -> S:
    """The settings of `kind`, read once per process. Raises `Misconfigured`; values stay unsaid."""
    present = {name: os.environ[name.upper()] for name in kind.model_fields if _given(name.upper())}
    try:
        return kind.model_validate(present)
    except ValidationError as error:
        names = ", ".join(str(part["loc"][0]).upper() for part in error.errors())
        raise Misconfigured(f"missing or malformed: {names}") from None


def _given(variable: str) -> bool:
    return bool(os.environ.get(variable))


def refuse_emulators_in_production() -> None:
    """Raise `Misconfigured` on Cloud Run (K_SERVICE is set) when anything points at an emulator."""
    if not _given("K_SERVICE"):
        return
    if found := [name for name in EMULATOR_VARIABLES if _given(name)]:
        raise Misconfigured(f"emulator variables are set in production: {', '.join(found)}")
    for name in ("OIDC_CERTS_URL", "IDENTITY_CERTS_URL"):
        if not os.environ.get(name, "https://").startswith("https://"):
            raise Misconfigured(f"{name} decides whose tokens are believed: it must be https")
