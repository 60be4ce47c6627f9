import { expect, test } from 'vitest'
import { python, pythonProgram } from '../airlock/gated.ts'
import { Cells, run } from './cells.ts'

const MIB = 1024 * 1024

test('what waits in connections that nobody reads is counted with the memory: it is the host’s', async () => {
  await using cells = await Cells.open()
  const limits = { openFiles: 4096, memoryBytes: 64 * MIB }
  await using cell = await cells.launch(await cells.plan((made) => ({ limits: { ...made.limits, ...limits } })))
  const code = python`
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen(1000)
ones, accepted = [], []
for _ in range(1000):
    ones.append(socket.create_connection(listener.getsockname()))
    ones[-1].setblocking(False)
    accepted.append(listener.accept())
print(stuffed(ones))
`
  const stdout = await run(cell, pythonProgram(code, {})).then(
    (ran) => ran.stdout,
    () => undefined,
  )
  // Version 2 counts it with all other memory: there it hits the limit.
  if (stdout === undefined) return expect((await cell.death).reason).toBe('memory')
  expect(Number(stdout)).toBeGreaterThan(0)
  // Twice, since version 1 of control groups counts it apart; and what was on its way.
  expect(Number(stdout)).toBeLessThan(4 * 64 * MIB)
})
