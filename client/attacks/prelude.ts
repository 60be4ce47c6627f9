/** The Python code that every attack begins with. */
export const PRELUDE = String.raw`# What every attack begins with. A way is one road out; each runs in a process of its own, and ends in exactly one line:
# ESCAPED <tab> name <tab> evidence, or CONTAINED <tab> name <tab> what stopped it. A way that breaks says neither.
import ctypes, errno, json, os, platform, signal, socket, struct, subprocess, sys, tempfile, time, traceback

facts = json.loads(sys.argv[1])
# An empty folder of this run's own; without the wall it is removed afterwards, with what lies directly in it.
try:
    SCRATCH = facts.get('scratch') or tempfile.mkdtemp()
except FileNotFoundError:
    # Nothing can be written anywhere; what would be done there is refused with that.
    SCRATCH = '/nowhere'
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
X86 = platform.machine() == 'x86_64'
# x86_64, aarch64; one number where they agree.
NUMBERS = dict(
    acct=(163, 89), add_key=(248, 217), adjtimex=(159, 171), bpf=(321, 280), chroot=(161, 51), clock_adjtime=(305, 266), clone=(56, 220),
    clone3=(435,), delete_module=(176, 106), fanotify_init=(300, 262), finit_module=(313, 273), fsconfig=(431,), fsmount=(432,), fsopen=(430,),
    fspick=(433,), init_module=(175, 105), io_setup=(206, 0), io_uring_setup=(425,), ioperm=(173, None), iopl=(172, None), kcmp=(312, 272), kexec_load=(246, 104),
    keyctl=(250, 219), listmount=(458,), memfd_secret=(447,), mount=(165, 40), mount_setattr=(442,), move_mount=(429,), mq_open=(240, 180),
    mq_timedreceive=(243, 183), mq_timedsend=(242, 182), mq_unlink=(241, 181), name_to_handle_at=(303, 264), open_by_handle_at=(304, 265),
    open_tree=(428,), perf_event_open=(298, 241), pidfd_getfd=(438,), pidfd_open=(434,), pidfd_send_signal=(424,), pivot_root=(155, 41),
    process_madvise=(440,), process_vm_readv=(310, 270), process_vm_writev=(311, 271), ptrace=(101, 117), quotactl=(179, 60), reboot=(169, 142),
    renameat2=(316, 276), request_key=(249, 218),
    setdomainname=(171, 162), sethostname=(170, 161), setns=(308, 268), settimeofday=(164, 170), shmat=(30, 196),
    shmctl=(31, 195), shmget=(29, 194), swapoff=(168, 225), swapon=(167, 224), syslog=(103, 116), umount2=(166, 39), unshare=(272, 97),
    userfaultfd=(323, 282),
)
WAYS = []


class Contained(Exception):
    pass


def way(name):
    def add(function):
        WAYS.append((name, function))
        return function

    return add


def syscall(name, *arguments):
    number = NUMBERS[name][0 if X86 else -1]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(one) if isinstance(one, int) else one for one in arguments])
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return result


def open_only(path, flags):
    """That it can be opened is the escape; nothing is read or written."""
    os.close(os.open(path, flags))
    return f'opened {path}'


def become_user():
    """Before exec: an ordinary user, for whom a set-uid program would mean something."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)


def became_root(*command):
    """The ids that a set-uid program got; it is one that says something and waits for an answer."""
    child = subprocess.Popen(command, preexec_fn=become_user, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        child.stdout.read(1)
        with open(f'/proc/{child.pid}/status') as file:
            ids = next(line.split()[1:] for line in file if line.startswith('Uid:'))
    finally:
        child.kill()
        child.wait()
    if '0' not in ids:
        raise Contained(f'stayed {ids}')
    return f'became {ids}'


def code_of(error):
    if isinstance(error, socket.gaierror):
        return 'NONAME'
    return 'TIMEOUT' if isinstance(error, TimeoutError) else errno.errorcode.get(error.errno, str(error.errno))


def one_line(text):
    return ' '.join(str(text).split())[:500]


def attempt(function, say):
    try:
        evidence = function()
        if not evidence:
            raise AssertionError('a way that gives no evidence')
        line = f'ESCAPED\t{{}}\t{one_line(evidence)}'
    except Contained as stop:
        line = f'CONTAINED\t{{}}\t{one_line(stop)}'
    except OSError as error:
        line = f'CONTAINED\t{{}}\t{code_of(error)} {one_line(error)}'
    os.write(say, line.encode())


def run_way(name, function):
    hear, say = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(15)
        try:
            os.close(hear)
            attempt(function, say)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.close(say)
    line = b''
    while piece := os.read(hear, 65536):
        line += piece
    _, status = os.waitpid(child, 0)
    # The filter kills a process that speaks another machine's language.
    if not line and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
        line = b'CONTAINED\t{}\tSIGSYS'
    if not line:
        sys.exit(f'way {name!r} broke with status {status:#x}')
    print(line.decode().replace('{}', name, 1))


def run_ways():
    for name, function in WAYS:
        run_way(name, function)


`
