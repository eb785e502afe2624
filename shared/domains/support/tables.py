"""Tables of the support context."""

from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, Text, UniqueConstraint

from shared.kernel.ids import CustomerId, InvoiceId, TicketId
from shared.platform.schema import clinic_table, id_column, revised

tickets = clinic_table(
    "support",
    "tickets",
    id_column("id", TicketId),
    id_column("customer_id", CustomerId),
    id_column("invoice_id", InvoiceId),
    Column("vendor_id", BigInteger),
    Column("status", Text, nullable=False),
    *revised(),
    PrimaryKeyConstraint("clinic_id", "id"),
    UniqueConstraint("clinic_id", "invoice_id"),
)

customers = clinic_table(
    "support",
    "customers",
    id_column("customer_id", CustomerId),
    Column("vendor_id", BigInteger, nullable=False),
    *revised(),
    PrimaryKeyConstraint("clinic_id", "customer_id"),
)
