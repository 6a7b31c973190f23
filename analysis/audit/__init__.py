"""What of a table, and of the law and frontier made from it, may not be trusted, and why."""

from analysis.audit.audit import Audit, audit_runs, cautions
from analysis.audit.findings import Finding
