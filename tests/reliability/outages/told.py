"""What vendors were told, against what Postgres says they were told: each thing once."""

from collections import Counter
from collections.abc import Iterable

from emulators.demo.stage import Stage
from emulators.vendors.inbox import Sent

_SENT = """
    SELECT CAST(id AS text) AS id, provider_id FROM notifications.messages
    WHERE provider = :provider AND provider_id IS NOT NULL"""
_OPEN = """
    SELECT CAST(id AS text) AS id, subscription_id, status FROM contracts.contracts
    WHERE status IN ('future', 'active', 'paused')"""
_TICKETS = "SELECT CAST(id AS text) AS id, vendor_id FROM support.tickets"
_CREATED = "SELECT count(*) FROM platform.outbox WHERE type = 'contract.created'"


def doubled(stage: Stage) -> list[str]:
    """What a vendor was told or did more than once."""
    tickets = (sent.body["external_id"] for sent in _sent(stage, "zendesk", "ticket"))
    paid = (
        invoice["id"]
        for invoice in stage.at_chargebee("invoice").values()
        for payment in invoice["linked_payments"]
        if payment["txn_status"] == "success"
    )
    return [
        *_repeated("mail", _mails(stage)),
        *_repeated("text", (sent.body["body"] for sent in stage.sent("twilio"))),
        *_repeated("push", (_message(sent) for sent in stage.sent("fcm"))),
        *_repeated("ticket", tickets),
        *_repeated("payment of", paid),
    ]


def untold(stage: Stage) -> list[str]:
    """What should have been told by now and was not, or not as Postgres has it."""
    texts = {sent.id for sent in stage.sent("twilio")}
    pushes = {_message(sent) for sent in stage.sent("fcm")}
    mails = set(_mails(stage))
    numbers = {sent.id for sent in _sent(stage, "zendesk", "ticket")}
    welcomed = sum(sent.subject == "contract_created" for sent in stage.sent("iterable"))
    return [
        *_missing("mail", _messages(stage, "sendgrid"), mails),
        *_missing("text", _messages(stage, "twilio", "provider_id"), texts),
        *_missing("push", _messages(stage, "fcm"), pushes),
        *_missing("ticket", (str(row["vendor_id"]) for row in stage.rows(_TICKETS)), numbers),
        *_missing("welcomes", [str(stage.one(_CREATED))], {str(welcomed)}),
        *_at_chargebee(stage),
    ]


def _at_chargebee(stage: Stage) -> Iterable[str]:
    """Open contracts are linked there, and stand still there when they do here."""
    subscriptions = stage.at_chargebee("subscription")
    for row in stage.rows(_OPEN):
        subscription = subscriptions[row["subscription_id"]]
        if subscription.get("cf_contract_id") != row["id"]:
            yield f"contract {row['id']}: not linked"
        if (subscription["status"] == "paused") is not (row["status"] == "paused"):
            yield f"contract {row['id']}: {row['status']}, there {subscription['status']}"


def _sent(stage: Stage, vendor: str, kind: str) -> list[Sent]:
    return [sent for sent in stage.sent(vendor) if sent.kind == kind]


def _mails(stage: Stage) -> list[str]:
    return [sent.body["custom_args"]["message"] for sent in stage.sent("sendgrid")]


def _message(sent: Sent) -> str:
    message: str = sent.body["data"]["message_id"]
    return message


def _messages(stage: Stage, provider: str, column: str = "id") -> list[str]:
    """Of the messages that a provider took, by Postgres."""
    return [row[column] for row in stage.rows(_SENT, provider=provider)]


def _repeated(what: str, told: Iterable[str]) -> list[str]:
    return [f"{what} {one}: {times} times" for one, times in Counter(told).items() if times > 1]


def _missing(what: str, wanted: Iterable[str], told: set[str]) -> list[str]:
    return [f"{what} {one}: not there" for one in wanted if one not in told]
