"""Named streams: goldens for every source, and that no key of a run is used twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence import data, names, randomness, threefry
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Study, resolve
from convergence.training import trial as trials
from convergence.training.state import Shared

GOLDENS = Path(__file__).parent / "goldens" / "streams.json"
# seed, source, replica (null: the stream all replicas share), key data, first uniforms
STREAMS = json.loads(GOLDENS.read_text())


def words(key: Any) -> list[int]:
    return np.asarray(jax.random.key_data(key)).tolist()


@pytest.mark.parametrize("source", names.SOURCES)
def test_golden_streams(source: str) -> None:
    """Protects every study ever run: a source's draws for a seed and replica never change."""
    cases = [case for case in STREAMS if case[1] == source]
    assert len(cases) == 16
    for seed, _, replica, expected, uniforms in cases:
        key = randomness.source_key(seed, source, replica)
        assert words(key) == expected
        assert np.array_equal(jax.random.uniform(key, (2,)), np.float32(uniforms))
        on_host = randomness.host_key(seed, source, replica)
        assert on_host.tolist() == expected
        named = randomness.fold_name(on_host, "validation")
        assert named.tolist() == words(randomness.fold_name(key, "validation"))
        draws = [randomness.host_generator(k).random(3).tolist() for k in (key, on_host)]
        assert draws[0] == draws[1]


@pytest.mark.parametrize(
    "sources", [("new", *names.SOURCES), tuple(reversed(names.SOURCES)), ("init", "split")]
)
def test_other_sources_move_no_stream(
    sources: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects studies from a source that is added, dropped or listed elsewhere."""
    before = randomness.key_data(randomness.key_tree(5, 2, ("init", "order")))
    monkeypatch.setattr(names, "SOURCES", sources)
    after = randomness.key_data(randomness.key_tree(5, 2, ("init", "order")))
    table = randomness.key_table(5, np.array([2]), ("init", "order"))
    assert tuple(after) == tuple(table) == sources
    for source in set(before) & set(after):
        assert np.array_equal(before[source], after[source])
        assert np.array_equal(before[source], table[source][0])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**63 - 1]) | st.integers(0, 2**63 - 1),
    replicas=st.lists(st.integers(0, 2**31 - 1), min_size=3, max_size=3),
    varied=st.sets(st.sampled_from(names.SOURCES)),
)
def test_table_equals_trees(seed: int, replicas: list[int], varied: set[str]) -> None:
    """Protects lanes: the keys of many replicas at once are those of each alone."""
    table = randomness.key_table(seed, np.array(replicas), varied)
    for row, replica in enumerate(replicas):
        tree = randomness.key_data(randomness.key_tree(seed, replica, varied))
        assert tree.keys() == table.keys()
        for source, expected in tree.items():
            assert table[source].dtype == np.uint32
            assert np.array_equal(table[source][row], expected)
            shared = randomness.source_key(seed, source, None)
            assert np.array_equal(expected, words(shared)) == (source not in varied)


@settings(max_examples=20, deadline=None)
@given(
    varied=st.sets(st.sampled_from(names.SOURCES)),
    draws=st.dictionaries(st.sampled_from(names.SOURCES), st.integers(0, 2**20 - 1)),
)
def test_draws_of_sources_that_do_not_vary(varied: set[str], draws: dict[str, int]) -> None:
    """Protects controlled comparisons: a frozen source has many streams, none of a replica's."""
    replicas = np.array([0, 5])
    table = randomness.key_table(9, replicas, varied, draws)
    for source in names.SOURCES:
        if source in varied:
            expected = [words(randomness.source_key(9, source, int(k))) for k in replicas]
        else:
            stream = randomness.SHARED - draws.get(source, 0)
            expected = [words(randomness.source_key(9, source, stream))] * 2
        assert table[source].tolist() == expected


def test_streams_are_distinct() -> None:
    """Protects independence: seeds, sources and replicas that differ have keys that differ."""
    found = set()
    seeds = [0, 1, 2, 3, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**63 - 1]
    replicas = np.arange(50)
    for seed in seeds:
        for varied in (names.SOURCES, ()):
            table = randomness.key_table(seed, replicas if varied else replicas[:1], varied)
            found |= {tuple(key) for keys in table.values() for key in keys.tolist()}
    assert len(found) == len(seeds) * len(names.SOURCES) * (50 + 1)


def test_codes_of_names() -> None:
    """Protects sub-streams: a name's code is the CRC-32 that zip files use, in every process."""
    assert randomness.name_code("123456789") == 0xCBF43926
    codes = {randomness.name_code(name) for name in names.SOURCES}
    assert len(codes) == len(names.SOURCES)
    key = randomness.root_key(0)
    assert words(randomness.fold_name(key, "a")) != words(randomness.fold_name(key, "b"))


@settings(max_examples=100, deadline=None)
@given(word=st.tuples(*[st.integers(0, 2**32 - 1)] * 2), data=st.integers(0, 2**32 - 1))
def test_keys_folded_on_the_host_are_those_of_jax(word: tuple[int, int], data: int) -> None:
    """Protects every lane's keys: the cipher on the host is JAX's, for any words."""
    expected = jax.random.fold_in(randomness.wrap(np.uint32(word)), np.uint32(data))
    assert threefry.fold_in(np.uint32(word), np.uint32(data)).tolist() == words(expected)


def test_wrap_undoes_key_data() -> None:
    """Protects lanes, which carry a key's words and make it a key again inside the program."""
    tree = randomness.key_tree(3, 1, names.SOURCES)
    for source, data_words in randomness.key_data(tree).items():
        assert data_words.dtype == np.uint32
        again = randomness.wrap(jax.numpy.asarray(data_words))
        assert np.array_equal(jax.random.bits(again, (3,)), jax.random.bits(tree[source], (3,)))


def test_host_generators() -> None:
    """Protects splits and corruption: a host stream is its key's, the same in every version."""
    key = randomness.source_key(0, "split", 0)
    first = randomness.host_generator(key).random(3)
    assert np.array_equal(first, randomness.host_generator(key).random(3))
    other = randomness.host_generator(randomness.source_key(0, "split", 1)).random(3)
    assert not np.array_equal(first, other)
    philox = np.random.Philox(key=np.array(words(key), np.uint64))  # documented by NumPy as stable
    assert np.array_equal(first, np.random.Generator(philox).random(3))


class Collector:
    """Takes down the words of each key that is drawn from, inside compiled programs too."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, tuple[int, ...]]] = []

    def watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def keep(key: np.ndarray) -> None:
            self.drawn.append((name, tuple(np.asarray(key).tolist())))

        def draw(key: jax.Array, *args: Any, **kwargs: Any) -> Any:
            jax.debug.callback(keep, jax.random.key_data(jax.random.clone(key)))
            return function(key, *args, **kwargs)

        return draw


def noisy_study() -> Study:
    """Three replicas of an arm that uses every source, and its twin; all sources vary."""
    told = DataSpec(
        dataset="teacher_classification", generated_rows=60, label_noise=0.2, duplicates=0.1,
        imbalance=0.1, input_noise=0.1, train_size=32,
    )  # fmt: skip
    model = ModelSpec(hidden=(3, 3), dropout=0.5, init="normal")
    train = TrainSpec(steps=240, batch_size=8, accumulate=2)
    setting = Setting(told, model, train)
    arms = (Arm("base"), Arm("twin", twin=True))
    run = RunSpec(num_seeds=3, vary=names.SOURCES)
    dataset = data.load(told)
    return Study(resolve(StudySpec(setting=setting, run=run, arms=arms), dataset), dataset)


def test_no_key_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects independence within a run: all (source, layer, step) keys drawn from differ.

    The keys are taken down where they are drawn from, in the program that trains, so that a step
    or a name that is folded in twice, or not at all, is seen.
    """
    seen = Collector()
    for name in ("bits", "bernoulli", "normal", "uniform"):
        monkeypatch.setattr(jax.random, name, seen.watched(name, getattr(jax.random, name)))
    host: list[tuple[str, tuple[int, ...]]] = []
    generator = randomness.host_generator
    monkeypatch.setattr(
        randomness,
        "host_generator",
        lambda key: (host.append(("host", tuple(words(key)))), generator(key))[1],
    )
    study = noisy_study()
    group = study.plan.groups[0]
    capacity = group.program.capacity
    shared = Shared(
        x=study.plan.dataset.x, y=study.plan.dataset.y, test=np.zeros(capacity, np.int32),
        test_count=np.int32(0), shapes=study.plan.shapes, fingerprint_every=np.int32(0),
    )  # fmt: skip
    # The outer split has a seed of its own; the rest is the views'.
    host.clear()
    study.plan._views.clear()
    lanes = study.plan.lanes(group, group.trials)
    program = group.program
    start = jax.jit(lambda one: trials.twinned(program, one, trials.initial_state(program, one)))
    train = jax.jit(lambda *given: trials.segment(group.program, *given))
    for lane in lanes[::2]:
        train(lane, shared, start(lane), np.int32(0), np.int32(240))
    jax.effects_barrier()
    base = Counter(seen.drawn)
    start(lanes[1])
    jax.effects_barrier()
    flips = [name for name, _ in seen.drawn[sum(base.values()) :]]
    assert flips.count("uniform") == 1
    check_keys(base, host, [lane.train_count for lane in lanes[::2]])


def check_keys(
    base: Counter[tuple[str, tuple[int, ...]]],
    host: list[tuple[str, tuple[int, ...]]],
    counts: list[np.ndarray],
) -> None:
    """Of three trials of 240 steps: two dropout layers, two microbatches, three kernels."""
    assert {int(count) for count in counts} == {32}
    rows = {item for item, times in base.items() if item[0] == "normal" and times > 3}
    draws = Counter(name for name, _ in base if (name, _) not in rows)
    assert draws == {"bernoulli": 3 * 240 * 2 * 2, "bits": 3 * 240 // 4, "normal": 3 * 3}
    assert all(times == 1 for item, times in base.items() if item not in rows)
    # Noise belongs to a row and is met again in each epoch; its keys are no other draw's.
    assert all(base[item] % 60 == 0 for item in rows)
    assert len(rows) > 3 * 20
    hosts = {key for _, key in host}
    assert len(hosts) == len(host)
    every = [key for _, key in base] + list(hosts)
    assert len(set(every)) == len(every)
