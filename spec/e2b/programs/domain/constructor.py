from e2b_code_interpreter import Sandbox

with Sandbox() as sandbox:
    print(sandbox.run_code("import os; os.getcwd()").text)
