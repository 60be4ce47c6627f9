import { afterAll, beforeAll, expect, test } from 'vitest'
import { InterpreterServer } from './interpreter-server.ts'

let server: InterpreterServer
beforeAll(async () => {
  server = await InterpreterServer.open()
})
afterAll(() => server[Symbol.asyncDispose]())

test('of one owner only so much code waits to be run; who goes makes room', async () => {
  await using own = await server.beside()
  const large = `#${'x'.repeat(8_000_000)}\n`
  const abort = new AbortController()
  const waiting = Array.from({ length: 20 }, () => own.execute({ code: `${large}import time; time.sleep(300)` }, {}, abort.signal))
  const refused = await Promise.any(
    waiting.map(async (answer) => {
      const response = await answer
      if (response.status === 200) throw new Error('it runs')
      return `${response.status} ${await response.text()}`
    }),
  )
  expect(refused).toBe('429 more than 128 MiB of code of operator wait to be run')
  expect((await server.run('6 * 7')).at(-2)).toMatchObject({ text: '42' })
  abort.abort()
  await Promise.allSettled(waiting)
  await expect.poll(async () => (await own.execute({ code: `${large}1` })).status, { timeout: 30_000 }).toBe(200)
  await expect.poll(async () => (await own.run(`${large}6 * 7`)).at(-2), { timeout: 30_000 }).toMatchObject({ text: '42' })
})
