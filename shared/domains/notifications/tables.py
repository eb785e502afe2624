"""Tables of the notifications context. Recipients are ids: contact points stay with customers."""

from sqlalchemy import Boolean, Column, Index, Integer, PrimaryKeyConstraint, Text
from sqlalchemy.dialects.postgresql import JSONB

from shared.kernel.ids import CustomerId, MessageId
from shared.platform.schema import clinic_table, id_column, revised
from shared.platform.tables import Instant

messages = clinic_table(
    "notifications",
    "messages",
    id_column("id", MessageId),
    id_column("customer_id", CustomerId),
    Column("channel", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("urgency", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("variables", JSONB, nullable=False),
    Column("any_hour", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("provider", Text),
    Column("provider_id", Text),
    Column("failure", Text),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("clinic_id", "id"),
    Index("ix_messages_customer_id", "clinic_id", "customer_id", "created_at", "id"),
)

preferences = clinic_table(
    "notifications",
    "preferences",
    id_column("customer_id", CustomerId),
    Column("topic", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("wanted", Boolean, nullable=False),
    *revised(),
    PrimaryKeyConstraint("clinic_id", "customer_id", "topic", "channel"),
)

suppressions = clinic_table(
    "notifications",
    "suppressions",
    id_column("customer_id", CustomerId),
    Column("channel", Text, nullable=False),
    Column("stopped", Boolean, nullable=False),
    *revised(),
    PrimaryKeyConstraint("clinic_id", "customer_id", "channel"),
)
