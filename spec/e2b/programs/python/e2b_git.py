from e2b import GitUpstreamException, Sandbox
from steps import eventually, finish, raises, step

PORT = 9418
HERE = "/home/user/here"
REMOTE = f"git://127.0.0.1:{PORT}/remote.git"

sandbox = Sandbox.create(timeout=120)
git = sandbox.git


@step("git: a repository, its state, its first commit")
def _():
    git.init(HERE, initial_branch="main")
    git.configure_user("Ada", "ada@example.com")
    sandbox.files.write(f"{HERE}/notes.txt", "one\n")
    assert [(file.name, file.status) for file in git.status(HERE).file_status] == [("notes.txt", "untracked")]
    git.add(HERE, all=True)
    git.commit(HERE, message="one", author_name="Ada", author_email="ada@example.com")
    assert git.status(HERE).file_status == []


@step("git: a server inside that is pushed to, cloned and pulled from")
def _():
    run = sandbox.commands.run
    run("git init --bare --initial-branch=main /home/user/remote.git")
    serve = f"git daemon --base-path=/home/user --export-all --enable=receive-pack --listen=127.0.0.1 --port={PORT}"
    server = run(serve, background=True)
    eventually("the server listens", lambda: f":{PORT}" in run("ss -ltn").stdout)
    git.remote_add(HERE, "origin", REMOTE)
    assert git.remote_get(HERE, "origin") == REMOTE
    with raises(GitUpstreamException):
        git.push(HERE, set_upstream=False)
    git.push(HERE, remote="origin", branch="main", set_upstream=True)
    git.clone(REMOTE, path="/home/user/there")
    sandbox.files.write(f"{HERE}/notes.txt", "two\n")
    git.add(HERE)
    git.commit(HERE, message="two")
    git.push(HERE)
    git.pull("/home/user/there")
    assert sandbox.files.read("/home/user/there/notes.txt") == "two\n"
    server.kill()


@step("git: branches, settings, and back to what was")
def _():
    git.create_branch(HERE, "aside")
    assert git.branches(HERE).current_branch == "aside"
    git.checkout_branch(HERE, "main")
    git.delete_branch(HERE, "aside", force=True)
    assert git.branches(HERE).branches == ["main"]
    git.set_config("pull.rebase", "false", scope="local", path=HERE)
    assert git.get_config("pull.rebase", scope="local", path=HERE) == "false"
    git.dangerously_authenticate("ada", "token", host="example.com", protocol="https")
    assert git.get_config("credential.helper", scope="global") == "store"
    sandbox.files.write(f"{HERE}/notes.txt", "three\n")
    git.add(HERE)
    git.reset(HERE, mode="mixed")
    git.restore(HERE, paths=["notes.txt"])
    assert sandbox.files.read(f"{HERE}/notes.txt") == "two\n"


sandbox.kill()
finish()
