"""How good predictions are: errors in percentage points, R², and skill against the naive forecast. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Metrics = dict[str, float]
# The least spread of errors that is assumed, so that a model without any can still be asked for scores.
_LEAST_SPREAD = 1e-6


def baseline(targets: ArrayLike) -> Any:
    """The naive forecast: the value stays what it is."""
    import numpy as np

    return np.zeros(len(np.asarray(targets)))


def measure(targets: ArrayLike, predicted: ArrayLike) -> Metrics:
    """`mae`, `rmse`, `r2`, and `skill`: the part of the naive forecast's RMSE that is saved (0: none, 1: all)."""
    import numpy as np

    actual = np.asarray(targets, dtype=float)
    residuals = actual - np.asarray(predicted, dtype=float)
    rmse, naive = _rms(residuals), _rms(actual - baseline(actual))
    variance = float(np.mean((actual - actual.mean()) ** 2))
    return {
        "mae": float(np.mean(np.abs(residuals))),
        "rmse": rmse,
        "r2": 1 - rmse**2 / variance if variance > 0 else 0.0,
        "skill": 1 - rmse / naive if naive > 0 else 0.0,
    }


def spread(targets: ArrayLike, predicted: ArrayLike) -> float:
    """The standard deviation of the errors."""
    import numpy as np

    residuals = np.asarray(targets, dtype=float) - np.asarray(predicted, dtype=float)
    return max(float(np.std(residuals)), _LEAST_SPREAD)


def _rms(values: Any) -> float:
    import numpy as np

    return float(np.sqrt(np.mean(values**2)))
