"""Writes of the clinics context. Its table is the platform's: the register of tenants."""

from sqlalchemy.dialects.postgresql import insert

from shared.domains.clinics.commands import SaveClinic
from shared.kernel.work import Work
from shared.platform.tables import clinics
from shared.platform.unit_of_work import sql


def save(command: SaveClinic, work: Work) -> None:
    values = {"name": command.name, "time_zone": command.time_zone}
    new = insert(clinics).values(id=work.clinic_id, **values)
    sql(work).execute(new.on_conflict_do_update(index_elements=["id"], set_=values))
