"""Writes of the clinics context."""

from shared.domains.clinics.commands import SaveClinic
from shared.kernel.work import Work
from shared.platform.unit_of_work import save_clinic


def save(command: SaveClinic, work: Work) -> None:
    save_clinic(work.clinic_id, command.name, command.time_zone, work)
