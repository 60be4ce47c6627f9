import threading

from e2b import CommandExitException, InvalidArgumentException, NotFoundException, PtySize, Sandbox, TimeoutException
from steps import eventually, finish, lines, raises, step

sandbox = Sandbox.create(envs={"FROM_CREATE": "everywhere"}, timeout=120)
run = sandbox.commands.run


@step("a command gives its output and its exit code")
def _():
    result = run('echo "Hello, World!"; echo problem >&2')
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Hello, World!\n", "problem\n")
    assert run("echo '!@#$%^&*()_+'").stdout == "!@#$%^&*()_+\n"
    assert run("printf '" + "a" * 8191 + "\\xe2'").stdout == "a" * 8191 + "\ufffd"


@step("a failing command raises with its code and both outputs")
def _():
    with raises(CommandExitException) as caught:
        run("echo out; echo err >&2; exit 42")
    assert (caught[0].exit_code, caught[0].stdout, caught[0].stderr) == (42, "out\n", "err\n")


@step("output by callback, while the command runs")
def _():
    out, err = [], []
    run("echo first; sleep 0.3; echo second; echo oops >&2", on_stdout=out.append, on_stderr=err.append)
    assert out[0] == "first\n" and "".join(out) == "first\nsecond\n" and "".join(err) == "oops\n"


@step("environment, working directory, user")
def _():
    assert run("echo $FROM_CREATE $MINE", envs={"MINE": "1"}).stdout == "everywhere 1\n"
    assert run("pwd").stdout == "/home/user\n"
    assert run("pwd", cwd="/tmp").stdout == "/tmp\n"
    assert run("whoami", user="root").stdout == "root\n"
    assert run("sudo whoami").stdout == "root\n"
    with raises(InvalidArgumentException, "cwd '/not/there' does not exist"):
        run("pwd", cwd="/not/there")


@step("standard input, one piece at a time, and closed")
def _():
    cat = run("cat", background=True, stdin=True)
    sandbox.commands.send_stdin(cat.pid, "Hello,\nWorld!")
    for stdout, _, _ in cat:
        assert stdout == "Hello,\nWorld!"
        break
    sandbox.commands.send_stdin(cat.pid, b"bytes")
    sandbox.commands.close_stdin(cat.pid)
    assert sandbox.commands.connect(cat.pid).wait().exit_code == 0


@step("standard input as one stream")
def _():
    count = run("wc -c", background=True, stdin=True)
    sandbox.commands.stream_input(count.pid, ["x" * 1000, b"y" * 1000, *(["z"] * 100)])
    count.close_stdin()
    assert count.wait().stdout.strip() == "2100"
    with raises(NotFoundException):
        sandbox.commands.stream_input(4_000_000, ["x"])


@step("background: listed, connected to, killed")
def _():
    sleeper = run("sleep 300", background=True, envs={"MARK": "mine"}, cwd="/tmp")
    listed = next(one for one in sandbox.commands.list() if one.pid == sleeper.pid)
    assert (listed.cmd, listed.args, listed.cwd, listed.envs["MARK"]) == ("/bin/bash", ["-l", "-c", "sleep 300"], "/tmp", "mine")
    assert sandbox.commands.connect(sleeper.pid).pid == sleeper.pid
    assert sandbox.commands.kill(sleeper.pid) is True
    with raises(CommandExitException):
        sleeper.wait()
    eventually("the end", lambda: all(one.pid != sleeper.pid for one in sandbox.commands.list()))
    assert sandbox.commands.kill(sleeper.pid) is False
    with raises(NotFoundException):
        sandbox.commands.connect(4_000_000)


@step("a command that is disconnected from goes on")
def _():
    writer = run("sleep 0.4; echo done > /tmp/written", background=True)
    writer.disconnect()
    eventually("the file", lambda: sandbox.files.exists("/tmp/written"))


@step("the time limit of a command, waited for and iterated over")
def _():
    with raises(TimeoutException):
        run("sleep 50", timeout=1)
    slow = run("sleep 50", timeout=1, background=True)
    with raises(TimeoutException):
        for _ in slow:
            pass
    assert run("sleep 0.1; echo free", timeout=0).stdout == "free\n"


@step("a command whose output is not kept")
def _():
    assert run("echo x", retain_output=False).stdout is None


@step("commands from many threads at once")
def _():
    answers = {}

    def ask(index):
        answers[index] = run(f"echo {index}").stdout.strip()

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {index: str(index) for index in range(16)}


@step("terminal: environment, size, resize, exit code")
def _():
    terminal = sandbox.pty.create(PtySize(rows=24, cols=80), envs={"ABC": "123"}, cwd="/tmp")
    sandbox.pty.send_stdin(terminal.pid, b"echo $ABC; pwd; tput cols\nexit\n")
    output = []
    assert terminal.wait(on_pty=output.append).exit_code == 0
    assert {"123", "/tmp", "80"} <= set(lines(output)), output
    terminal = sandbox.pty.create(PtySize(rows=24, cols=80))
    sandbox.pty.resize(terminal.pid, PtySize(rows=24, cols=100))
    sandbox.pty.stream_input(terminal.pid, [b"tput cols\n", b"exit\n"])
    output = []
    assert terminal.wait(on_pty=output.append).exit_code == 0
    assert "100" in lines(output), output


@step("terminal: left and come back to, killed")
def _():
    terminal = sandbox.pty.create(PtySize(rows=24, cols=80), envs={"FOO": "bar"})
    first = []
    sandbox.pty.send_stdin(terminal.pid, b"echo $FOO\n")
    for _, _, output in terminal:
        first.append(output)
        if "bar" in lines(first):
            break
    terminal.disconnect()
    second = []
    again = sandbox.pty.connect(terminal.pid)
    sandbox.pty.send_stdin(terminal.pid, b'echo "$FOO again"\nexit\n')
    assert again.wait(on_pty=second.append).exit_code == 0
    assert "bar again" in lines(second), second
    doomed = sandbox.pty.create(PtySize(rows=24, cols=80))
    assert sandbox.pty.kill(doomed.pid) is True
    with raises(CommandExitException):
        doomed.wait()
    assert sandbox.pty.kill(doomed.pid) is False


sandbox.kill()
finish()
