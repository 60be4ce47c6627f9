import asyncio

from e2b import AsyncSandbox, CommandExitException, PtySize, SandboxQuery, TimeoutException
from steps import async_eventually, async_step, finish, lines, raises


async def main():
    sandbox = await AsyncSandbox.create(timeout=120, metadata={"which": "async"})
    run = sandbox.commands.run

    async def commands():
        out = []
        result = await run("echo first; sleep 0.3; echo second", on_stdout=out.append)
        assert result.stdout == "first\nsecond\n" and out[0] == "first\n"
        with raises(CommandExitException):
            await run("exit 3")
        with raises(TimeoutException):
            await run("sleep 50", timeout=1)
        results = await asyncio.gather(*(run(f"echo {index}") for index in range(24)))
        assert [one.stdout for one in results] == [f"{index}\n" for index in range(24)]

    await async_step("commands, one and many at once", commands)

    async def background():
        out = []
        cat = await run("cat", background=True, stdin=True, on_stdout=out.append)
        await cat.send_stdin("one\n")
        await async_eventually("the echo", lambda: "".join(out) == "one\n")
        again = await sandbox.commands.connect(cat.pid)
        await again.close_stdin()
        assert (await cat.wait()).stdout == "one\n"
        sleeper = await run("sleep 300", background=True)
        assert any(one.pid == sleeper.pid for one in await sandbox.commands.list())
        assert await sleeper.kill() is True
        with raises(CommandExitException):
            await sleeper.wait()
        assert await sandbox.commands.kill(sleeper.pid) is False

    await async_step("background, standard input, kill", background)

    async def streamed():
        out = []
        cat = await run("cat", background=True, stdin=True, on_stdout=out.append)
        async with sandbox.commands.stream_input(cat.pid) as stdin:
            await stdin.send("first ")
            await async_eventually("the first piece, before the stream has ended", lambda: "".join(out) == "first ")
            await stdin.send(b"second")
        await cat.close_stdin()
        assert (await cat.wait()).stdout == "first second"

    await async_step("standard input as a stream that is held open", streamed)

    async def cancelled():
        task = asyncio.create_task(run("sleep 77.7", timeout=0))
        await async_eventually("the command", lambda: found("^sleep 77.7"))
        task.cancel()
        with raises(asyncio.CancelledError):
            await task
        assert (await run("echo still here")).stdout == "still here\n"

    async def found(pattern):
        return (await run(f"pgrep -f '{pattern}' || true")).stdout.strip() != ""

    await async_step("a call that is cancelled disturbs no other", cancelled)

    async def terminal():
        output = []
        pty = await sandbox.pty.create(PtySize(rows=24, cols=80), on_data=output.append)
        await sandbox.pty.resize(pty.pid, PtySize(rows=30, cols=111))
        await sandbox.pty.send_stdin(pty.pid, b"stty size\n")
        await async_eventually("the size", lambda: "30 111" in lines(output))
        await pty.disconnect()
        later = []
        again = await sandbox.pty.connect(pty.pid, on_data=later.append)
        await sandbox.pty.send_stdin(pty.pid, b"echo later; exit 0\n")
        assert (await again.wait()).exit_code == 0
        assert "later" in lines(later), later

    await async_step("terminal", terminal)

    async def files():
        async def pieces():
            for _ in range(8):
                yield b"x" * 100_000

        await sandbox.files.write("streamed", pieces())
        assert (await sandbox.files.get_info("streamed")).size == 800_000
        total = 0
        async with await sandbox.files.read("streamed", format="stream") as stream:
            async for chunk in stream:
                total += len(chunk)
        assert total == 800_000
        await sandbox.files.write("zipped", "text" * 1000, gzip=True)
        assert await sandbox.files.read("zipped", gzip=True) == "text" * 1000
        assert [one.name for one in await sandbox.files.list(".") if one.name in ("streamed", "zipped")] == ["streamed", "zipped"]

    await async_step("files: streams, both ways", files)

    async def watched():
        await sandbox.files.make_dir("watched")
        seen = []
        ended = []
        handle = await sandbox.files.watch_dir(
            "watched", on_event=lambda event: seen.append((event.type.value, event.name)), on_exit=ended.append, recursive=True
        )
        await sandbox.files.write("watched/a/b.txt", "x")
        await async_eventually(f"the folder (seen: {seen})", lambda: ("create", "a") in seen)
        await sandbox.files.write("watched/a/b.txt", "y")
        await async_eventually(f"the file (seen: {seen})", lambda: ("write", "a/b.txt") in seen)
        await handle.stop()

    await async_step("watch", watched)

    async def life():
        made = await asyncio.gather(*(AsyncSandbox.create(timeout=60, metadata={"which": "burst"}) for _ in range(12)))
        assert len({one.sandbox_id for one in made}) == 12
        listed = await AsyncSandbox.list(query=SandboxQuery(metadata={"which": "burst"})).next_items()
        assert {one.sandbox_id for one in listed} == {one.sandbox_id for one in made}
        one = made[0]
        await one.files.write("kept", "x")
        assert await one.pause() is True
        assert not await one.is_running()
        again = await AsyncSandbox.connect(one.sandbox_id, timeout=60)
        assert await again.files.read("kept") == "x"
        assert all(await asyncio.gather(*(each.kill() for each in made)))

    await async_step("many sandboxes at once; pause and connect", life)

    async def killed():
        command = await run("sleep 60", background=True)
        waiting = asyncio.create_task(command.wait())
        await asyncio.sleep(0.3)
        await sandbox.kill()
        with raises(TimeoutException, "killed or reached its end of life"):
            await waiting
        async with await AsyncSandbox.create(timeout=60) as other:
            assert await other.is_running()
        assert not await other.is_running()

    await async_step("killed in the middle of a command", killed)


asyncio.run(main())
finish()
