"""The parts of a local cloud, the variables that tell of them, and the accounts at the vendors."""

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spec:
    """Where an engine's class is, and the variable that tells its clients the address.

    Of an `official` one Google has an emulator, which is used where its variable is set already.
    """

    where: str
    variable: str
    scheme: str = ""
    official: bool = False

    def load(self) -> type[Any]:
        module, name = self.where.split(":")
        kind: type[Any] = getattr(importlib.import_module(module), name)
        return kind


ENGINES = {
    "pubsub": Spec("emulators.pubsub:PubSub", "PUBSUB_EMULATOR_HOST", official=True),
    "tasks": Spec("emulators.tasks:Tasks", "CLOUD_TASKS_EMULATOR_HOST"),
    "scheduler": Spec("emulators.scheduler:Scheduler", "CLOUD_SCHEDULER_EMULATOR_HOST"),
    "firestore": Spec("emulators.firestore:Firestore", "FIRESTORE_EMULATOR_HOST", official=True),
    "identity": Spec("emulators.identity:Identity", "FIREBASE_AUTH_EMULATOR_HOST"),
    "chargebee": Spec("emulators.vendors.chargebee:Chargebee", "CHARGEBEE_URL", "http://"),
    "iterable": Spec("emulators.vendors.iterable:Iterable", "ITERABLE_URL", "http://"),
    "zendesk": Spec("emulators.vendors.zendesk:Zendesk", "ZENDESK_URL", "http://"),
    "twilio": Spec("emulators.vendors.twilio:Twilio", "TWILIO_URL", "http://"),
    "sendgrid": Spec("emulators.vendors.sendgrid:SendGrid", "SENDGRID_URL", "http://"),
    "fcm": Spec("emulators.vendors.fcm:Fcm", "FCM_URL", "http://"),
}
VENDORS = ("chargebee", "iterable", "zendesk", "twilio", "sendgrid", "fcm")
PARTS = ("postgres", *ENGINES, "host")
SERVICES = ("postgres", *ENGINES)
"""The parts that any project can use; `host` serves Clinicloop's own functions."""

CREDENTIALS = {
    "CHARGEBEE_API_KEY": "test_local",
    "CHARGEBEE_WEBHOOK_USER": "chargebee",
    "CHARGEBEE_WEBHOOK_PASSWORD": "local-webhook-password",
    "ITERABLE_API_KEY": "local-iterable-key",
    "ZENDESK_EMAIL": "support@clinicloop.test",
    "ZENDESK_TOKEN": "local-zendesk-token",
    "TWILIO_ACCOUNT_SID": "AC" + "1".zfill(32),
    "TWILIO_AUTH_TOKEN": "local-auth-token",
    "SENDGRID_API_KEY": "SG.local",
    "SENDGRID_FROM": "notice@clinicloop.test",
}
"""The local accounts at the vendors.

Each is the variable a program reads it from and, in lower case, the ground's setting that the
vendor's fake checks against.
"""

_MADE_AT_START = ("SENDGRID_VERIFICATION_KEY", "TWILIO_NUMBER")


class UnknownPart(ValueError):
    """There is no part of that name; the message says which there are."""


def check_parts(names: Collection[str], known: Collection[str] = PARTS) -> None:
    """Raise `UnknownPart` for names that are no parts."""
    if unknown := set(names) - set(known):
        raise UnknownPart(f"unknown: {', '.join(sorted(unknown))}; there is {', '.join(known)}")


def credentials(vendor: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of one vendor's account, as its started fake has them in its settings."""
    return {
        name: settings[name.lower()]
        for name in (*CREDENTIALS, *_MADE_AT_START)
        if name.lower().startswith(f"{vendor}_") and name.lower() in settings
    }


def telemetry(console: str) -> dict[str, str]:
    """The variables that let functions send traces and metrics to `console`, within a moment."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": console,
        "OTEL_BSP_SCHEDULE_DELAY": "250",
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
    }
