"""The graph below what a step returns, cut into regions whose backward passes run as one program each.

The caller may ask for the gradient of any of the results, so nobody knows beforehand which of them will bring a
cotangent; and a cotangent of 0 is not the same as none (0 · ∞ is NaN). A region is a part of the graph of which either
everything is passed by a backward pass, or nothing. Its *entries* are the nodes by which cotangents come in from
outside: results, and nodes that several results were made from. Read `differentiable.py` next: the programs.
"""

from __future__ import annotations

from typing import Any

from ..core import Leaf

# What tells one region from another: the results from which it is reached, and how many regions of these are above.
Key = tuple[frozenset[Any], int]


class Region:
    """Nodes that a backward pass visits all or not at all; `entries` are those at which cotangents come in."""

    __slots__ = ("entries", "nodes")

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.nodes: list[Any] = []

    def leads_to(self, node: Any) -> bool:
        """Whether a cotangent comes to a node from inside the region too."""
        return any(parent is node for one in self.nodes for parent, _, _ in one.edges)


def regions(results: list[Any]) -> list[Region]:
    """The regions below the nodes of the results, each before those from which it is reached."""
    consumers = consumers_of(results)
    keys: dict[Any, Key] = {}
    found: dict[Key, Region] = {}
    for unit, members in in_order(consumers):
        keys[unit] = key = key_of(members, consumers, keys, set(results))
        region = found.setdefault(key, Region())
        region.nodes += members
        region.entries += [
            node
            for node in members
            if node in results or any(keys[unit_of(c)] != key for c in consumers[node] if unit_of(c) is not unit)
        ]
    return [found[key] for key in sorted(found, key=lambda key: (len(key[0]), key[1]), reverse=True)]


def key_of(members: list[Any], consumers: dict[Any, list[Any]], keys: dict[Any, Key], results: set[Any]) -> Key:
    """The region of a node. Where a cotangent may come from inside its region alone, it begins another one."""
    above = {node: [keys[unit_of(c)] for c in consumers[node] if unit_of(c) in keys] for node in members}
    own = {node: frozenset([node]) & results for node in members}
    reached = frozenset().union(*own.values(), *(found for keys in above.values() for found, _ in keys))
    level = max((n for keys in above.values() for found, n in keys if found == reached), default=0)
    for node in members:
        outside = [found for found, n in above[node] if (found, n) != (reached, level)]
        by = own[node].union(*outside)
        if by and by != reached and len(outside) < len(above[node]):
            return reached, level + 1
    return reached, level


def unit_of(node: Any) -> Any:
    """The outputs of one call with several stand and fall together: its joint node, which has no shape."""
    for parent, _, _ in node.edges or ():
        return parent if parent.shape is None else node
    return node


def consumers_of(results: list[Any]) -> dict[Any, list[Any]]:
    """For each node below the results, those that lead to it."""
    found: dict[Any, list[Any]] = {node: [] for node in results}
    stack = list(found)
    while stack:
        node = stack.pop()
        for parent, _, _ in node.edges or ():
            if isinstance(parent, Leaf):
                continue
            if parent not in found:
                found[parent] = []
                stack.append(parent)
            found[parent].append(node)
    return found


def in_order(consumers: dict[Any, list[Any]]) -> list[tuple[Any, list[Any]]]:
    """(unit, its nodes), each after all that lead to it."""
    members: dict[Any, list[Any]] = {}
    for node in consumers:
        members.setdefault(unit_of(node), []).append(node)
    waiting = {
        unit: sum(unit_of(c) is not unit for node in nodes for c in consumers[node]) for unit, nodes in members.items()
    }
    order = [unit for unit, count in waiting.items() if not count]
    for unit in order:  # grows as it is walked
        for parent in (parent for node in members[unit] for parent, _, _ in node.edges or ()):
            below = unit_of(parent)
            if below is not unit and below in waiting:
                waiting[below] -= 1
                if not waiting[below]:
                    order.append(below)
    return [(unit, members[unit]) for unit in order]
