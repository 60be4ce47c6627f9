/** Programs that write down, without a child, what they are about to execute, and do it; so many each. */
export function telling(names: readonly string[], count: number): string {
  const loop = `i=0; while [ $i -lt ${count} ]; do echo "$0 $i"; /bin/true "$0" $i; i=$((i+1)); done`
  return names
    .map((name) => `sh -c '${loop}' ${name} &`)
    .join(' ')
    .concat(' wait')
}

interface Exec {
  readonly kind: string
  readonly path: string
  readonly argv: readonly string[]
}

/** What the record says of it; a wall that follows links says where `/bin/true` lies. */
export function toldOf(records: readonly Exec[]): string[] {
  const execs = records.filter(({ kind, path }) => kind === 'exec' && path.endsWith('bin/true'))
  return execs.map(({ argv }) => argv.slice(1).join(' ')).sort()
}

/**
 * Python that executes a shell in every way that we know of. Each shell says its own number and how it came to run. With `unread` in their names: those of
 * whose words gVisor's trace points say nothing, because they are not UTF-8 or too long.
 */
export const EVERY_WAY = `
import os, threading, time
SAY = 'echo "$0 $$" >> /tmp/ran'
for left in (b'/tmp/\\xfe', b'/tmp/ran'):
    if os.path.lexists(left): os.unlink(left)
def child(run):
    pid = os.fork()
    if pid == 0:
        try: run()
        finally: os._exit(1)
    os.waitpid(pid, 0)
def way(name, *more, path='/bin/sh', env=os.environ):
    child(lambda: os.execve(path, ['sh', '-c', SAY, name, *more], env))
way('plainly')
way('unread-word', b'\\xff')
way('unread-variable', env={b'A': b'\\xff'})
way('unread-length', *['x' * 100_000] * 3)
os.symlink('/bin/sh', b'/tmp/\\xfe')
way('linked', path=b'/tmp/\\xfe')
way('descriptor', path=os.open('/bin/sh', os.O_RDONLY))
memory = os.memfd_create('x', 0)
os.write(memory, open('/bin/sh', 'rb').read())
way('memory', path=memory)
with open('/tmp/script', 'w') as file: file.write('#!/bin/sh\\n' + SAY.replace('$0', 'script'))
os.chmod('/tmp/script', 0o755)
child(lambda: os.execv('/tmp/script', ['script']))
os.waitpid(os.posix_spawn('/bin/sh', ['sh', '-c', SAY, 'spawned'], os.environ), 0)
def threads(count, name):
    for _ in range(count): threading.Thread(target=os.execv, args=('/bin/sh', ['sh', '-c', SAY, name])).start()
    time.sleep(60)
child(lambda: threads(1, 'thread'))
child(lambda: threads(4, 'racing'))
def left():
    if os.fork() == 0:
        os.setsid()
        os.execv('/bin/sh', ['sh', '-c', SAY, 'detached'])
child(left)
while 'detached' not in open('/tmp/ran').read(): time.sleep(0.02)
print(open('/tmp/ran').read())
`
