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
  const other = await SpecHost.open(one.home)
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
