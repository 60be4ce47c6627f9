import { expect, test } from 'vitest'
import { inspecting } from './hosted.ts'
import { lookedInto } from './looked-into.ts'

const spec = lookedInto()
const AT_ONCE = 6

test('so many connections of one sandbox are looked into at once; one more is refused and recorded, and when some have ended others are looked into', async () => {
  const { hosted, web } = spec()
  await hosted.stop()
  hosted.maxInspected = AT_ONCE
  await hosted.start()
  hosted.airlock.register(hosted.id, inspecting({ allow: [`good.example:${web.port}`] }), 1024 * 1024)
  const refused = () => hosted.of('network').filter(({ rule }) => rule === 'inspect').length
  const before = refused()
  // Each says the beginning of a request, so that it is waited for; the last ones hear that there is nobody for them, perhaps before they have said it.
  const said = await hosted.python(
    `
held = []
ended = 0
for _ in range(facts['count'] + 2):
    try:
        one = opened('good.example', facts['port'])
        one.sendall(b'GET / HTTP/1.1\\r\\nX-Begun: ')
        held.append(one)
    except OSError:
        ended += 1
for one in held[::-1]:
    one.settimeout(30 if ended < 2 else 0.01)
    try:
        ended += one.recv(1) == b''
    except TimeoutError:
        pass
    except OSError:
        ended += 1
print('ended', ended)
for one in held:
    one.close()
`,
    { count: AT_ONCE, port: web.port },
  )
  expect(said).toContain('ended 2')
  expect(refused() - before).toBe(2)
  await expect
    .poll(() => hosted.sh(`curl -sS --max-time 20 https://${spec().here}/`), { timeout: 20_000 })
    .not.toMatch(/reset|refused|empty/i)
})
