"""The command line: `python -m tinygrad_bp gradcheck mypackage.layers:MyLayer --input 4,3`.

After this file you know how a layer is named, made and given inputs from a shell, and that the exit status is 0 where
the gradients are right, 1 where they are wrong and 2 where nothing could be checked. Read `gradcheck/check.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

EPILOG = """examples:
  python -m tinygrad_bp gradcheck mypackage.layers:MyLayer --args "3, 2, bias=False" --input 4,3
  python -m tinygrad_bp gradcheck mypackage.functions:Attention --input 2,4,8 --input 2,4,8
  python -m tinygrad_bp gradcheck mypackage.layers:Embed --args "10, 3" --input "5:int<10"
  python -m tinygrad_bp gradcheck tinygrad_bp:log --input 4 --range 0.1,2 --order 2

exit status: 0 the gradients are right, 1 they are wrong, 2 nothing could be checked"""


class UsageError(Exception):
    """What was asked for cannot be checked; the message says what to write instead."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status.

    >>> main(["gradcheck", "tinygrad_bp:sigmoid", "--input", "2,3", "--quiet"])
    0
    """
    options = parser().parse_args(argv)
    try:
        subject = resolve(options.target, options.args)
        report = check(subject, options)
    except UsageError as error:
        parser().exit(2, f"python -m tinygrad_bp gradcheck: {error}\n")
    if options.json:
        import json

        print(json.dumps(finite(report.to_dict()), indent=1, allow_nan=False))
    elif not options.quiet:
        print(report)
    return 0 if report else 1


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    import argparse

    top = argparse.ArgumentParser(prog="python -m tinygrad_bp", description="Tools for layers written by hand.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    raw = argparse.RawDescriptionHelpFormatter
    detail = "check the gradients of a layer or a function"
    sub = commands.add_parser("gradcheck", help=detail, description=detail, epilog=EPILOG, formatter_class=raw)
    add = sub.add_argument
    add("target", metavar="MODULE:NAME", help="a Module, its class, a Function or any function of tensors")
    sizes = '4,3 · () for one number · "5:int<10" for whole numbers; once for each input'
    add("--input", action="append", default=[], metavar="SIZES", help=sizes)
    add("--args", default="", metavar="ARGS", help='what the class is made with, as in a call: "3, 2, bias=False"')
    add("--range", default="-2,2", metavar="LOW,HIGH", help="between which the inputs lie (default -2,2)")
    add("--dtype", choices=("float64", "float32", "float16"), help="in which to check (default float64)")
    add("--order", type=int, choices=(1, 2), default=1, help="2 checks the second derivative")
    add("--seed", type=int, default=0, help="of the inputs, the first weights and all else that is drawn (default 0)")
    add("--json", action="store_true", help="print the report as JSON")
    add("--quiet", action="store_true", help="print nothing, only the exit status tells")
    return top


def resolve(target: str, args: str) -> Any:
    """The thing that 'package.module:Name' names, and a function that makes it if it is a class."""
    from .autograd import Function
    from .nn import Module

    module_name, _, name = target.partition(":")
    found: Any = imported(module_name)
    if not name:
        raise UsageError(f"{target!r} names a module; write which of its names to check: {candidates(found)}")
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{module_name} has no {name!r}; to check there are {candidates(found)}")
        found = getattr(found, part)
    if isinstance(found, type) and issubclass(found, Function):
        return lambda: found.apply
    if isinstance(found, type) and issubclass(found, Module):
        positional, named = call_arguments(args)
        return lambda: found(*positional, **named)
    if args:
        raise UsageError(f"--args is for a Module's class, which {target} is not")
    if not callable(found):
        kind = type(found).__name__
        raise UsageError(f"{target} is of type {kind}; a Module, a Function or a function of tensors is expected")
    return lambda: found


def imported(name: str) -> Any:
    """The module of that name, or a sentence that says why not."""
    import importlib
    import traceback

    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise UsageError(f"{name!r} is a path; write it as a module, {dotted}:NAME, from the folder it is found in")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"no module {name!r}: {error.name!r} is not found; run from the folder that contains it, or install it"
            ) from None
        raise UsageError(f"{name} does not import: {error}") from None
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
        raise UsageError(f"{name or 'the empty name'} does not import: {detail}") from None


def candidates(module: Any) -> str:
    """The layers and functions that a module defines itself, for an error message."""
    from .autograd import Function
    from .nn import Module

    own = {key: value for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    named = [key for key, value in own.items() if isinstance(value, type) and issubclass(value, Module | Function)]
    named = named or [key for key, value in own.items() if callable(value) and not key.startswith("_")]
    return ", ".join(named[:12]) or f"nothing, since {module.__name__} defines no layer and no function"


def call_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """'3, 2, bias=False' as ([3, 2], {'bias': False}); literals only, nothing is run."""
    import ast

    try:
        call = ast.parse(f"f({text})", mode="eval").body
        if not isinstance(call, ast.Call) or any(k.arg is None for k in call.keywords):
            raise ValueError
        named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        return [ast.literal_eval(value) for value in call.args], named
    except (ValueError, SyntaxError):
        detail = 'numbers, strings, lists and name=value are expected: "3, 2, bias=False"'
        raise UsageError(f"--args {text!r}: {detail}") from None


def inputs(options: argparse.Namespace) -> list[Any]:
    """A leaf per --input, with generic values from the seed."""
    from .core import wrap
    from .errors import ArgumentError
    from .testing.specs import parse, values_of

    if not options.input:
        raise UsageError("what goes in? Write --input SIZES for each input, as in --input 4,3")
    try:
        low, high = (float(number) for number in options.range.split(","))
        if not low < high:
            raise ValueError
    except ValueError:
        raise UsageError(f"--range {options.range!r}: two numbers, the smaller one first, are expected: -2,2") from None
    made = []
    for i, text in enumerate(options.input):
        try:
            spec = parse(text)
        except ArgumentError as error:
            raise UsageError(f"--input: {error}") from None
        sizes = [size for size in spec.sizes if isinstance(size, int)]
        if len(sizes) < len(spec.sizes):
            raise UsageError(f"--input {text!r}: sizes are numbers here, as in 4,3; only check_module draws letters")
        values = values_of(spec, tuple(sizes), [options.seed, i], low, high)
        floats = values.dtype.kind == "f"
        made.append(wrap(values.astype(options.dtype or "float64") if floats else values))
        if floats:
            made[-1].requires_grad_()
    return made


def check(make: Any, options: argparse.Namespace) -> Any:
    """The report; whatever keeps the check from being made becomes one sentence."""
    from . import random
    from .gradcheck import gradcheck, gradgradcheck

    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: 0 or more is expected")
    given = inputs(options)
    native: dict[str, Any] = {"dtype": "native"} if options.dtype in ("float32", "float16") else {}
    try:
        random.manual_seed(options.seed)
        subject = make()
        if native and hasattr(subject, "to"):
            subject = subject.to(options.dtype)
        run = gradgradcheck if options.order == 2 else gradcheck
        return run(subject, tuple(given), raise_exception=False, seed=options.seed, **native)
    except Exception as error:
        raise UsageError(f"{options.target}: {type(error).__name__}: {error}") from error


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become strings."""
    from math import isfinite

    from . import pytree

    return pytree.map(lambda x: str(x) if isinstance(x, float) and not isfinite(x) else x, value)


if __name__ == "__main__":
    import sys

    sys.exit(main())
