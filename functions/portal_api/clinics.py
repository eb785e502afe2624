"""Routes for setting up what a clinic is and sells."""

from functions.portal_api.api import api
from shared.domains.clinics import service
from shared.domains.clinics.commands import SaveClinic
from shared.domains.clinics.queries import ClinicView
from shared.domains.contracts import queries
from shared.domains.contracts import service as contracts
from shared.domains.contracts.commands import SavePlan
from shared.domains.contracts.queries import PlanList, PlanView
from shared.kernel.tenancy import Caller
from shared.kernel.work import Work
from shared.runtime.api import ClinicPath


class PlanPath(ClinicPath):
    code: str


@api.put("", permits="clinics:write")
def clinic_save(caller: Caller, work: Work, body: SaveClinic) -> ClinicView:
    """Make a clinic known, or rename it."""
    return service.save(body, work)


@api.get("/plans", permits="plans:read")
def plans_list(caller: Caller, work: Work) -> PlanList:
    """All plans of the clinic."""
    return queries.plans(work)


@api.put("/plans/<code>", permits="plans:write")
def plan_save(caller: Caller, work: Work, path: PlanPath, body: SavePlan) -> PlanView:
    """Define how a treatment is sold."""
    return contracts.save_plan(path.code, body, work)
