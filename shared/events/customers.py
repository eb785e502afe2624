"""Facts about customers (topic `customer-events`, ordered per customer)."""

from enum import StrEnum

from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, CustomerId
from shared.kernel.money import Money


class CustomerField(StrEnum):
    """Which part of a customer's data changed; never its value."""

    NAME = "name"
    EMAIL = "email"
    PHONE = "phone"
    LOCALE = "locale"
    TIME_ZONE = "time_zone"


class CustomerRegistered(Event, type="customer.registered", subject="customer_id"):
    """Somebody became a customer of a clinic."""

    clinic_id: ClinicId
    customer_id: CustomerId
    version: int


class CustomerUpdated(Event, type="customer.updated", subject="customer_id"):
    """A customer's data changed."""

    clinic_id: ClinicId
    customer_id: CustomerId
    version: int
    changed: tuple[CustomerField, ...]


class CustomerValueGrew(Event, type="customer.value_grew", subject="customer_id"):
    """A payment was added to the customer's lifetime value."""

    clinic_id: ClinicId
    customer_id: CustomerId
    version: int
    lifetime_value: Money
