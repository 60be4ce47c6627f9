/** What must differ in every sandbox that was cloned, whatever the way of cloning: a name, and a line of Python that prints it. */
export const RENEWED: readonly { readonly what: string; readonly code: string }[] = [
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
