"""Use cases of the clinics context."""

from shared.domains.clinics import store
from shared.domains.clinics.commands import SaveClinic
from shared.domains.clinics.queries import ClinicView
from shared.kernel.work import Work


def save(command: SaveClinic, work: Work) -> ClinicView:
    """Make the addressed clinic known, or rename it; doing it again changes nothing."""
    store.save(command, work)
    return ClinicView(id=work.clinic_id, name=command.name, time_zone=command.time_zone)
