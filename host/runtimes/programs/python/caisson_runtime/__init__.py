"""The Python runtime: runs code with state inside a wall and says what came of it (the shapes are in host/runtimes/runtime.ts)."""
