"""The exact sign test of discordant pairs: did one arm diverge where the other did not?"""

from __future__ import annotations

import dataclasses

from scipy import special


@dataclasses.dataclass(frozen=True)
class Discordance:
    """Pairs of trials, same seed, of which exactly one diverged.

    Attributes:
        treatment: pairs where only the treatment diverged.
        control: pairs where only the control diverged.
    """

    treatment: int
    control: int

    def can_decide(self, alpha: float) -> bool:
        """Whether any split of so many discordant pairs would be significant at one-sided alpha.

        It depends on the number of pairs only, not on which arm diverged, so a level that is
        shared out on its account stays valid.
        """
        pairs = self.treatment + self.control
        return pairs > 0 and 0.5**pairs < alpha

    def p_treatment_no_worse(self) -> float:
        """One-sided p of 'the treatment diverges no more often than the control'.

        McNemar's test in its exact form: given the number of discordant pairs, each is equally
        likely to fall on either side (McNemar 1947).
        """
        return _upper_tail(self.treatment, self.treatment + self.control)

    def p_control_no_worse(self) -> float:
        """One-sided p of 'the control diverges no more often than the treatment'."""
        return _upper_tail(self.control, self.treatment + self.control)


def _upper_tail(k: int, n: int) -> float:
    """P(X >= k) for X binomial with n fair trials."""
    return 1.0 if k == 0 else float(special.bdtrc(k - 1, n, 0.5))
