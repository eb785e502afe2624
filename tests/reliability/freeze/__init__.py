"""A process of the functions' host stands still, and goes on when others have done its work.

Cloud Run gives an instance no CPU while it has no request under way (request billing): whatever is
left for after the response is not done until the next request comes, if ever. An instance may stand
still in the middle of a request, too: throttled, swapped out, migrated. Nothing that was promised
may be lost by that, and nothing doubled or undone by one that goes on late.
"""
