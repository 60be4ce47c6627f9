import asyncio

from e2b import TimeoutException
from e2b_code_interpreter import AsyncSandbox
from steps import async_step, finish, raises


async def main():
    sandbox = await AsyncSandbox.create(timeout=120)
    run = sandbox.run_code

    async def values():
        assert (await run("x = 1; x")).text == "1"
        texts = await asyncio.gather(*(run(f"{index} * 2") for index in range(8)))
        assert [one.text for one in texts] == [str(index * 2) for index in range(8)]

    await async_step("values, one and many at once", values)

    async def streamed():
        out = []

        async def keep(message):
            out.append(message.line)

        await run("for i in range(3): print(i)", on_stdout=keep)
        assert "".join(out) == "0\n1\n2\n"

    await async_step("output by a callback that is awaited", streamed)

    async def contexts():
        one, two = await asyncio.gather(sandbox.create_code_context(), sandbox.create_code_context(language="js"))
        waits = asyncio.create_task(run("import time, os\nwhile not os.path.exists('/tmp/signal'): time.sleep(0.02)\n'seen'", context=one))
        await run("require('fs').writeFileSync('/tmp/signal', '')", context=two)
        assert (await waits).text == "seen"
        await sandbox.restart_code_context(one)
        await sandbox.remove_code_context(two)
        assert two.id not in [context.id for context in await sandbox.list_code_contexts()]

    await async_step("contexts side by side", contexts)

    async def interrupted():
        with raises(TimeoutException):
            await run("import time\nwhile True: time.sleep(0.1)", timeout=1.5)
        assert (await run("x", timeout=20)).text == "1"
        task = asyncio.create_task(run("import time\nwhile True: time.sleep(0.1)"))
        await asyncio.sleep(0.5)
        task.cancel()
        with raises(asyncio.CancelledError):
            await task
        assert (await run("x", timeout=20)).text == "1"

    await async_step("a time limit and a cancelled call interrupt", interrupted)

    async def killed():
        execution = asyncio.create_task(run("import time; time.sleep(60)"))
        await asyncio.sleep(0.7)
        await sandbox.kill()
        with raises(TimeoutException, "sandbox was killed while the request was in progress"):
            await execution

    await async_step("killed in the middle", killed)


asyncio.run(main())
finish()
