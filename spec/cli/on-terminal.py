"""Runs a command on a terminal of its own: on-terminal.py ROWSxCOLUMNS STEPS COMMAND...

STEPS is a JSON list of [what to wait for (a regular expression), what to do then]: a text to type, or [rows, columns] to become.
Prints all that the terminal showed, and ends with the command's exit code.
"""

import fcntl, json, os, pty, re, signal, struct, sys, termios


def set_size(descriptor, rows, columns):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


rows, columns = map(int, sys.argv[1].split("x"))
steps, command = json.loads(sys.argv[2]), sys.argv[3:]
pid, terminal = pty.fork()
if pid == 0:
    set_size(0, rows, columns)
    os.execvp(command[0], command)


def late(*_):
    sys.stdout.buffer.write(shown + b"\non-terminal: waited too long for " + json.dumps(steps).encode())
    sys.stdout.flush()
    os._exit(124)


signal.signal(signal.SIGALRM, late)
signal.alarm(60)
shown, since = b"", 0
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:  # EIO: the other side is closed
        break
    if not piece:
        break
    shown += piece
    while steps:
        found = re.compile(steps[0][0].encode()).search(shown, since)
        if found is None:
            break
        since, action = found.end(), steps.pop(0)[1]
        if isinstance(action, str):
            os.write(terminal, action.encode())
        else:
            set_size(terminal, *action)
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
