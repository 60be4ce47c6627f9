/** Something by its name, and a line that prints it. */
export interface Said {
  readonly what: string
  readonly code: string
}

/** What must differ in every sandbox that was cloned, whatever the way of cloning; in Python. */
export const RENEWED: readonly Said[] = [
  { what: 'kernel randomness', code: 'import os; print(os.urandom(16).hex())' },
  { what: 'random', code: 'import random; print(random.random())' },
  { what: 'random.SystemRandom', code: 'import random; print(random.SystemRandom().random())' },
  { what: 'secrets', code: 'import secrets; print(secrets.token_hex())' },
  { what: 'numpy legacy state', code: 'import numpy as np; print(np.random.rand())' },
  { what: 'numpy generator', code: 'import numpy as np; print(np.random.default_rng().random())' },
  { what: 'uuid1', code: 'import uuid; print(uuid.uuid1())' },
  { what: 'uuid4', code: 'import uuid; print(uuid.uuid4())' },
  { what: 'temporary names', code: 'import tempfile; print(tempfile.mktemp())' },
  { what: 'host name', code: 'import socket; print(socket.gethostname())' },
  { what: 'host name of the kernel', code: 'import os; print(os.uname().nodename)' },
  { what: 'machine id', code: 'print(open("/etc/machine-id").read())' },
  { what: 'boot of the kernel', code: 'print(open("/proc/sys/kernel/random/boot_id").read())' },
  { what: 'boot of the process', code: 'import ssl, hashlib; print(ssl.RAND_bytes(16).hex())' },
]

/** What programs that are started afterwards say of their own. */
export const PROGRAMS: readonly Said[] = [
  { what: 'Node', code: 'node -p "crypto.randomUUID() + Math.random()"' },
  { what: 'OpenSSL', code: 'openssl rand -hex 16' },
  { what: 'the kernel’s uuid', code: 'cat /proc/sys/kernel/random/uuid 2>/dev/null || head -c 16 /dev/urandom | base64' },
]
/** Of a machine with a network. */
export const CARD: Said = { what: 'hardware address', code: 'cat /sys/class/net/eth0/address' }

/** In a context of JavaScript that was running. (Java and R: spec/runtimes/java.spec.ts, spec/runtimes/r.spec.ts.) */
export const MATH_RANDOM: Said = { what: 'Math.random of JavaScript', code: 'Math.random()' }

/** One run says all of it: behind an emulated processor each takes a second. */
export const inTurn = (all: readonly Said[], mark: string) => all.map(({ code }) => code).join(`\n${mark}\n`)
export const parts = (stdout: string) => stdout.split('---\n')
