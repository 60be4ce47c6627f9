import io
import json
import os
import tempfile
import urllib.error
import urllib.request
from datetime import datetime, timezone

from e2b import FileNotFoundException, FilesystemEventType, FileType, InvalidArgumentException, Sandbox
from e2b.sandbox.filesystem.filesystem import WriteInfo
from steps import eventually, finish, raises, step

sandbox = Sandbox.create(timeout=120)
files = sandbox.files


@step("write and read: text, bytes, files, iterables")
def _():
    written = files.write("a.txt", "hello")
    assert written == WriteInfo(name="a.txt", type=FileType.FILE, path="/home/user/a.txt"), written
    assert files.read("a.txt") == "hello"
    payload = bytes(range(256)) * 300
    with tempfile.TemporaryFile() as opened:
        opened.write(payload)
        opened.seek(0)
        for name, data in {"bytes": payload, "memory": io.BytesIO(payload), "file": opened, "iterable": iter([payload[:1000], payload[1000:]])}.items():
            files.write(f"kinds/{name}", data)
            assert bytes(files.read(f"kinds/{name}", format="bytes")) == payload, name
    files.write("kinds/text-file", io.StringIO("żółć"))
    assert files.read("kinds/text-file") == "żółć"
    files.write("kinds/octet", payload, use_octet_stream=True)
    assert bytes(files.read("kinds/octet", format="bytes")) == payload


@step("zipped on the way, both ways; streamed out")
def _():
    text = "naïve café " * 2000
    files.write("zipped.txt", text, gzip=True)
    assert files.read("zipped.txt") == text
    assert files.read("zipped.txt", gzip=True) == text
    assert b"".join(files.read("zipped.txt", format="stream")).decode() == text
    assert b"".join(files.read("zipped.txt", format="stream", gzip=True)).decode() == text


@step("an empty file")
def _():
    files.write("empty", "")
    assert files.read("empty") == ""
    assert bytes(files.read("empty", format="bytes")) == b""
    assert b"".join(files.read("empty", format="stream")) == b""


@step("several files in one call")
def _():
    written = files.write_files([{"path": f"many/{index}", "data": str(index)} for index in range(10)])
    assert [one.path for one in written] == [f"/home/user/many/{index}" for index in range(10)]
    assert files.read("many/7") == "7"
    assert files.write_files([]) == []


@step("thirty-two megabytes, up and down, as a stream")
def _():
    piece = os.urandom(1 << 20)
    files.write("big.bin", (piece for _ in range(32)))
    assert files.get_info("big.bin").size == 32 << 20
    total = 0
    for chunk in files.read("big.bin", format="stream"):
        assert chunk[0] == piece[total % len(piece)]
        total += len(chunk)
    assert total == 32 << 20


@step("what a file is")
def _():
    files.write("info.txt", "test")
    info = files.get_info("info.txt")
    assert (info.name, info.type, info.path, info.size) == ("info.txt", FileType.FILE, "/home/user/info.txt", 4)
    assert (info.mode, info.permissions, info.owner, info.group) == (0o644, "-rw-r--r--", "user", "user")
    assert abs((datetime.now(timezone.utc) - info.modified_time).total_seconds()) < 600
    assert info.symlink_target is None
    sandbox.commands.run("ln -s info.txt link.txt")
    assert files.get_info("link.txt").symlink_target == "/home/user/info.txt"
    with raises(FileNotFoundException):
        files.get_info("nope")


@step("list by depth, in order")
def _():
    sandbox.commands.run("mkdir -p tree/b/c && touch tree/a tree/b/one tree/b/c/two")
    paths = lambda depth: [entry.path.removeprefix("/home/user/tree/") for entry in files.list("tree", depth=depth)]
    assert paths(1) == ["a", "b"]
    assert paths(2) == ["a", "b", "b/c", "b/one"]
    assert paths(3) == ["a", "b", "b/c", "b/c/two", "b/one"]
    with raises(InvalidArgumentException):
        files.list("tree", depth=0)
    with raises(FileNotFoundException):
        files.list("nope")


@step("make a folder, rename, remove, exists")
def _():
    assert files.make_dir("new/nested") is True
    assert files.make_dir("new/nested") is False
    files.write("old.txt", "content")
    assert files.rename("old.txt", "somewhere/new.txt").path == "/home/user/somewhere/new.txt"
    assert files.read("somewhere/new.txt") == "content"
    assert (files.exists("old.txt"), files.exists("somewhere/new.txt"), files.exists("new")) == (False, True, True)
    files.remove("somewhere")
    files.remove("was-never-there")
    assert not files.exists("somewhere/new.txt")
    with raises(FileNotFoundException):
        files.rename("nope", "x")
    with raises(FileNotFoundException):
        files.read("nope")


@step("as root")
def _():
    assert files.write("mine.txt", "secret", user="root").path == "/root/mine.txt"
    assert files.get_info("/root/mine.txt", user="root").owner == "root"
    assert files.read("mine.txt", user="root") == "secret"


@step("metadata: kept, replaced, cleared")
def _():
    assert files.write("tagged", "x", metadata={"Author": "me"}).metadata == {"author": "me"}
    assert files.get_info("tagged").metadata == {"author": "me"}
    files.write("tagged", io.BytesIO(b"y"), metadata={"other": "1"})
    assert files.rename("tagged", "tagged-2").metadata == {"other": "1"}
    files.write("tagged-2", "z")
    assert files.get_info("tagged-2").metadata is None


@step("watch: what happens is there to be fetched")
def _():
    files.make_dir("watched/there")
    handle = files.watch_dir("watched", recursive=True, include_entry=True)
    seen = []

    def saw(kind, name):
        def check():
            seen.extend((event.type, event.name) for event in handle.get_new_events())
            return (kind, name) in seen

        eventually(f"{kind} {name} (seen: {seen})", check)

    files.write("watched/one.txt", "1")
    saw(FilesystemEventType.CREATE, "one.txt")
    saw(FilesystemEventType.WRITE, "one.txt")
    files.write("watched/there/two.txt", "2")
    saw(FilesystemEventType.WRITE, "there/two.txt")
    files.make_dir("watched/later")
    saw(FilesystemEventType.CREATE, "later")
    files.write("watched/later/three.txt", "3")
    saw(FilesystemEventType.WRITE, "later/three.txt")
    files.rename("watched/one.txt", "watched/uno.txt")
    saw(FilesystemEventType.RENAME, "one.txt")
    files.remove("watched/uno.txt")
    saw(FilesystemEventType.REMOVE, "uno.txt")
    handle.stop()
    with raises(Exception):
        handle.get_new_events()
    with raises(FileNotFoundException):
        files.watch_dir("nope")


@step("signed addresses: download, upload, past their end")
def _():
    files.write("signed.txt", "This file is signed.")
    for address in [sandbox.download_url("signed.txt"), sandbox.download_url("signed.txt", "user", use_signature_expiration=120)]:
        with urllib.request.urlopen(address) as response:
            assert (response.status, response.read()) == (200, b"This file is signed.")
    with raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(sandbox.download_url("signed.txt", use_signature_expiration=-120))
    assert caught[0].code == 401
    assert json.loads(caught[0].read()) == {"code": 401, "message": "signature is already expired"}
    request = urllib.request.Request(sandbox.upload_url("up.bin", user="root"), data=b"raw", headers={"content-type": "application/octet-stream"})
    with urllib.request.urlopen(request) as response:
        assert json.loads(response.read()) == [{"path": "/root/up.bin", "name": "up.bin", "type": "file"}]
    assert files.read("/root/up.bin", user="root") == "raw"


sandbox.kill()
finish()
