"""Laws fitted to tables: the estimate, its status, and its intervals by profile and by resampling."""
