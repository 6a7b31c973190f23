"""Published scaling laws, computed again: one file a paper, each gives claims and figures."""
