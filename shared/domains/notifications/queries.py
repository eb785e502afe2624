"""Reads of the notifications context."""

from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, select, tuple_

from shared.domains.notifications.commands import Preference
from shared.domains.notifications.model import MessageStatus, Topic
from shared.domains.notifications.tables import messages, preferences
from shared.events.messages import Channel, MessageFailure
from shared.kernel.ids import CustomerId, MessageId
from shared.kernel.model import Model
from shared.kernel.work import Work
from shared.platform.unit_of_work import sql


class MessageView(Model):
    """A message as the portal shows it. `at` is when its status last changed (aware UTC)."""

    id: MessageId
    channel: Channel
    topic: Topic
    template: str
    status: MessageStatus
    failure: MessageFailure | None
    at: datetime


class MessageList(Model):
    """A page of messages, newest first; `next` is the `after` of the following page."""

    messages: list[MessageView]
    next: MessageId | None


class PreferenceList(Model):
    """What a customer chose; what is not named follows the defaults."""

    preferences: list[Preference]


def of_customer(customer_id: CustomerId, limit: int, after: UUID | None, work: Work) -> MessageList:
    """At most `limit` messages to a customer after the message `after`."""
    asked = {"owner": customer_id, "most": limit + 1, "after": after}
    rows = sql(work).execute(_page(resumed=after is not None), asked).mappings()
    found = [MessageView.model_validate(dict(row)) for row in rows]
    return MessageList(messages=found[:limit], next=found[limit - 1].id if found[limit:] else None)


@cache
def _page(*, resumed: bool) -> Select[Any]:
    rows = messages.c
    query = select(
        rows.id,
        rows.channel,
        rows.topic,
        rows.template,
        rows.status,
        rows.failure,
        rows.updated_at.label("at"),
    ).where(rows.customer_id == bindparam("owner"))
    if resumed:
        last = messages.alias("last")
        known = select(last.c.created_at, last.c.id).where(last.c.id == bindparam("after"))
        query = query.where(tuple_(rows.created_at, rows.id) < known.scalar_subquery())
    return query.order_by(rows.created_at.desc(), rows.id.desc()).limit(bindparam("most"))


_PREFERENCES = (
    select(preferences.c.topic, preferences.c.channel, preferences.c.wanted)
    .where(preferences.c.customer_id == bindparam("owner"))
    .order_by(preferences.c.topic, preferences.c.channel)
)


def preferences_of(customer_id: CustomerId, work: Work) -> PreferenceList:
    """What the customer chose so far."""
    found = sql(work).execute(_PREFERENCES, {"owner": customer_id}).mappings()
    return PreferenceList(preferences=[Preference.model_validate(dict(row)) for row in found])
