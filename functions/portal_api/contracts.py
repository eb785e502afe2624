"""Routes of the contracts context."""

from functions.portal_api.api import api
from functions.portal_api.customers import owner
from shared.domains.contracts import queries, service
from shared.domains.contracts.commands import CancelContract, ChangePlan, RequestContract
from shared.domains.contracts.queries import ContractPage, ContractView
from shared.domains.customers.queries import of_uid
from shared.kernel.ids import ContractId
from shared.kernel.tenancy import Caller
from shared.kernel.work import Work
from shared.runtime.api import ClinicPath, Page


class ContractPath(ClinicPath):
    contract_id: ContractId


@api.post("/contracts", permits="contracts:write", status=201)
def contract_request(caller: Caller, work: Work, body: RequestContract) -> ContractView:
    """Insert a contract; it has the status `future` until it begins."""
    return queries.view(service.request(of_uid(caller.uid, work).id, body, work))


@api.get("/contracts", permits="contracts:read")
def contracts_list(caller: Caller, work: Work, query: Page) -> ContractPage:
    """Your contracts; for staff, the clinic's."""
    return queries.page(owner(caller, work), query.limit, query.after, work)


@api.get("/contracts/<contract_id>", permits="contracts:read")
def contract_read(caller: Caller, work: Work, path: ContractPath) -> ContractView:
    """One contract."""
    return queries.find(path.contract_id, work, owner(caller, work))


@api.post("/contracts/<contract_id>/plan", permits="contracts:write")
def contract_plan_change(
    caller: Caller, work: Work, path: ContractPath, body: ChangePlan
) -> ContractView:
    """Choose another plan, now or with the next term."""
    who = owner(caller, work)
    return queries.view(service.change_plan(path.contract_id, body, who, work))


@api.post("/contracts/<contract_id>/pause", permits="contracts:write")
def contract_pause(caller: Caller, work: Work, path: ContractPath) -> ContractView:
    """Let the term stand still."""
    return queries.view(service.pause(path.contract_id, owner(caller, work), work))


@api.post("/contracts/<contract_id>/resume", permits="contracts:write")
def contract_resume(caller: Caller, work: Work, path: ContractPath) -> ContractView:
    """Let the term go on."""
    return queries.view(service.resume(path.contract_id, owner(caller, work), work))


@api.post("/contracts/<contract_id>/cancellation", permits="contracts:write")
def contract_cancel(
    caller: Caller, work: Work, path: ContractPath, body: CancelContract
) -> ContractView:
    """End it with its term, or at once."""
    return queries.view(service.cancel(path.contract_id, body, owner(caller, work), work))


@api.delete("/contracts/<contract_id>/cancellation", permits="contracts:write")
def contract_cancel_undo(caller: Caller, work: Work, path: ContractPath) -> ContractView:
    """Keep a contract that was to end with its term."""
    return queries.view(service.undo_cancel(path.contract_id, owner(caller, work), work))
