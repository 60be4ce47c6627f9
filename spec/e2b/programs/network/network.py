import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from e2b import Sandbox  # noqa: E402
from steps import finish, raises, step  # noqa: E402

# Two servers of this machine that its operator lets rules open: address:port.
ONE, OTHER = os.environ["FIRST_SERVER"], os.environ["SECOND_SERVER"]
ALL = "0.0.0.0/0"


def address(server):
    return server.split(":")[0]


def asked(server, of):
    return of.commands.run(f"curl -sS --max-time 20 http://{server}/ 2>&1 || true").stdout


sandbox = Sandbox.create(timeout=120, network={"allow_out": [address(ONE)], "deny_out": lambda ctx: [ctx.all_traffic]})


@step("what is allowed is reached, what is not is refused with the rule that would allow it")
def _():
    assert asked(ONE, sandbox) == "hello"
    refusal = json.loads(asked(OTHER, sandbox))
    assert (refusal["code"], refusal["wouldAllow"]) == ("NETWORK_DENIED", OTHER), refusal


@step("an update replaces all of it, and what holds is told")
def _():
    sandbox.update_network({"allow_out": [address(OTHER)], "deny_out": [ALL]})
    assert json.loads(asked(ONE, sandbox))["code"] == "NETWORK_DENIED"
    assert asked(OTHER, sandbox) == "hello"
    network = sandbox.get_info().network
    assert network["allow_out"] == [address(OTHER)] and network["deny_out"] == [ALL], network


@step("without internet access nothing is reached, and it can be given later")
def _():
    closed = Sandbox.create(timeout=120, allow_internet_access=False)
    assert json.loads(asked(ONE, closed))["rule"] == f"deny {ALL}"
    closed.update_network({"allow_out": [address(ONE)]})
    assert asked(ONE, closed) == "hello"
    closed.kill()


@step("rules that say nothing sensible are refused, and those that hold stay")
def _():
    with raises(Exception, "domain"):
        sandbox.update_network({"allow_out": ["example.com"]})
    assert asked(OTHER, sandbox) == "hello"


sandbox.kill()
finish()
