import type { ScanRule } from '../rule.ts'
import { javascript, python, shell } from './examples.ts'

const HINT = 'Do it with the libraries that are here; a profile with `scan.banned: false` allows it.'

/** What a data analysis profile does without, as OpenAI's Code Interpreter does. Libraries may use it; the caller's code may not. */
export const banned: ScanRule[] = [
  {
    name: 'network-module',
    set: 'banned',
    kind: 'import',
    pattern: String.raw`^(socket|ssl|socketserver|asyncio\.streams|http\.(client|server)|urllib\.request|urllib3|requests|httpx|aiohttp|ftplib|smtplib|poplib|imaplib|telnetlib|nntplib|xmlrpc(\..*)?|paramiko|websockets?|pycurl|(node:)?(net|dgram|tls|http2?|https|dns|cluster|inspector|worker_threads))$`,
    reason: 'a module for the network',
    hint: HINT,
    examples: {
      match: [...python('import socket', 'from urllib import request'), ...javascript("require('net')")],
      not: python('import urllib.parse', 'import json'),
    },
  },
  {
    name: 'process-module',
    set: 'banned',
    kind: 'import',
    pattern: String.raw`^(subprocess|pty|pexpect|sh|plumbum|fabric|invoke|multiprocessing(\..*)?|concurrent\.futures\.process|(node:)?child_process)$`,
    reason: 'a module that starts programs',
    hint: HINT,
    examples: {
      match: [...python('import subprocess as s'), ...javascript("import { exec } from 'node:child_process'")],
      not: python('import pandas'),
    },
  },
  {
    name: 'native-module',
    set: 'banned',
    kind: 'import',
    pattern: String.raw`^(ctypes(\..*)?|cffi|_ctypes|mmap|fcntl|resource|posix|_posixsubprocess|gc|(node:)?(vm|v8|process|module|repl))$`,
    reason: 'a module that reaches below the language',
    hint: HINT,
    examples: { match: python('import ctypes', 'from ctypes import CDLL'), not: python('import math') },
  },
  {
    name: 'shell-out',
    set: 'banned',
    kind: 'call',
    pattern: String.raw`^((os|posix|nt)\.(system|popen|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|fork|forkpty)|pty\.spawn|commands\.getoutput|asyncio\.create_subprocess_(shell|exec)|IPython\.get_ipython|get_ipython)$`,
    reason: 'it starts a program',
    hint: HINT,
    examples: {
      match: python("import os\nos.system('ls')", "from os import popen as p\np('id')", "getattr(__import__('os'), 'sys' + 'tem')('id')"),
      not: python("import os\nos.path.join('a', 'b')"),
    },
  },
  {
    name: 'shell-magic',
    set: 'banned',
    kind: 'shape',
    pattern: '^shell-magic$',
    reason: 'a magic of notebooks that runs a shell',
    hint: HINT,
    examples: { match: python('!ls -l', '%%bash\nls'), not: python('%matplotlib inline\nx = 1') },
  },
  {
    name: 'computed-code',
    set: 'banned',
    kind: 'shape',
    pattern: '^computed-code$',
    reason: 'it runs code that is put together while it runs',
    hint: 'Write the code out; for literals there is ast.literal_eval, for expressions of a data frame DataFrame.eval.',
    examples: {
      match: [...python('eval(input())', 'exec(code)'), ...javascript('eval(x)', 'new Function(body)')],
      not: [...python("df.eval('a + b')"), ...javascript('evaluate(x)')],
    },
  },
  {
    name: 'import-trick',
    set: 'banned',
    kind: 'shape',
    pattern: '^(computed-import|computed-member)$',
    reason: 'which module or member it is, is only known while it runs',
    hint: 'Name it.',
    examples: {
      match: [
        ...python('__import__(name)', 'import importlib\nimportlib.import_module(x)', 'import os\ngetattr(os, name)'),
        ...javascript('require(name)'),
      ],
      not: python('getattr(row, name, None)'),
    },
  },
  {
    name: 'interpreter-insides',
    set: 'banned',
    kind: 'member',
    pattern:
      '^(__subclasses__|__bases__|__mro__|__globals__|__builtins__|__code__|__closure__|f_globals|f_builtins|f_back|gi_frame|tb_frame|__reduce__|__reduce_ex__|__getattribute__|__loader__|__import__|_load|binding|mainModule|dlopen)$',
    reason: 'a way around what may be used',
    hint: 'Nothing that the data libraries do needs it.',
    examples: {
      match: python('().__class__.__bases__[0].__subclasses__()', 'f.__globals__'),
      not: python('a.__class__.__name__', 'type(a).__name__'),
    },
  },
  {
    name: 'any-command',
    set: 'banned',
    kind: 'command',
    pattern: String.raw`^(curl|wget|nc|ncat|netcat|socat|telnet|ssh|scp|sftp|rsync|ftp|sudo|su|docker|mount|umount|chroot|nsenter|unshare|insmod|iptables|nft)\b`,
    reason: 'a command for the network or the machine',
    hint: HINT,
    examples: { match: shell('curl -s example.org', 'sudo ls'), not: shell('ls -l', 'echo curl') },
  },
]
