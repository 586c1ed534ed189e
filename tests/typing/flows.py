"""Tasks, flow functions, workflows: see executor.py."""

from __future__ import annotations

from typing import assert_type

import fastflow
from fastflow.run.handles import Handle

tasks = fastflow.TaskRegistry()


@tasks.task
def pages(site: str) -> list[str]:
    return [f"{site}/{n}" for n in range(3)]


@fastflow.task(retries=3, timeout="5s")
def fetch(page: str, limit: int = 0) -> int:
    return len(page)


@fastflow.task
async def rank(sizes: list[int]) -> dict[str, int]:
    return {str(size): size for size in sizes}


@tasks.task(retries=1)
async def best(ranks: dict[str, int]) -> str:
    return max(ranks)


@fastflow.flow
def crawl(site: str) -> dict[str, int]:
    found = pages(site)
    assert_type(found, Handle[list[str]])
    assert_type(found.result(), list[str])
    assert_type(fetch("a").result(), int)
    sizes: list[int] = [fetch(page) for page in found.result()]
    ranks = rank(sizes)
    assert_type(ranks.result(), dict[str, int])
    assert_type(best(ranks), Handle[str])  # a handle in the place of its value
    pages(3)  # error
    fetch("a", limit="b")  # error
    fetch()  # error
    number: str = found.result()  # error
    return ranks


assert_type(crawl("example.org"), dict[str, int])
crawl(3)  # error
assert_type(crawl.with_options(executor="serial")("example.org"), dict[str, int])
length: int = fetch("elsewhere")  # a plain call, outside of a flow


@fastflow.flow(name="named")
def named(count: int) -> list[int]:
    return [fetch("a") for _ in range(count)]


assert_type(named(3), list[int])
named("3")  # error


async def step(ctx: object) -> int:
    return 3


fastflow.workflow("w").step("async", step).parallel([step, step]).run()
fastflow.workflow("w").step("no function", 3)  # error
