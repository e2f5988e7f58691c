"""What a step costs, learned while serving: seconds = fixed part + part for each token."""

DECAY = 0.97
"""Weight of a step against the one after it: about thirty steps count."""


class StepCost:
    """Least squares over the last steps, old ones fading out.

    Neither part falls below 0, which a few noisy steps might suggest. While all steps carried equally many
    tokens, nobody can tell what one more would cost, and it counts as free.
    """

    def __init__(self) -> None:
        self._weight = self._x = self._y = self._xx = self._xy = 0.0

    def observe(self, num_tokens: int, duration_s: float) -> None:
        """A step took so long."""
        self._weight = DECAY * self._weight + 1
        self._x = DECAY * self._x + num_tokens
        self._y = DECAY * self._y + duration_s
        self._xx = DECAY * self._xx + num_tokens * num_tokens
        self._xy = DECAY * self._xy + num_tokens * duration_s

    @property
    def mean_s(self) -> float:
        """Duration of a step as steps have been lately; 0 before the first."""
        return self._y / self._weight if self._weight else 0.0

    @property
    def token_s(self) -> float:
        """What one token more costs."""
        spread = self._weight * self._xx - self._x * self._x
        if spread <= 1e-9 * self._weight * self._xx:
            return 0.0
        slope = (self._weight * self._xy - self._x * self._y) / spread
        return min(max(slope, 0.0), self._y / self._x)
