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
  { what: 'OpenSSL in Python', code: 'import ssl; print(ssl.RAND_bytes(16).hex())' },
]

/** What programs that are started afterwards say of their own. */
export const PROGRAMS: readonly Said[] = [
  { what: 'Node', code: 'node -p "crypto.randomUUID() + Math.random()"' },
  { what: 'OpenSSL', code: 'openssl rand -hex 16' },
  { what: 'the kernel’s uuid', code: 'cat /proc/sys/kernel/random/uuid 2>/dev/null || head -c 16 /dev/urandom | base64' },
]
/** Of a machine with a network. */
export const CARD: Said = { what: 'hardware address', code: 'cat /sys/class/net/eth0/address' }

/** In contexts that were running, by what all of it is printed with: a run that draws each, and the same again. */
export const CONTEXTS: readonly {
  readonly language: string
  readonly rows: readonly Said[]
  readonly print: (codes: readonly string[]) => string
}[] = [
  {
    language: 'javascript',
    rows: [
      { what: 'Math.random of JavaScript', code: 'Math.random()' },
      { what: 'randomBytes of Node', code: "require('crypto').randomBytes(16).toString('hex')" },
      {
        what: 'randomBytes of Node, on another thread',
        code: "await new Promise((done) => require('crypto').randomBytes(16, (_, bytes) => done(bytes.toString('hex'))))",
      },
      { what: 'randomUUID of Node', code: "require('crypto').randomUUID()" },
      { what: 'randomInt of Node', code: "require('crypto').randomInt(2 ** 47)" },
      { what: 'key pairs of Node', code: "require('crypto').generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }).d" },
      { what: 'getRandomValues of JavaScript', code: 'crypto.getRandomValues(new Uint8Array(16)).join()' },
      {
        what: 'keys of crypto.subtle',
        code: "(await crypto.subtle.exportKey('jwk', await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt']))).k",
      },
    ],
    print: (codes) => `console.log([${codes.join()}].join('\\n'))`,
  },
  {
    language: 'java',
    rows: [
      { what: 'Math.random of Java', code: 'Math.random()' },
      { what: 'ThreadLocalRandom of Java', code: 'java.util.concurrent.ThreadLocalRandom.current().nextLong()' },
      { what: 'SplittableRandom of Java', code: 'new SplittableRandom().nextLong()' },
      { what: 'SecureRandom of Java', code: 'new java.security.SecureRandom().nextLong()' },
      { what: 'UUID of Java', code: 'UUID.randomUUID()' },
    ],
    print: (codes) => codes.map((code) => `System.out.println(${code});`).join('\n'),
  },
  {
    language: 'r',
    rows: [{ what: 'runif of R', code: 'runif(1)' }],
    print: (codes) => codes.map((code) => `cat(${code}, "\\n")`).join('\n'),
  },
]

/** One run says all of it: behind an emulated processor each takes a second. */
export const inTurn = (all: readonly Said[], mark: string) => all.map(({ code }) => code).join(`\n${mark}\n`)
export const parts = (stdout: string) => stdout.split('---\n')
