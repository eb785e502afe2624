"""A seed owns clock, ids, transport, vendors and threads; the end is that of the in-order run.

`python -m tests.reliability.simulation --seeds 50` plays the product's own functions, in process,
against a real Postgres: once in order, each event a single time; once with every event several
times, shuffled, some two hours late, some at the same moment, with processes that die and vendors
that fail. What is then in the database, at the vendors and in the mirror must be the same.

What a seed fixes: every event, instant, id, delivery, fault and death, and which thread runs next
at every point of every step. What it does not fix: which of several sessions that wait for the
same row Postgres lets through first once its holder has rolled back (they are copies of one
another). A death rolls back and drops what the process was about to do; threads of one crowd are
processes of their own.
"""
