"""Sign-ins and what stands for them: ID and refresh tokens, cookies, custom tokens."""
