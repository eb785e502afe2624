"""PostgreSQL is killed under load: what was acknowledged is there, and work goes on by itself."""
