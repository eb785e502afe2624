"""Use cases of the customers context."""

from shared.domains.customers import model, store
from shared.domains.customers.commands import RegisterCustomer, UpdateCustomer
from shared.domains.customers.model import Customer
from shared.events.customers import CustomerRegistered, CustomerUpdated, CustomerValueGrew
from shared.kernel.errors import Conflict, Invalid, NotFound
from shared.kernel.ids import CustomerId
from shared.kernel.money import Money
from shared.kernel.work import Work


def register(uid: str, command: RegisterCustomer, work: Work) -> Customer:
    """Make the signed-in person a customer. Raises `Conflict` when they are already."""
    if not store.clinic_exists(work):
        raise NotFound("not-found", "There is no such clinic.")
    if store.by_uid(uid, work) is not None:
        raise Conflict("customer-exists", "You are registered as a customer here already.")
    customer = Customer(
        id=CustomerId.derive(work.clinic_id, uid),
        uid=uid,
        given_name=command.given_name,
        family_name=command.family_name,
        email=command.email,
        phone=command.phone,
        push_token=None,
        locale=command.locale,
        time_zone=command.time_zone,
        version=1,
        created_at=work.now,
        updated_at=work.now,
    )
    store.add(customer, work)
    work.emit(CustomerRegistered(clinic_id=work.clinic_id, customer_id=customer.id, version=1))
    return customer


def update(uid: str, command: UpdateCustomer, work: Work) -> Customer:
    """Change a customer's data; nothing is emitted when nothing worth telling differs."""
    given = command.given()
    if not given:
        raise Invalid("nothing-to-change", "Name at least one field to change.")
    customer = store.by_uid(uid, work, lock=True)
    if customer is None:
        raise NotFound("customer-not-found", "You are not registered as a customer here.")
    revised = model.revise(customer, work.now, **given)
    changed = model.changed(customer, revised)
    other_device = revised.push_token != customer.push_token
    if not changed and not other_device:
        return customer
    if other_device:
        store.release_device(revised, work)
    store.save(revised, work)
    if changed:
        work.emit(
            CustomerUpdated(
                clinic_id=work.clinic_id,
                customer_id=revised.id,
                version=revised.version,
                changed=changed,
            )
        )
    return revised


def add_value(customer_id: CustomerId, amount: Money, work: Work) -> None:
    """Count a payment towards the customer's lifetime value (per currency)."""
    customer = store.lock(customer_id, work)
    if customer is None:
        raise NotFound("customer-not-found", "There is no such customer.")
    grown = store.add_value(customer_id, amount, work)
    revised = model.revise(customer, work.now)
    store.save(revised, work)
    work.emit(
        CustomerValueGrew(
            clinic_id=work.clinic_id,
            customer_id=customer_id,
            version=revised.version,
            lifetime_value=grown,
        )
    )
