"""The machinery's own tables: what makes messages, timers and vendor calls survive anything."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.kernel.ids import ClinicId, TimerId, WebhookId
from shared.platform.schema import id_column, phi_column, platform_table

Instant = DateTime(timezone=True)

clinics = platform_table(
    "clinics",
    id_column("id", ClinicId, primary_key=True),
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
)

outbox = platform_table(
    "outbox",
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("id", Uuid, nullable=False, unique=True),
    Column("topic", Text, nullable=False),
    Column("ordering_key", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("clinic_id", Uuid),
    Column("attributes", JSONB, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("leased_until", Instant),
    Column("sent_at", Instant),
    Index("ix_outbox_unsent", "ordering_key", "seq", postgresql_where=text("sent_at IS NULL")),
    Index("ix_outbox_unsent_seq", "seq", postgresql_where=text("sent_at IS NULL")),
    Index("ix_outbox_sent_at", "sent_at"),
)

inbox = platform_table(
    "inbox",
    Column("handler", Text, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("received_at", Instant, nullable=False, server_default=func.now()),
    Index("ix_inbox_received_at", "received_at"),
)

intents = platform_table(
    "intents",
    Column("handler", Text, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("called_at", Instant),
    Column("leased_until", Instant),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Index("ix_intents_updated_at", "updated_at"),
)

timers = platform_table(
    "timers",
    id_column("id", TimerId, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Uuid, nullable=False),
    Column("clinic_id", Uuid, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("queued_at", Instant),
    Column("correlation_id", Text, nullable=False),
    UniqueConstraint("kind", "subject"),
    Index(
        "ix_timers_waiting",
        "due_at",
        postgresql_where=text("state = 'scheduled'"),
    ),
)

dead_letters = platform_table(
    "dead_letters",
    Column("id", Uuid, primary_key=True),
    Column("function", Text, nullable=False),
    Column("handler", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("replayed_at", Instant),
    owner="intake",
)

webhooks = platform_table(
    "webhooks",
    id_column("id", WebhookId, primary_key=True),
    Column("vendor", Text, nullable=False),
    Column("vendor_event_id", Text, nullable=False),
    phi_column("body", LargeBinary, nullable=False),
    Column("received_at", Instant, nullable=False),
    UniqueConstraint("vendor", "vendor_event_id"),
    Index("ix_webhooks_received_at", "received_at"),
    owner="intake",
)
