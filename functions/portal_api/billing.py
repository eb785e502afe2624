"""Routes of the billing."""
