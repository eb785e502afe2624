"""The HTTPS API of the portals: one module of thin routes per context, composed here."""

from functions.portal_api import billing, clinics, contracts, customers, messages
from functions.portal_api.api import api

__all__ = ["app", "billing", "clinics", "contracts", "customers", "messages"]

app = api.app
