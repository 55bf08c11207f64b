"""What policies would have cost and gained: history replayed, window by window, through the code that runs today.

Drift, decision, training, promotion and rollback are those of the platform. What is left out: the search (parameters
are the declared ones, or where the search begins), the service (a window's rows count as served) and the contract's
quarantine.
"""

from mlplatform.ml.backtest.policies import standard_policies
from mlplatform.ml.backtest.result import Backtest, PolicyRun, ReplayedWindow
from mlplatform.ml.backtest.run import backtest

__all__ = ["Backtest", "PolicyRun", "ReplayedWindow", "backtest", "standard_policies"]
