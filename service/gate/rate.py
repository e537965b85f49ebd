"""How much work the engine does in a second while it has enough of it.

Only then does the rate say what the engine can do: an idle one would seem slow. It has enough
while work waits, while as much runs as it does in some seconds, and while work is refused because
too much runs already (`Rate.refused`): otherwise nobody would learn that it has become faster, or
slower.
"""

from __future__ import annotations

_MEASURE_SECONDS = 5.0
_FIRST_SECONDS = 2.0  # of the first measurement: until there is one, only bounds refuse
_ENOUGH_SECONDS = 5.0  # of work at the measured rate keep an engine busy
_ENOUGH_TOKENS = 4096  # keep one busy whose rate is not known
_WEIGHT = 0.3  # of the newest measurement
_JUMP = 2.0  # times the rate are no chance


class Rate:
    """How many weighted tokens a second are done while there is enough to do.

    Attributes:
        value: the newest estimate; None before the first.
    """

    def __init__(self) -> None:
        self.value: float | None = None
        self._since: float | None = None
        self._refused = float("-inf")
        self._done = self._running = self._running_at_first = 0

    def running(self, tokens: int, now: float, *, waits: bool) -> None:
        """Say what the engine has to do.

        Args:
            tokens: weighted, that run.
            now: seconds on one monotonic clock.
            waits: whether more waits.
        """
        self._running = tokens
        enough = _ENOUGH_TOKENS if self.value is None else self.value * _ENOUGH_SECONDS
        if waits or tokens >= enough or now - self._refused < _MEASURE_SECONDS:
            if self._since is None:
                self._begin(now)
        else:
            self._measure(now, _FIRST_SECONDS)
            self._since = None

    def refused(self, now: float) -> None:
        """Say that work was refused because too much runs."""
        self._refused = now
        if self._since is None:
            self._begin(now)

    def done(self, tokens: int, now: float) -> None:
        """Say that work of so many weighted tokens was finished."""
        self._done += tokens
        self._measure(now, _MEASURE_SECONDS)

    def _begin(self, now: float) -> None:
        self._since, self._done, self._running_at_first = now, 0, self._running

    def _measure(self, now: float, least: float) -> None:
        if self._since is None or (seconds := now - self._since) < _FIRST_SECONDS:
            return
        # What runs is half done in the mean, so that more of it than at first is work done too.
        begun = (self._running - self._running_at_first) / 2
        measured = max(0.0, self._done + begun) / seconds
        if self.value is None or measured > _JUMP * self.value:
            self.value = measured or None  # what was done can be done
        elif seconds < least:
            return
        else:
            self.value += _WEIGHT * (measured - self.value)
        self._begin(now)
