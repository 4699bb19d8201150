"""Whether operations record a graph: one flag for each thread, and the words that switch it.

The flag belongs to the thread, so a server that predicts in one thread and trains in another never switches the
other's recording off. Read `core.py` next.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from _thread import _local  # what threading.local is, without the module
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "enable_grad", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "no_grad",
    "set_grad_enabled",
]  # fmt: skip

F = TypeVar("F", bound="Callable[..., Any]")


class Mode(_local):
    """`grad`: operations record nodes. `inference`: inside `inference_mode`, which is `no_grad` by another name.

    `overwriters`: where a checker wants to know, the names of Functions whose backward wrote into its cotangent.
    """

    grad = True
    inference = False
    overwriters: set[str] | None = None
    forward: Any = None  # the run of a Function's forward that follows what is computed in it


MODE = Mode()


@contextlib.contextmanager
def overwriters() -> Iterator[set[str]]:
    """The names of the Functions whose backward writes into its cotangent inside the block."""
    found: set[str] = set()
    MODE.overwriters = found
    try:
        yield found
    finally:
        MODE.overwriters = None


class _Switch:
    """A context manager that is a decorator too; it may be entered again while it is active."""

    grad: bool
    inference: bool | None = None

    def __enter__(self) -> None:
        self.__dict__.setdefault("before", []).append((MODE.grad, MODE.inference))
        MODE.grad = self.grad
        if self.inference is not None:
            MODE.inference = self.inference

    def __exit__(self, *exception: object) -> None:
        MODE.grad, MODE.inference = self.__dict__["before"].pop()

    def __call__(self, function: F) -> F:
        """The function with this setting while its body runs, and the caller's own wherever it pauses."""
        import inspect  # NumPy has it loaded; who decorates nothing does not need it

        if inspect.isclass(function):
            warnings.warn(
                f"{type(self).__name__} on a class acts in its constructor only: decorate `__init__`, or the methods",
                FutureWarning,
                stacklevel=2,
            )
            return cast("F", functools.wraps(function, updated=())(_plain(self, function)))
        kinds = ((inspect.isasyncgenfunction, _async_generator), (inspect.iscoroutinefunction, _coroutine),
                 (inspect.isgeneratorfunction, _generator))  # fmt: skip
        wrapper = next((wrapper for is_kind, wrapper in kinds if is_kind(function)), _plain)
        return cast("F", functools.wraps(function)(wrapper(self, function)))

    def _again(self) -> _Switch:
        """A fresh switch of the same setting: a decorated function may run in several threads at once."""
        fresh = object.__new__(type(self))
        fresh.grad, fresh.inference = self.grad, self.inference
        return fresh


def _plain(switch: _Switch, function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with switch._again():
            return function(*args, **kwargs)

    return wrapped


def _steps(switch: _Switch, body: Any) -> Any:
    """A generator that runs `body` step by step, each under the switch: what waits for the next step is not."""
    act, sent = body.send, None
    while True:
        try:
            with switch._again():
                value = act(sent)
        except StopIteration as stop:
            return stop.value
        try:
            act, sent = body.send, (yield value)
        except GeneratorExit:
            with switch._again():
                body.close()
            raise
        except BaseException as error:
            act, sent = body.throw, error


class _Steps:
    """The same for what is awaited."""

    def __init__(self, switch: _Switch, awaited: Any) -> None:
        self.switch, self.awaited = switch, awaited

    def __await__(self) -> Any:
        return (yield from _steps(self.switch, self.awaited.__await__()))


def _generator(switch: _Switch, function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return (yield from _steps(switch, function(*args, **kwargs)))

    return wrapped


def _coroutine(switch: _Switch, function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        return await _Steps(switch, function(*args, **kwargs))

    return wrapped


def _async_generator(switch: _Switch, function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        body = function(*args, **kwargs)
        act, sent = body.asend, None
        try:
            while True:
                try:
                    value = await _Steps(switch, act(sent))
                except StopAsyncIteration:
                    return
                try:
                    act, sent = body.asend, (yield value)
                except GeneratorExit:
                    raise
                except BaseException as error:
                    act, sent = body.athrow, error
        finally:
            await _Steps(switch, body.aclose())

    return wrapped


class _Fixed(_Switch):
    """A switch that may also decorate without parentheses: `@no_grad`."""

    def __new__(cls, function: Any = None) -> Any:
        self = super().__new__(cls)
        return self if function is None else self(function)

    def __init__(self, function: Any = None) -> None:
        pass


class no_grad(_Fixed):
    """Record no graph inside the block, or inside the decorated function.

    >>> import tinygrad_bp as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad():
    ...     print((x * 2).requires_grad)
    False
    """

    grad = False


class enable_grad(_Fixed):
    """Record a graph inside the block, also within `no_grad`.

    >>> import tinygrad_bp as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     print((x * 2).requires_grad)
    True
    """

    grad = True


class inference_mode(_Switch):
    """Record no graph, as `no_grad` does; `inference_mode(False)` switches recording on again.

    The tensors made inside are ordinary ones: they may be used in a graph later.

    >>> import tinygrad_bp as tg
    >>> with tg.inference_mode():
    ...     print(tg.is_inference_mode_enabled())
    True
    """

    def __new__(cls, mode: Any = True) -> Any:
        return cls()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self.grad, self.inference = not mode, bool(mode)


class set_grad_enabled(_Switch):
    """Switch recording on or off at once; as a context manager it is undone at the end of the block.

    >>> import tinygrad_bp as tg
    >>> with tg.set_grad_enabled(False):
    ...     print(tg.is_grad_enabled())
    False
    """

    def __init__(self, mode: bool) -> None:
        self.grad = bool(mode)
        self.__dict__["before"] = [(MODE.grad, MODE.inference)]
        MODE.grad = self.grad

    def __enter__(self) -> None:
        MODE.grad = self.grad

    def __call__(self, function: F) -> F:
        MODE.grad, MODE.inference = self.__dict__["before"][-1]  # decorating must not switch the present mode
        return super().__call__(function)

    def _again(self) -> _Switch:
        return set_grad_enabled(self.grad)


def is_grad_enabled() -> bool:
    """Whether operations record a graph in this thread.

    >>> import tinygrad_bp as tg
    >>> tg.is_grad_enabled()
    True
    """
    return MODE.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`.

    >>> import tinygrad_bp as tg
    >>> tg.is_inference_mode_enabled()
    False
    """
    return MODE.inference
