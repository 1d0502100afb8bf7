"""A function as an executable for each device, compiled in its own time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import jax


class Compiled:
    """A function compiled once for each device, called for many shards at once.

    Args:
        function: what is compiled.
        donate: arguments whose memory a call takes over.
        once: it runs once a block: better compiled fast than run fast.
        options: of the compiler, by name.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        donate: tuple[int, ...] = (),
        once: bool = False,
        options: Mapping[str, str | bool] | None = None,
    ) -> None:
        self._function = function
        self._options: dict[str, str | bool] = dict(options or {})
        self._donate = donate
        self._once = once
        self._compiled: dict[jax.Device, Future[Any]] = {}
        self._lock = threading.Lock()

    def begin(
        self, device: jax.Device, arguments: tuple[Any, ...], start: Callable[..., Future[Any]]
    ) -> Any:
        """Traces for a device and has `start` compile; the form of what a call will give."""
        options = dict(self._options)
        if self._once and device.platform == "cpu":
            options.setdefault("xla_backend_optimization_level", "1")
        lowered = jax.jit(self._function, donate_argnums=self._donate).lower(*arguments)
        self._compiled[device] = start(lambda: lowered.compile(compiler_options=options or None))
        return lowered.out_info

    def has(self, device: jax.Device) -> bool:
        """Whether it is compiled for a device, or is being."""
        return device in self._compiled

    def on(self, device: jax.Device, arguments: tuple[Any, ...]) -> Any:
        """The executable for a device, compiled now if that has not begun."""
        with self._lock:
            if device not in self._compiled:
                self.begin(device, arguments, at_once)
        return self._compiled[device].result()


def at_once(work: Callable[[], Any]) -> Future[Any]:
    """The result of a call as a future that is there already."""
    future: Future[Any] = Future()
    future.set_result(work())
    return future
