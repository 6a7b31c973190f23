"""The compute-optimal frontier by three approaches, under one stated cost."""
