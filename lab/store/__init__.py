"""What is kept: runs on a shared file system: claims, curves, records, failures, and the run table."""
