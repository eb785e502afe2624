"""A column is replaced by another while code of before, between and after is at work."""
