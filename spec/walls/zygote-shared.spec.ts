import { readdir, readFile, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import type { RunEvent } from '../../wire/index.ts'
import { SpecHost } from './home.ts'

const signal = new AbortController().signal
const ignore = (_event: RunEvent) => undefined

async function zygoteRecords(home: string) {
  const lines = (await readFile(join(home, 'audit', 'audit.jsonl'), 'utf8')).trim().split('\n')
  return lines.map((line) => JSON.parse(line)).filter(({ kind }) => kind === 'zygote')
}

test('hosts of one state folder that start at once share one zygote', async () => {
  await using one = await SpecHost.open()
  const other = await SpecHost.open({ home: one.home })
  const created = await Promise.all([one, one, other, other].map(({ door }) => door.create({}, signal)))
  const said = await Promise.all(created.map((held) => held.runCode({ code: 'import os; os.getppid()' }, ignore, signal)))
  expect(said.map(({ results }) => results[0]?.text)).toEqual(['1', '1', '1', '1'])
  expect(await zygoteRecords(one.home)).toMatchObject([{ outcome: 'started', template: 'code-interpreter' }])
  expect((await readdir(join(one.home, 'zygotes'))).filter((name) => !name.endsWith('.lock'))).toHaveLength(1)
  await Promise.all(created.map((held) => held.kill(signal)))
  await other.door.close()
})

test('without a zygote everything works, only slower, and that is said and recorded', async () => {
  await using host = await SpecHost.open()
  const { zygote } = await host.door.plan({}, signal)
  // Where the lock should be is nothing that could be locked.
  await symlink('/proc/nobody/lock', `${dirname(zygote?.socket ?? '')}.lock`)
  const held = await host.door.create({}, signal)
  const { results } = await held.runCode({ code: 'import pandas; 6 * 7' }, ignore, signal)
  expect(results[0]?.text).toBe('42')
  await held.kill(signal)
  expect(host.notices.join('\n')).toContain('interpreters start cold')
  expect(await zygoteRecords(host.home)).toMatchObject([{ outcome: 'failed', template: 'code-interpreter' }])
})

test('a fork may do what a sandbox may: signals, its own network, children; what the zygote may besides, it may not', async () => {
  await using host = await SpecHost.open()
  const held = await host.door.create({}, signal)
  const code = `
import ctypes, os, signal, socket, subprocess, threading
child = subprocess.Popen(['sleep', '1000'])
child.kill()
print(child.wait(), os.kill(os.getpid(), 0))
server = socket.create_server(('127.0.0.1', 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b'hello'), daemon=True).start()
print(socket.create_connection(server.getsockname()).recv(5))
libc = ctypes.CDLL(None, use_errno=True)
print([libc.setns(os.open(f'/proc/1/ns/{name}', os.O_RDONLY) if os.access(f'/proc/1/ns/{name}', os.R_OK) else 0, 0) for name in ('net', 'mnt')], ctypes.get_errno())
try: os.kill(1, 9)
except OSError as error: print(error.errno)
`
  const { stdout, error } = await held.runCode({ code }, ignore, signal)
  expect([stdout, error]).toEqual(["-9 None\nb'hello'\n[-1, -1] 1\n1\n", undefined])
  const suicide = { code: 'import os; os.kill(os.getpid(), 9)', program: { path: 'x.py', args: [] } }
  expect(await held.runCode(suicide, ignore, signal)).toMatchObject({ exitCode: 137 })
  await held.kill(signal)
})
