"""Published claims, one file a paper, computed again from published data."""
