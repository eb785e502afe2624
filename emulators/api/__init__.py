"""What Google's gRPC APIs have in common: refusals, pages, field masks, times, policies."""
