"""What can be asked of the contracts context; also the bodies of its routes."""

from datetime import date
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from shared.events.contracts import PlanChange
from shared.kernel.model import Model

Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Command(Model):
    model_config = ConfigDict(extra="forbid")


class RequestContract(Command):
    """Insert a contract: `subscription_id` is the billing provider's, `starts_on` a local day."""

    plan: Code
    subscription_id: Code
    starts_on: date


class ChangePlan(Command):
    """Choose another plan of the same treatment."""

    plan: Code
    takes_effect: PlanChange = PlanChange.END_OF_TERM


class CancelContract(Command):
    """End a contract with its term, or at once."""

    at_term: bool = True


class SavePlan(Command):
    """How a treatment is sold. `upfront` terms end in completion, others in renewal."""

    treatment: Code
    item_price_id: Code
    monthly_item_price_id: Code
    term_months: int = Field(default=6, ge=1, le=36)
    upfront: bool = False
    active: bool = True
