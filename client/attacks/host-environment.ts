import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { plantVariable } from '../settings.ts'
import { python } from './attack.ts'
import type { Stage } from './stage.ts'

/** A secret in the host's environment. */
export function hostEnvironment(): Stage {
  // In the environment of this process, which either hosts the sandbox or is a client of its host.
  const secret = randomBytes(12).toString('hex')
  const remove = plantVariable('CAISSON_SPEC_SECRET', secret)
  let other: ChildProcess | undefined
  return {
    attacks: [
      {
        name: 'the host’s environment',

        why: 'tokens and passwords are handed to programs there',
        place: 'here',
        facts: (walled) => ({ secret, pid: walled ? 1 : other?.pid }),
        stoppedBy: /^(EACCES|not there)/,
        code: python`
def look(text):
    if facts['secret'] not in text:
        raise Contained('not there')
    return 'the secret'

@way('own environment')
def own():
    return look(json.dumps(dict(os.environ)))

@way('environment of the first process')
def first():
    with open(f"/proc/{facts['pid']}/environ") as file:
        return look(file.read())

@way('environment of any process')
def anyone():
    found = ''
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{name}/environ', errors='replace') as file:
                found += file.read()
        except OSError:
            continue
    return look(found)

@way('own memory')
def memory():
    # What execve left on the stack, and everything else that is mapped and readable.
    found = b''
    token = facts['secret'].encode()
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:
        for line in maps:
            if '[stack]' in line:
                first, last = (int(one, 16) for one in line.split()[0].split('-'))
                memory.seek(first)
                found += memory.read(last - first)
    # The facts are there as well, on the command line: once as JSON, so what counts is a variable.
    return look(facts['secret'] if b'CAISSON_SPEC_SECRET=' + token in found else '')
`,
      },
    ],
    async open() {
      other = spawn('/usr/bin/sleep', ['600'], { stdio: 'ignore' })
    },
    async [Symbol.asyncDispose]() {
      other?.kill('SIGKILL')
      remove()
    },
  }
}
