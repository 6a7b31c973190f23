"""Figures for a paper: pure functions of tables and fits that return a Figure."""
