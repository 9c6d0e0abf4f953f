"""Waiting for what a dispatcher's budgets hold."""

import asyncio


async def until(condition):
    """Wait until something holds that nothing announces."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def given_back(dispatcher):
    """Wait until nothing is taken of any pool."""
    pools = [dispatcher.budgets.known, dispatcher.budgets.strangers]
    await until(lambda: not any(each.bodies.held or each.headers.held for each in pools))
