"""Corpora: where text comes from, how it becomes tokens, and which of them make a batch."""
