"""Routes of the notifications context: what you were sent, and what you want to be sent."""

from functions.portal_api.api import api
from shared.domains.customers.queries import of_uid
from shared.domains.notifications import preferences, queries
from shared.domains.notifications.commands import SetPreferences
from shared.domains.notifications.queries import MessageList, PreferenceList
from shared.kernel.tenancy import Caller
from shared.kernel.work import Work
from shared.runtime.api import Page


@api.get("/messages", permits="messages:read")
def messages_list(caller: Caller, work: Work, query: Page) -> MessageList:
    """What you were sent, newest first; never the text."""
    return queries.of_customer(of_uid(caller.uid, work).id, query.limit, query.after, work)


@api.get("/customers/me/preferences", permits="messages:read")
def preferences_read(caller: Caller, work: Work) -> PreferenceList:
    """What you chose, by topic and channel."""
    return queries.preferences_of(of_uid(caller.uid, work).id, work)


@api.put("/customers/me/preferences", permits="customers:write")
def preferences_set(caller: Caller, work: Work, body: SetPreferences) -> PreferenceList:
    """Choose per topic and channel; what you do not name stays as it was."""
    customer = of_uid(caller.uid, work).id
    preferences.choose(customer, body, work)
    return queries.preferences_of(customer, work)
