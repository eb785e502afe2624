"""Notifications: what happened becomes messages, messages leave, providers' reports come back."""

from typing import Any

from shared.domains.customers import queries as customers
from shared.domains.notifications import service
from shared.domains.notifications.model import SUBSCRIBED
from shared.domains.notifications.ports import Vendors
from shared.events.contracts import ContractCreated
from shared.events.messages import (
    Channel,
    MessageQueued,
    SendGridWebhookReceived,
    TwilioWebhookReceived,
)
from shared.kernel.work import Timer, Work
from shared.runtime.agent import Agent


def _vendors() -> Vendors:
    from shared.integrations import twilio
    from shared.integrations.fcm import Fcm
    from shared.integrations.iterable import Iterable
    from shared.integrations.sendgrid import SendGrid

    return Vendors(
        senders={
            Channel.EMAIL: (SendGrid(),),
            Channel.SMS: twilio.senders(),
            Channel.PUSH: (Fcm(),),
        },
        marketing=Iterable(),
    )


agent = Agent("notification_agent", _vendors)

agent.effects("message_leaves", service.message_sending(customers), MessageQueued)
agent.effects("welcome_tracks", service.WELCOME_TRACKING, ContractCreated)


@agent.reacts(*SUBSCRIBED)
def message_arises(event: Any, work: Work) -> None:
    service.queue_messages(event, customers, work)


@agent.reacts(TwilioWebhookReceived)
def sms_reports(event: TwilioWebhookReceived, work: Work) -> None:
    from shared.integrations import twilio

    service.take_reports(twilio.read, event.webhook_id, customers, work)


@agent.reacts(SendGridWebhookReceived)
def email_reports(event: SendGridWebhookReceived, work: Work) -> None:
    from shared.integrations import sendgrid

    service.take_reports(sendgrid.read, event.webhook_id, customers, work)


@agent.timer(service.SEND_TIMER)
def message_goes_on(timer: Timer, work: Work) -> None:
    service.release_message(timer, customers, work)


notification_agent = agent.function
