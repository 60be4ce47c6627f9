import base64
import threading

from e2b import NotFoundException, SandboxException, TimeoutException
from e2b_code_interpreter import Sandbox
from e2b_code_interpreter.charts import (
    BarChart,
    BoxAndWhiskerChart,
    LineChart,
    PieChart,
    ScatterChart,
    SuperChart,
)
from steps import finish, raises, step

sandbox = Sandbox.create(envs={"GLOBAL": "supertest"}, timeout=180)
run = sandbox.run_code


@step("values, state, counts, magics")
def _():
    assert run("x = 1; x").text == "1"
    assert run("'a'").text == "a"
    assert run("y = 2").text is None
    assert run("x + y").text == "3"
    assert run("!pwd").logs.stdout == ["/home/user\n"]
    count = run("1").execution_count
    assert run("1").execution_count == count + 1
    assert run("    a = 3\n    a").text == "3"


@step("output by callback")
def _():
    out, err, results, errors = [], [], [], []
    run("print(1)", on_stdout=out.append)
    run("import sys; print(2, file=sys.stderr)", on_stderr=err.append)
    run("from IPython.display import display, HTML\ndisplay(HTML('<i>x</i>'))\n'last'", on_result=results.append)
    run("1 / 0", on_error=errors.append)
    assert [(message.line, message.error) for message in out] == [("1\n", False)]
    assert [(message.line, message.error) for message in err] == [("2\n", True)]
    assert [(result.html, result.is_main_result) for result in results] == [("<i>x</i>", False), (None, True)]
    assert (errors[0].name, errors[0].value) == ("ZeroDivisionError", "division by zero")


@step("an error is in the answer, and the context lives on")
def _():
    execution = run("undefined_name")
    assert (execution.error.name, execution.error.value) == ("NameError", "name 'undefined_name' is not defined")
    assert "undefined_name" in execution.error.traceback
    assert run("x").text == "1"


@step("tables and pictures")
def _():
    table = run("import pandas as pd; pd.DataFrame({'a': [1, 2, 3]})").results[0]
    assert table.data == {"a": [1, 2, 3]}
    assert "<table" in table.html
    for last in ["image", "image.show()", "image.save('test.png')"]:
        result = run(
            "import numpy\nfrom PIL import Image\n"
            f"image = Image.fromarray((numpy.random.rand(16, 16, 3) * 255).astype('uint8')).convert('RGBA')\n{last}"
        ).results[0]
        assert base64.b64decode(result.png)[1:4] == b"PNG"


def chart(code):
    execution = run(f"import matplotlib.pyplot as plt\nimport numpy as np\n{code}\nplt.show()")
    assert execution.error is None, execution.error
    assert execution.results[0].png
    return execution.results[0].chart


@step("charts, each of its kind")
def _():
    line = chart("plt.plot([1, 2, 3], [4, 5, 6], label='one')\nplt.xlabel('Time (s)')\nplt.title('T')")
    assert isinstance(line, LineChart)
    assert (line.title, line.x_label, line.x_unit, line.y_label, line.x_scale.value) == ("T", "Time (s)", "s", None, "linear")
    assert (line.elements[0].label, [tuple(point) for point in line.elements[0].points]) == ("one", [(1, 4), (2, 5), (3, 6)])
    scatter = chart("plt.scatter([1, 2], [3, 4], label='one')")
    assert isinstance(scatter, ScatterChart) and len(scatter.elements[0].points) == 2
    bar = chart("plt.bar(['a', 'b'], [1, 2])")
    assert isinstance(bar, BarChart) and [(one.label, one.value) for one in bar.elements] == [("a", 1), ("b", 2)]
    pie = chart("plt.pie([90, 10], labels=['a', 'b'])")
    assert isinstance(pie, PieChart) and [(one.label, one.angle, one.radius) for one in pie.elements] == [("a", 324, 1), ("b", 36, 1)]
    box = chart("plt.boxplot([[1, 2, 3, 4, 100]])")
    assert isinstance(box, BoxAndWhiskerChart) and (box.elements[0].median, box.elements[0].outliers) == (3, [100])
    several = chart("fig, axs = plt.subplots(1, 2)\nfig.suptitle('both')\naxs[0].plot([1, 2])\naxs[1].bar(['a'], [1])")
    assert isinstance(several, SuperChart) and several.title == "both"
    assert [type(one) for one in several.elements] == [LineChart, BarChart]
    unknown = chart("fig, ax = plt.subplots()\nax.add_artist(plt.Circle((0, 0), 1))")
    assert (unknown.type.value, unknown.elements) == ("unknown", [])


@step("languages and environment")
def _():
    assert run("import os; os.getenv('GLOBAL')").text == "supertest"
    assert run("import os; os.getenv('GLOBAL')", envs={"GLOBAL": "once"}).text == "once"
    assert run("import os; os.getenv('GLOBAL')").text == "supertest"
    assert run("console.log('Hello World!')", language="js").logs.stdout == ["Hello World!\n"]
    assert run("const n: number = 2\nn + 1", language="typescript").text == "3"
    assert run("echo $GLOBAL", language="bash").logs.stdout == ["supertest\n"]
    with raises(SandboxException, "500"):
        run("1", language="cobol")


@step("contexts: create, list, restart, remove")
def _():
    languages = [context.language for context in sandbox.list_code_contexts()]
    assert "python" in languages and "javascript" in languages
    context = sandbox.create_code_context(cwd="/tmp")
    assert sandbox.list_code_contexts()[-1].id == context.id
    assert run("import os; os.getcwd()", context=context).text == "/tmp"
    run("z = 1", context=context)
    assert run("z").error.name == "NameError"
    sandbox.restart_code_context(context)
    assert run("z", context=context).error.value == "name 'z' is not defined"
    sandbox.remove_code_context(context)
    assert context.id not in [one.id for one in sandbox.list_code_contexts()]
    with raises(NotFoundException, f"Context {context.id} not found"):
        run("1", context=context)


@step("a time limit interrupts, and the next execution runs")
def _():
    with raises(TimeoutException):
        run("import time\nwhile True: time.sleep(0.1)", timeout=1.5)
    assert run("x", timeout=20).text == "1"


@step("pause and connect")
def _():
    sandbox.pause()
    with raises(TimeoutException):
        run("1")
    assert Sandbox.connect(sandbox.sandbox_id, timeout=120).run_code("x").text == "1"


@step("killed in the middle: an error that says so")
def _():
    threading.Timer(1, sandbox.kill).start()
    with raises(TimeoutException, "sandbox was killed while the request was in progress"):
        run("import time; time.sleep(60)")


finish()
