"""The API that the modules of this folder declare their routes on."""

from shared.runtime.api import Api

api = Api("portal_api", "Clinicloop portal API")
