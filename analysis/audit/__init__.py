"""What of a table, and of the law and frontier made from it, may not be trusted, and why.

In a notebook `analysis.audit(runs)` is `audit_runs(runs)`: the package has its name and can be called.
"""

import sys
from inspect import signature
from types import ModuleType

from analysis.audit.audit import Audit, audit_runs, cautions
from analysis.audit.findings import Finding


class Callable(ModuleType):
    """A module that is called as a function of it is."""

    __call__ = staticmethod(audit_runs)


__signature__ = signature(audit_runs)
sys.modules[__name__].__class__ = Callable
