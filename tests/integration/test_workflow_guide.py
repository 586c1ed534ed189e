"""The patterns of the guide to parallel workflows, one test per snippet, in Python.

Only what the guide leaves open is made up here: databases, APIs and services are small
async functions.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from types import SimpleNamespace

import pytest

import fastflow

PAYLOAD = {"user_id": 7, "order_id": 21, "product_ids": [1, 2], "payment_id": 70}


@pytest.fixture
def workflow():
    return fastflow.workflow("guide")


async def answer(value):
    await asyncio.sleep(0)
    return value


async def fail(message):
    await asyncio.sleep(0)
    raise ConnectionError(message)


async def never():
    await asyncio.Event().wait()


def fetch_user(id_):
    return answer({"user": id_})


def fetch_order(id_):
    return answer({"order": id_})


def fetch_products(ids):
    return answer([{"product": id_} for id_ in ids])


def fetch_payment(id_):
    return answer({"payment": id_})


# Parallel execution


def test_parallel_execution(workflow):
    async def user(ctx):
        return await fetch_user(ctx.payload["user_id"])

    async def order(ctx):
        return await fetch_order(ctx.payload["order_id"])

    async def products(ctx):
        return await fetch_products(ctx.payload["product_ids"])

    async def combine(ctx):
        user, order, products = ctx.last
        return {"processed": True, "user": user, "order": order, "products": products}

    workflow.parallel([user, order, products]).step("process-combined-data", combine)
    assert workflow.run(PAYLOAD).last == {
        "processed": True,
        "user": {"user": 7},
        "order": {"order": 21},
        "products": [{"product": 1}, {"product": 2}],
    }


def test_branches_run_side_by_side(workflow):
    # Each waits for the others: one after another they would never end.
    everybody = asyncio.Event()
    here = []

    async def arrive(ctx):
        here.append(1)
        if len(here) == 3:
            everybody.set()
        await everybody.wait()
        return len(here)

    assert workflow.parallel([arrive] * 3).run().last == [3, 3, 3]


def test_pattern_data_fetching(workflow):
    def combine(ctx):
        user, order, product, payment = ctx.last
        return {"combined": True, **user, **order, "product": product, **payment}

    workflow.parallel(
        [
            lambda ctx: fetch_user(ctx.payload["user_id"]),
            lambda ctx: fetch_order(ctx.payload["order_id"]),
            lambda ctx: fetch_products(ctx.payload["product_ids"]),
            lambda ctx: fetch_payment(ctx.payload["payment_id"]),
        ]
    ).step("combine-data", combine)
    last = workflow.run(PAYLOAD).last
    assert last["combined"]
    assert (last["user"], last["order"], last["payment"]) == (7, 21, 70)
    assert len(last["product"]) == 2


def test_pattern_api_calls(workflow):
    external_api = SimpleNamespace(
        get_user=fetch_user, get_order=fetch_order, get_inventory=fetch_products
    )

    async def validate_data(ctx):
        user, order, inventory = ctx.last
        return bool(user and order and len(inventory) == 2)

    workflow.parallel(
        [
            lambda ctx: external_api.get_user(ctx.payload["user_id"]),
            lambda ctx: external_api.get_order(ctx.payload["order_id"]),
            lambda ctx: external_api.get_inventory(ctx.payload["product_ids"]),
        ]
    ).step("validate-data", validate_data)
    assert workflow.run(PAYLOAD).last is True


def test_pattern_database_operations(workflow, caplog):
    database = {}

    async def update(table, **values):
        await asyncio.sleep(0)
        database.setdefault(table, {}).update(values)

    def completion(ctx):
        logging.getLogger("guide").info("All database operations completed")

    workflow.parallel(
        [
            lambda ctx: update("users", id=ctx.payload["user_id"], last_active=1.5),
            lambda ctx: update("orders", id=ctx.payload["order_id"], status="busy"),
            lambda ctx: update("analytics", event="order_processed"),
        ]
    ).step("log-completion", completion)
    with caplog.at_level(logging.INFO):
        workflow.run(PAYLOAD)
    assert database == {
        "users": {"id": 7, "last_active": 1.5},
        "orders": {"id": 21, "status": "busy"},
        "analytics": {"event": "order_processed"},
    }
    assert "All database operations completed" in caplog.text


# Race conditions


def test_race(workflow):
    async def primary(ctx):
        await never()

    async def backup(ctx):
        return await answer("from the backup")

    workflow.race([primary, backup]).step("process-result", lambda ctx: ctx.last)
    run = workflow.run()
    assert run.last == "from the backup"
    assert run.steps["race-1"].winner == 1


@pytest.mark.parametrize(
    ("success", "outcome"), [(True, "backup"), (False, "All payment gateways failed")]
)
def test_race_api_fallback(workflow, success, outcome):
    async def primary(ctx):
        await fail("the primary gateway is down")

    async def backup(ctx):
        return await answer({"success": ctx.payload["ok"], "gateway": "backup"})

    async def handle_payment_result(ctx):
        result = ctx.last
        if result["success"]:
            return {"payment_processed": True, "gateway": result["gateway"]}
        raise RuntimeError("All payment gateways failed")

    workflow.race([primary, backup])
    workflow.step("handle-payment-result", handle_payment_result)
    if success:
        last = workflow.run({"ok": True}).last
        assert last == {"payment_processed": True, "gateway": outcome}
    else:
        with pytest.raises(fastflow.TaskError, match=outcome) as caught:
            workflow.run({"ok": False})
        assert caught.value.task == "handle-payment-result"


def test_race_data_source_selection(workflow):
    cache = SimpleNamespace(get=lambda key: answer(f"{key} from the cache"))
    database = SimpleNamespace(get=lambda key: never())
    external_api = SimpleNamespace(get=lambda key: never())

    async def use_fastest_result(ctx):
        return {"data": ctx.last, "source": "fastest"}

    workflow.race(
        [
            lambda ctx: cache.get(ctx.payload["key"]),
            lambda ctx: database.get(ctx.payload["key"]),
            lambda ctx: external_api.get(ctx.payload["key"]),
        ]
    ).step("use-fastest-result", use_fastest_result)
    assert workflow.run({"key": "k"}).last == {
        "data": "k from the cache",
        "source": "fastest",
    }


def test_race_health_checks(workflow):
    health_check = SimpleNamespace(
        primary=lambda: fail("primary down"),
        backup=lambda: answer(SimpleNamespace(status="up", response_time=3)),
        fallback=never,
    )

    async def report_health(ctx):
        health = ctx.last
        return {"status": health.status, "response_time": health.response_time}

    workflow.race(
        [
            lambda ctx: health_check.primary(),
            lambda ctx: health_check.backup(),
            lambda ctx: health_check.fallback(),
        ]
    ).step("report-health", report_health)
    assert workflow.run().last == {"status": "up", "response_time": 3}


# Advanced parallel patterns


@pytest.mark.parametrize("validate", [True, False])
def test_advanced_conditional_parallel_execution(workflow, validate):
    # As in the guide, the first branches look at ctx.last: here that's the payload.
    async def validate_order(order):
        return f"validated {order['order_id']}"

    async def check_inventory(order):
        return len(order["product_ids"])

    async def verify_payment(order):
        return order["payment_id"] == 70

    def process_validated_order(ctx):
        validation, inventory, payment = ctx.last
        return {
            "processed": True,
            "validation": validation,
            "inventory": inventory,
            "payment": payment,
        }

    (
        workflow.if_("needs-validation", lambda ctx: ctx.payload["requires_validation"])
        .parallel(
            [
                lambda ctx: validate_order(ctx.last),
                lambda ctx: check_inventory(ctx.last),
                lambda ctx: verify_payment(ctx.last),
            ]
        )
        .step("process-validated-order", process_validated_order)
        .else_()
        .step("process-simple-order", lambda ctx: {"processed": True})
        .end_if()
    )
    run = workflow.run({**PAYLOAD, "requires_validation": validate})
    if validate:
        assert run.last == {
            "processed": True,
            "validation": "validated 21",
            "inventory": 2,
            "payment": True,
        }
        assert run.steps["process-simple-order"].status == "SKIPPED"
    else:
        assert run.last == {"processed": True}
        assert run.steps["parallel-1"].status == "SKIPPED"


def error_handling(call):
    async def branch(ctx):
        try:
            return await call()
        except ConnectionError as error:
            return {"error": str(error), "fallback": True}

    return branch


@pytest.mark.parametrize("failures", [1, 2])
def test_advanced_parallel_with_error_handling(workflow, failures):
    first = error_handling(lambda: fail("one"))
    second = error_handling(lambda: fail("two") if failures == 2 else answer({"x": 1}))

    async def handle_results(ctx):
        result1, result2 = ctx.last
        if result1.get("error") and result2.get("error"):
            raise RuntimeError("All operations failed")
        return {"success": True, "results": [result1, result2]}

    workflow.parallel([first, second]).step("handle-results", handle_results)
    if failures == 2:
        with pytest.raises(fastflow.TaskError, match="All operations failed"):
            workflow.run()
    else:
        assert workflow.run().last == {
            "success": True,
            "results": [{"error": "one", "fallback": True}, {"x": 1}],
        }


@pytest.mark.parametrize("in_time", [True, False])
def test_advanced_parallel_with_timeout(workflow, in_time):
    calls = [answer, answer, answer if in_time else lambda _: never()]

    async def start_parallel_operations(ctx):
        operations = asyncio.gather(*(call(n) for n, call in enumerate(calls)))
        try:
            return await asyncio.wait_for(operations, 60 if in_time else 0.001)
        except TimeoutError:
            return {"error": "Timeout", "partial": True}

    workflow.step("start-parallel-operations", start_parallel_operations)
    expected = [0, 1, 2] if in_time else {"error": "Timeout", "partial": True}
    assert workflow.run().last == expected


# Performance considerations


def test_performance_memory_usage(workflow):
    users = [{"id": n, "active": True} for n in range(50)]

    async def get_large_dataset(ctx):
        return await answer([user for user in users if user["active"]])

    async def process_user(user):
        return f"processed {user['id']}"

    workflow.step("get-large-dataset", get_large_dataset).for_each(
        "process-users",
        lambda ctx: ctx.steps["get-large-dataset"].output,
        build=lambda flow: flow.step(
            "process-user", lambda ctx: process_user(ctx.item)
        ),
    )
    assert workflow.run().last == [f"processed {n}" for n in range(50)]


def test_performance_resource_limits(workflow):
    now, most = 0, 0

    async def call(ctx):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return "done"

    workflow.parallel([call] * 9, max_concurrency=3, timeout="30s")
    assert workflow.run().last == ["done"] * 9
    assert most == 3


@pytest.mark.parametrize("broken", [True, False])
def test_performance_error_isolation(workflow, broken, caplog):
    async def critical(ctx):
        try:
            return await (fail("no route") if broken else answer({"value": 1}))
        except ConnectionError as error:
            logging.getLogger("guide").error("Critical operation failed: %s", error)
            return {"error": str(error)}

    async def non_critical(ctx):
        return await answer({"extra": 2})

    def handle_results(ctx):
        critical, non_critical = ctx.last
        if critical.get("error"):
            return {"status": "degraded", "non_critical": non_critical}
        return {
            "status": "success",
            "critical": critical,
            "non_critical": non_critical,
        }

    workflow.parallel([critical, non_critical]).step("handle-results", handle_results)
    last = workflow.run().last
    assert last["status"] == ("degraded" if broken else "success")
    assert last["non_critical"] == {"extra": 2}
    assert ("Critical operation failed: no route" in caplog.text) is broken


# Best practices


def test_best_practice_independent_operations(workflow):
    workflow.parallel(
        [
            lambda ctx: fetch_user(ctx.payload["user_id"]),
            lambda ctx: fetch_order(ctx.payload["order_id"]),
            lambda ctx: fetch_products(ctx.payload["product_ids"]),
        ]
    )
    assert workflow.run(PAYLOAD).last == [
        {"user": 7},
        {"order": 21},
        [{"product": 1}, {"product": 2}],
    ]
    # What depends on something else comes after it.
    dependent = fastflow.workflow("dependent")
    dependent.step("user", lambda ctx: fetch_user(1))
    dependent.step("order", lambda ctx: fetch_order(ctx.last["user"]))
    assert dependent.run().last == {"order": 1}


def test_best_practice_handle_errors_gracefully(workflow, caplog):
    def handle(ctx):
        logging.getLogger("guide").error("Parallel execution failed: %s", ctx.error)
        return {"status": "failed", "fallback": True}

    workflow.parallel(
        [
            lambda ctx: answer(1),
            lambda ctx: fail("operation 2 is broken"),
            lambda ctx: answer(3),
        ]
    ).on_error(handle)
    run = workflow.run()
    assert run.status == "COMPLETED"
    assert run.last == {"status": "failed", "fallback": True}
    assert "Parallel execution failed: operation 2 is broken" in caplog.text


def test_best_practice_monitor_performance(workflow):
    def measure(ctx):
        start = ctx.steps["start-timer"].output["start_time"]
        return {"duration": time.monotonic() - start, "results": ctx.last}

    workflow.step("start-timer", lambda ctx: {"start_time": time.monotonic()})
    workflow.parallel([lambda ctx: answer(1), lambda ctx: answer(2)])
    workflow.step("measure-performance", measure)
    run = workflow.run()
    assert run.last["results"] == [1, 2]
    assert run.last["duration"] >= run.steps["parallel-1"].duration > 0


def test_best_practice_race_for_fallback(workflow):
    stopped = threading.Event()

    async def primary(ctx):
        try:
            await never()
        finally:
            stopped.set()

    async def backup(ctx):
        return await answer(SimpleNamespace(service="backup", data=[1, 2]))

    def handle_service_response(ctx):
        result = ctx.last
        return {"success": True, "service": result.service, "data": result.data}

    workflow.race([primary, backup])
    workflow.step("handle-service-response", handle_service_response)
    run = workflow.run()
    assert run.last == {"success": True, "service": "backup", "data": [1, 2]}
    assert stopped.wait(60)  # the loser was cancelled
