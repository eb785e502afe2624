"""The use case that portals need: apart from sending, so that they need not load the templates."""

from shared.domains.notifications import store
from shared.domains.notifications.commands import SetPreferences
from shared.kernel.ids import CustomerId
from shared.kernel.work import Work


def choose(customer_id: CustomerId, command: SetPreferences, work: Work) -> None:
    """Write the customer's choices; what they did not name stays."""
    store.prefer(customer_id, command.preferences, work)
