"""Verdict -> what people read: a table on a terminal, a JSON object, a page."""
