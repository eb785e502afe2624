"""Tables of the customers context."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
)

from shared.kernel.ids import CustomerId
from shared.platform.schema import clinic_table, id_column, phi_column, revised

customers = clinic_table(
    "customers",
    "customers",
    id_column("id", CustomerId),
    Column("uid", Text, nullable=False),
    phi_column("given_name", Text, nullable=False),
    phi_column("family_name", Text, nullable=False),
    phi_column("email", Text, nullable=False),
    phi_column("phone", Text),
    phi_column("push_token", Text),
    Column("locale", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    *revised(),
    PrimaryKeyConstraint("clinic_id", "id"),
    UniqueConstraint("clinic_id", "uid"),
    UniqueConstraint("clinic_id", "email"),
    Index(None, "clinic_id", "phone"),
    Index(None, "clinic_id", "push_token"),
)

lifetime_values = clinic_table(
    "customers",
    "lifetime_values",
    id_column("customer_id", CustomerId),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("clinic_id", "customer_id", "currency"),
)
