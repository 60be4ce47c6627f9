"""A plain cell in a shell as it began: what IPython's `run_cell` comes to then, in fewer calls. Whatever is not as usual is IPython's to run."""

import ast
import re

from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult

from caisson_runtime.loop import MAY_WANT_LOOP

# What IPython keeps out of its history.
_KEPT_OUT = "paste"
# Every statement that others can stand in has a colon.
_MAY_NEST = re.compile("[:#\n]")
_QUOTED = re.compile("[\"']")
_SHOWS_NOTHING = re.compile(r" *(?:import|from) |[\w., ]+=(?!=)")


def _is_one_piece(line):
    """Whether it is simple statements, of which only the last may be an expression. (That of another may be too: it does not look closely.)"""
    *before, last = line.split(";")
    if _MAY_NEST.search(line) is not None or not last.strip():
        return False
    return not before or (_QUOTED.search(line) is None and all(map(_SHOWS_NOTHING.match, before)))


class Cells:
    def __init__(self, shell):
        self._shell = shell

    def run(self, code):
        """Returns the exception that ended it, or None."""
        result = self._plainly(code) if self._is_usual(code) else None
        if result is None:
            result = self._shell.run_cell(code, store_history=True)
        return result.error_before_exec or result.error_in_exec

    def _is_usual(self, code):
        shell = self._shell
        # As they are: to read a trait takes two calls.
        told, values = shell.events.callbacks, shell._trait_values
        return (
            shell.is_plain(code)
            and MAY_WANT_LOOP.search(code) is None
            and _KEPT_OUT not in code
            and values.get("ast_node_interactivity", "last_expr") == "last_expr"
            and not (values.get("ast_transformers") or shell.custom_exceptions or shell.trio_runner)
            and not (shell.logger.log_active or told["pre_run_cell"] or told["post_run_cell"])
        )

    def _plainly(self, code):
        """None: it does not compile, and none of it has run."""
        shell, count = self._shell, self._shell.execution_count
        cell = code if code.endswith("\n") else code + "\n"
        try:
            steps = self._compiled(cell, shell.compile.cache(cell, count, raw_code=code))
        except Exception:
            return None
        shell.events.trigger("pre_execute")
        try:
            result = ExecutionResult(ExecutionInfo(code, True, False, True, None, None, transformed_cell=cell))
            result.execution_count, shell.execution_count = count, count + 1
            history, hook = shell.history_manager, shell.displayhook
            history.store_inputs(count, cell, code)
            with shell.display_trap:
                hook.exec_result = result
                shell.last_execution_succeeded = all(self._step(step, result) for step in steps)
                shell.last_execution_result = result
                hook.exec_result = None
            if result.error_in_exec is not None:
                history.exceptions[count] = shell._format_exception_for_storage(result.error_in_exec)
            return result
        finally:
            if shell.events.callbacks["post_execute"]:
                shell.events.trigger("post_execute")

    def _compiled(self, cell, name):
        """All of it before any of it runs: the last, if it is an expression, to be shown."""
        compiler = self._shell.compile
        if _is_one_piece(cell[:-1]):
            # Without a tree, by way of which it takes twice as long.
            return [compiler(cell, name, "single")]
        nodes = compiler.ast_parse(cell, filename=name).body
        shown = [nodes.pop()] if nodes and isinstance(nodes[-1], ast.Expr) else []
        steps = [compiler(ast.Module(nodes, []), name, "exec")] if nodes else []
        return steps + [compiler(ast.Interactive(shown), name, "single")] if shown else steps

    def _step(self, code, result):
        """Whether it came to its end."""
        running = self._shell.run_code(code, result)
        try:
            # It awaits nothing.
            running.send(None)
        except StopIteration as ended:
            return not ended.value
