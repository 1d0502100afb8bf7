"""Made curves whose verdict is known, because the curve without its noise is known.

Whether a shape has converged or still improves is computed from its own value at ten times the
length, and whether it is stuck from what its law would have come to, not chosen; the shapes are
drawn anew until enough of each are there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from convergence.analysis.curves import Kind
from convergence.analysis.curves import judgement as says

Runs = tuple[tuple[np.ndarray, np.ndarray], ...]
Law = Callable[[np.ndarray], np.ndarray]
MATTERS = 0.05  # of the descent: the label's threshold, part of the task's definition


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A curve with what is true of it.

    Attributes:
        truth: a verdict.
        source: shape or real, and which.
        kind: as `judge` takes it.
        steps, values: as recorded.
        final: for extrapolation from the first half: the level at which the whole run ends.
        others: (steps, values) of the other curves of the same task, for `judge_together`.
    """

    truth: str
    source: str
    kind: Kind
    steps: np.ndarray
    values: np.ndarray
    final: float = float("nan")
    others: Runs = ()


def falling(rng: np.random.Generator) -> tuple[Law, str]:
    """A descent from 1 to a limit at 0, over x from 0 to 1 at the run's end and beyond."""
    kind = str(rng.choice(["power", "exponential", "two exponentials", "stretched", "logistic"]))
    early = 10 ** rng.uniform(-3, -0.7)
    b, rate = rng.uniform(0.15, 2.0), 10 ** rng.uniform(-0.3, 2)
    slow, part = 10 ** rng.uniform(-0.5, 1.3), rng.uniform(0.1, 0.5)
    bend = rng.uniform(0.4, 1.0)
    late = rng.uniform(0.02, 0.3)
    laws: dict[str, Law] = {
        "power": lambda x: (1 + x / early) ** -b,
        "exponential": lambda x: np.exp(-rate * x),
        "two exponentials": lambda x: (1 - part) * np.exp(-rate * x) + part * np.exp(-slow * x),
        "stretched": lambda x: np.exp(-((rate * x) ** bend)),
        "logistic": lambda x: (
            (1 + np.exp(-late * rate)) / (1 + np.exp(np.minimum(rate * (x - late), 700)))
        ),
    }
    return laws[kind], kind


def _steps(rng: np.random.Generator) -> np.ndarray:
    """Steps [n] of a run: even, random, growing, or with a gap."""
    n = int(10 ** rng.uniform(1.5, 3.3))
    length = n * int(10 ** rng.uniform(0, 2))
    how = rng.random()
    if how < 0.6:
        at = np.linspace(0, length, n)
    elif how < 0.8:
        at = np.sort(rng.uniform(0, length, n))
    elif how < 0.9:
        at = length * np.linspace(0, 1, n) ** 2
    else:
        at = np.linspace(0, length, n)
        first = rng.uniform(0.2, 0.6) * length
        at = at[(at < first) | (at > first + rng.uniform(0.05, 0.3) * length)]
    return np.unique(np.round(at)).astype(np.float64)


def _noise(rng: np.random.Generator, level: np.ndarray) -> np.ndarray:
    """Noise with autocorrelation or heavy tails, in part growing with the level; a few spikes."""
    n = len(level)
    size = 10 ** rng.uniform(-3.5, -1)
    how = rng.random()
    white = rng.standard_t(4, n) / np.sqrt(2) if how < 0.3 else rng.standard_normal(n)
    if how > 0.7:
        rho = rng.uniform(0.2, 0.9)
        for k in range(1, n):
            white[k] = rho * white[k - 1] + np.sqrt(1 - rho**2) * white[k]
    scale = size * (0.3 + 0.7 * np.abs(level)) if rng.random() < 0.5 else size
    noise = np.asarray(white * scale)
    if rng.random() < 0.3:
        at = rng.integers(n // 10, n, rng.integers(1, 4))
        noise[at] += rng.uniform(0.1, 2.0, len(at))
    return noise


def _start(rng: np.random.Generator, x: np.ndarray, level: np.ndarray) -> np.ndarray:
    """In a fifth of cases a warm-up: the curve holds, or rises, before it falls."""
    if rng.random() < 0.8:
        return level
    length = rng.uniform(0.01, 0.08)
    held = np.interp(x, [0, length], [0, 1])
    shifted = np.interp(np.maximum(x - length, 0), x, level)
    return np.where(x < length, level[0] + rng.uniform(0, 0.3) * held * (1 - held), shifted)


def shape(truth: str, rng: np.random.Generator) -> Case:
    """A made curve of which a verdict is true."""
    makers = {
        says.CONVERGED: _descending,
        says.IMPROVING: _descending,
        says.STUCK: _stuck,
        says.OSCILLATING: _oscillating,
        says.DIVERGED: _diverged,
        says.OVERTRAINED: _overtrained,
        says.NOT_LEARNING: _flat,
    }
    while True:
        steps = _steps(rng)
        x = steps / steps[-1]
        found, clean, source, kind = makers[truth](rng, x)
        if found == truth:
            break
    values = clean + _noise(rng, np.nan_to_num(clean, posinf=1.0))
    low, height = _scale(rng)
    final = low + height * float(clean[-1])
    values = low + height * values
    if rng.random() < 0.1:
        values[rng.integers(1, len(values) - 3, 2)] = np.nan
    if kind == "held-out" and rng.random() < 0.3:  # the same, better when higher
        top = float(rng.choice([low + height, 1.0]))
        kind, values, final = "score", top - values, top - final
    return Case(truth, f"made: {source}", kind, steps, values, final)


def _scale(rng: np.random.Generator) -> tuple[float, float]:
    """The limit and the height of a descent of one: any limit is drawn for any verdict."""
    height = 10 ** rng.uniform(-1, 1)
    return height * rng.choice([0.0, rng.uniform(0, 0.6), rng.uniform(0.6, 3.0)]), height


Made = tuple[str, np.ndarray, str, Kind]


def _descending(rng: np.random.Generator, x: np.ndarray) -> Made:
    law, name = falling(rng)
    gain = float(law(np.array([1.0]))[0] - law(np.array([10.0]))[0])
    fallen = 1.0 - float(law(np.array([1.0]))[0])
    truth = says.IMPROVING if gain > MATTERS * fallen else says.CONVERGED
    if fallen < 0.2:
        return "neither", x, name, "loss"
    return truth, _start(rng, x, law(x)), name, _kind(rng)


def _stuck(rng: np.random.Generator, x: np.ndarray) -> Made:
    """A descent broken off that would have gone on."""
    law, name = falling(rng)
    at = rng.uniform(0.03, 0.5)
    rest = law(at + (x - at).clip(0) * 0.002)
    clean = np.where(x < at, law(x), rest)
    lower = float(clean[-1] - law(np.array([1.0]))[0])
    truth = says.STUCK if lower > MATTERS * float(clean[0] - clean[-1]) else "neither"
    if clean[0] - clean[-1] < 0.1 or float(clean[-1] - law(np.array([10.0]))[0]) > 0.7:
        truth = "neither"
    return truth, clean, f"{name} broken off", _kind(rng)


def _kind(rng: np.random.Generator) -> Kind:
    return "held-out" if rng.random() < 0.3 else "loss"


def _oscillating(rng: np.random.Generator, x: np.ndarray) -> Made:
    rate = 10 ** rng.uniform(0.8, 2)
    size, cycles = rng.uniform(0.1, 0.5), rng.uniform(6, max(len(x) / 5, 7))
    phase = 2 * np.pi * (cycles * x + rng.uniform())
    forms = {
        "sine": np.sin(phase),
        "sawtooth": 2 * ((phase / (2 * np.pi)) % 1) - 1,
        "drifting sine": np.sin(phase + 0.3 * np.cumsum(rng.standard_normal(len(x))) * 0.3),
        "square": np.sign(np.sin(phase)),
    }
    name = str(rng.choice(list(forms)))
    grown = 1 - np.exp(-rate * x)
    clean = np.exp(-rate * x) + size * grown * (1 + forms[name])
    return says.OSCILLATING, clean, name, _kind(rng)


def _diverged(rng: np.random.Generator, x: np.ndarray) -> Made:
    law, _ = falling(rng)
    at, name = (
        rng.uniform(0.15, 0.9),
        str(rng.choice(["blows up", "not finite", "jumps", "climbs"])),
    )
    clean = law(x)
    later = x >= at
    level = float(law(np.array([at]))[0])
    if name == "blows up":
        clean = np.where(later, level + np.expm1(rng.uniform(2, 8) * (x - at) / (1 - at)), clean)
    elif name == "not finite":
        clean = np.where(later, rng.choice([np.nan, np.inf]), clean)
    elif name == "jumps":
        clean = np.where(later, 1 + rng.uniform(0, 2), clean)
    else:
        clean = np.where(later, level + rng.uniform(1.2, 4) * (x - at) / (1 - at), clean)
    truth = says.DIVERGED if 1 - level > 0.2 or name != "climbs" else "neither"
    # A held-out loss that climbs or blows up may be over-trained; one that jumps is not.
    held_out = name in ("jumps", "not finite") and rng.random() < 0.3
    return truth, clean, name, "held-out" if held_out else "loss"


def _overtrained(rng: np.random.Generator, x: np.ndarray) -> Made:
    law, _ = falling(rng)
    at, bend = rng.uniform(0.05, 0.8), rng.uniform(0.5, 1.5)
    rise = 10 ** rng.uniform(-1.0, 0.5)
    clean = law(x) + rise * (((x - at).clip(0)) / (1 - at)) ** bend
    descent, lost = 1 - float(clean.min()), float(clean[-1] - clean.min())
    truth = says.OVERTRAINED if lost > MATTERS * descent and descent > 0.2 else "neither"
    return truth, clean, "rises again", "held-out"


def _flat(rng: np.random.Generator, x: np.ndarray) -> Made:
    return says.NOT_LEARNING, np.full(len(x), 1.0), "level", _kind(rng)
