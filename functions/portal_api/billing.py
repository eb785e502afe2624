"""Routes of the billing context."""

from functions.portal_api.api import api
from functions.portal_api.customers import owner
from shared.domains.billing import queries
from shared.domains.billing.queries import DriftList, InvoicePage, SubscriptionPage
from shared.kernel.tenancy import Caller
from shared.kernel.work import Work
from shared.runtime.api import Page


@api.get("/subscriptions", permits="billing:read")
def subscriptions_list(caller: Caller, work: Work, query: Page) -> SubscriptionPage:
    """Your subscriptions; for staff, the clinic's."""
    return queries.subscription_page(owner(caller, work), query.limit, query.after, work)


@api.get("/invoices", permits="billing:read")
def invoices_list(caller: Caller, work: Work, query: Page) -> InvoicePage:
    """Your invoices; for staff, the clinic's."""
    return queries.invoice_page(owner(caller, work), query.limit, query.after, work)


@api.get("/drifts", permits="operations:read")
def drifts_list(caller: Caller, work: Work, query: Page) -> DriftList:
    """Where the billing provider and our rows differed, newest first."""
    return queries.drift_list(query.limit, work)
