import json
import os
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

from e2b import (
    AuthenticationException,
    BuildException,
    Sandbox,
    SandboxException,
    SandboxNotFoundException,
    SandboxNotRunningException,
    SandboxQuery,
    SandboxState,
    Secret,
    SecretException,
    Template,
    TimeoutException,
    Volume,
    VolumeException,
)
from steps import eventually, finish, raises, step

run_id = f"python-{os.getpid()}-{time.time_ns()}"
mine = {"run": run_id}


@step("create: what was asked for is what it says about itself")
def _():
    sandbox = Sandbox.create(metadata={**mine, "note": "a=b&c d%"}, timeout=60)
    info = sandbox.get_info()
    assert info.sandbox_id == sandbox.sandbox_id
    assert info.metadata == {**mine, "note": "a=b&c d%"}
    assert info.state == SandboxState.RUNNING
    assert 55 < (info.end_at - info.started_at).total_seconds() < 70
    assert info.cpu_count >= 1 and info.memory_mb >= 128
    assert sandbox.is_running()
    assert sandbox.kill() is True
    assert sandbox.kill() is False
    assert not sandbox.is_running()


@step("with: the sandbox ends with the block")
def _():
    with Sandbox.create(timeout=60) as sandbox:
        assert sandbox.commands.run("echo inside").stdout == "inside\n"
    assert not sandbox.is_running()


@step("the same idempotency key gives the same sandbox")
def _():
    key = f"key-{time.time_ns()}"
    first, second = Sandbox.create(timeout=60, idempotency_key=key), Sandbox.create(timeout=60, idempotency_key=key)
    assert first.sandbox_id == second.sandbox_id
    first.kill()


@step("templates")
def _():
    assert Template.exists("base") is True
    assert Template.exists("never-built-by-anyone") is False
    with raises(SandboxException, "404"):
        Sandbox.create("never-built-by-anyone")
    Template.assign_tags("base:default", [run_id])
    assert run_id in [one.tag for one in Template.get_tags("base")]
    Template.remove_tags("base", [run_id])
    assert run_id not in [one.tag for one in Template.get_tags("base")]


@step("what cannot be had is refused, with what to do instead")
def _():
    with raises(BuildException, "take a snapshot"):
        Template.build(Template().from_base_image(), "never-built:v1")
    with raises(VolumeException, "Upload files"):
        Volume.create("nowhere")
    with raises(SecretException, "envVars"):
        Secret.create("name", "value")
    with raises(SandboxException, "volumeMounts"):
        Sandbox.create(volume_mounts={"/data": "nowhere"})
    with raises(SandboxException, "Failed to start MCP gateway"):
        Sandbox.create("base", metadata={**mine, "which": "mcp"}, mcp={"never-heard-of": {}})
    assert Sandbox.list(query=SandboxQuery(metadata={**mine, "which": "mcp"})).next_items() == []


@step("gone: by every way of asking")
def _():
    sandbox = Sandbox.create(timeout=60)
    assert Sandbox.kill(sandbox.sandbox_id) is True
    for call in [
        lambda: sandbox.commands.run("true"),
        lambda: sandbox.files.read("x"),
        lambda: sandbox.files.list("."),
        lambda: sandbox.files.write("x", "y"),
    ]:
        with raises(SandboxNotRunningException):
            call()
    for call in [
        sandbox.get_info,
        lambda: sandbox.set_timeout(5),
        sandbox.connect,
        sandbox.pause,
        sandbox.create_snapshot,
        sandbox.fork,
        lambda: sandbox.update_network({}),
        sandbox.get_metrics,
    ]:
        with raises(SandboxNotFoundException):
            call()


@step("killed in the middle of a command: an error that says so")
def _():
    sandbox = Sandbox.create(timeout=60)
    command = sandbox.commands.run("sleep 60", background=True)
    threading.Timer(0.5, sandbox.kill).start()
    with raises(TimeoutException, "killed or reached its end of life"):
        command.wait()


@step("timeout: it ends in time, is extended, is cut short")
def _():
    short = Sandbox.create(timeout=2)
    longer = Sandbox.create(timeout=2)
    longer.set_timeout(60)
    eventually("the end", lambda: not short.is_running())
    time.sleep(1)
    assert longer.is_running()
    longer.set_timeout(0)
    eventually("the end", lambda: not longer.is_running())


@step("connect never shortens")
def _():
    sandbox = Sandbox.create(timeout=100)
    end = sandbox.get_info().end_at
    same = Sandbox.connect(sandbox.sandbox_id, timeout=10)
    assert sandbox.get_info().end_at == end
    same.files.write("shared", "both")
    assert sandbox.files.read("shared") == "both"
    Sandbox.connect(sandbox.sandbox_id, timeout=400)
    assert sandbox.get_info().end_at > end
    sandbox.kill()


@step("pause and connect; of memory, and of the files alone")
def _():
    sandbox = Sandbox.create(timeout=60, envs={"KEPT": "yes"})
    sandbox.files.write("kept.txt", "still here")
    process = sandbox.commands.run("sleep 1000", background=True)
    boot = sandbox.files.read("/proc/sys/kernel/random/boot_id")
    assert sandbox.pause() is True
    assert sandbox.pause() is False
    assert not sandbox.is_running()
    info = sandbox.get_info()
    assert info.state == SandboxState.PAUSED
    with raises(SandboxNotRunningException):
        sandbox.commands.run("true")
    sandbox.connect(timeout=60)
    assert sandbox.is_running()
    assert sandbox.files.read("kept.txt") == "still here"
    assert sandbox.commands.run("echo $KEPT").stdout == "yes\n"
    assert any(one.pid == process.pid for one in sandbox.commands.list())
    assert sandbox.files.read("/proc/sys/kernel/random/boot_id") == boot
    sandbox.pause(mode="filesystem")
    resumed = Sandbox.connect(sandbox.sandbox_id, timeout=60)
    assert resumed.files.read("kept.txt") == "still here"
    assert resumed.files.read("/proc/sys/kernel/random/boot_id") != boot
    assert resumed.commands.run("pgrep -fc '^sleep 1000' || true").stdout.strip() == "0"
    resumed.kill()


@step("pause when the time is up, with and without waking on traffic")
def _():
    waking = Sandbox.create(timeout=60, lifecycle={"on_timeout": "pause", "auto_resume": True})
    asleep = Sandbox.create(timeout=60, lifecycle={"on_timeout": "pause"})
    for sandbox in (waking, asleep):
        sandbox.set_timeout(0)
        eventually("the pause", lambda: sandbox.get_info().state == SandboxState.PAUSED)
    assert waking.commands.run("echo awake").stdout == "awake\n"
    assert waking.get_info().state == SandboxState.RUNNING
    with raises(SandboxNotRunningException):
        asleep.commands.run("true")
    asleep.connect()
    assert asleep.is_running()
    waking.kill()
    asleep.kill()


@step("list: by metadata, state, order, template, start; page by page")
def _():
    made = [Sandbox.create(timeout=120, metadata={**mine, "which": which, "odd key & co": "v=1&2 %25 ü"}) for which in ("1", "2", "3")]
    first, second, third = [one.sandbox_id for one in made]
    made[1].pause()

    def listed(limit=None, order=None, **query):
        paginator = Sandbox.list(query=SandboxQuery(**{"metadata": mine, **query}), limit=limit, order=order)
        pages = []
        while paginator.has_next:
            pages.append([one.sandbox_id for one in paginator.next_items()])
        assert limit is None or all(len(page) <= limit for page in pages)
        return [one for page in pages for one in page]

    assert listed() == [third, second, first]
    assert listed(order="asc") == [first, second, third]
    assert listed(limit=1) == [third, second, first]
    assert listed(limit=2, order="asc") == [first, second, third]
    assert listed(state=[SandboxState.PAUSED]) == [second]
    assert listed(state=[SandboxState.RUNNING]) == [third, first]
    assert listed(metadata={**mine, "which": "2"}) == [second]
    assert listed(metadata={**mine, "odd key & co": "v=1&2 %25 ü"}) == [third, second, first]
    assert listed(metadata={**mine, "which": "9"}) == []
    info = made[1].get_info()
    assert info.name == "base"
    assert listed(template=info.template_id) == [third, second, first]
    assert listed(template="never-built") == []
    assert listed(started_after=info.started_at) == [third, second]
    for sandbox in made:
        sandbox.kill()


@step("metrics")
def _():
    with Sandbox.create(timeout=60) as sandbox:
        sample = eventually("a sample", sandbox.get_metrics, 30)[0]
        assert sample.cpu_count >= 1 and sample.mem_total > 0 and sample.mem_used > 0 and sample.disk_total > 0
        now = datetime.now(timezone.utc)
        assert sandbox.get_metrics(start=now - timedelta(hours=2), end=now - timedelta(hours=1)) == []


@step("ports: a server inside, by headers")
def _():
    with Sandbox.create(timeout=60) as sandbox:
        sandbox.files.write("www/index.html", "from inside")
        sandbox.commands.run("python3 -m http.server 8000 --directory www", background=True, timeout=0)

        def ask(port):
            headers = {"E2b-Sandbox-Id": sandbox.sandbox_id, "E2b-Sandbox-Port": str(port)}
            try:
                with urllib.request.urlopen(urllib.request.Request(os.environ["E2B_SANDBOX_URL"], headers=headers)) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        eventually("the server", lambda: ask(8000) == (200, "from inside"))
        status, body = ask(3999)
        assert status == 502 and json.loads(body)["message"] == "The sandbox is running but port is not open"
    assert ask(8000)[0] == 502


@step("snapshots and forks")
def _():
    with Sandbox.create(timeout=60) as sandbox:
        sandbox.files.write("shared", "as it was")
        snapshot = sandbox.create_snapshot(name=run_id)
        assert any(run_id in name for name in snapshot.names)
        assert [one.snapshot_id for one in Sandbox.list_snapshots(name=run_id).next_items()] == [snapshot.snapshot_id]
        with Sandbox.create(snapshot.snapshot_id, timeout=60) as copy:
            assert copy.files.read("shared") == "as it was"
            copy.files.write("shared", "mine")
        assert sandbox.files.read("shared") == "as it was"
        assert Sandbox.delete_snapshot(snapshot.snapshot_id) is True
        assert Sandbox.delete_snapshot(snapshot.snapshot_id) is False
        bare = sandbox.create_snapshot(mode="filesystem")
        assert Sandbox.delete_snapshot(bare.snapshot_id) is True
        for fork in sandbox.fork(count=2, timeout=60):
            assert isinstance(fork, Sandbox), fork
            assert fork.files.read("shared") == "as it was"
            fork.kill()


@step("a wrong key")
def _():
    with raises(AuthenticationException):
        Sandbox.create(api_key="e2b_" + "0" * 40)


finish()
