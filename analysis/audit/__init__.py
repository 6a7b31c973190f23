"""What of a table, and of the law and frontier made from it, may not be trusted, and why."""
