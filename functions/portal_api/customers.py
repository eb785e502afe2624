"""Routes of the customers context: everybody addresses themselves as `me`."""

from functions.portal_api.api import api
from shared.domains.customers import queries, service
from shared.domains.customers.commands import RegisterCustomer, UpdateCustomer
from shared.domains.customers.queries import CustomerView
from shared.kernel.ids import CustomerId
from shared.kernel.tenancy import Caller
from shared.kernel.work import Work


def owner(caller: Caller, work: Work) -> CustomerId | None:
    """Whose rows the caller may touch: a customer their own, staff anybody's (None)."""
    return None if caller.is_staff else queries.of_uid(caller.uid, work).id


@api.post("/customers", permits="customers:write", status=201)
def customer_register(caller: Caller, work: Work, body: RegisterCustomer) -> CustomerView:
    """Become a customer of the clinic."""
    return queries.view(service.register(caller.uid, body, work), work)


@api.get("/customers/me", permits="customers:read")
def customer_read(caller: Caller, work: Work) -> CustomerView:
    """What the clinic holds about you."""
    return queries.view(queries.of_uid(caller.uid, work), work)


@api.patch("/customers/me", permits="customers:write")
def customer_update(caller: Caller, work: Work, body: UpdateCustomer) -> CustomerView:
    """Change some of your data."""
    return queries.view(service.update(caller.uid, body, work), work)
