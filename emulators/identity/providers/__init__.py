"""Identity providers: their configurations, their tokens, and signing in with them."""
