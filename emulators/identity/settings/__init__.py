"""Projects and tenants, and what is configured for them."""
