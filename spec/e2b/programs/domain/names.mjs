import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'
import { eventually, finish, step } from '../javascript/steps.mjs'

const sandbox = await Sandbox.create({ timeoutMs: 60_000 })

await step('commands, files and code, by name and over TLS', async () => {
  assert.equal((await sandbox.commands.run('echo hello')).stdout, 'hello\n')
  await sandbox.files.write('a.txt', 'content')
  assert.equal(await sandbox.files.read('a.txt'), 'content')
  assert.equal((await sandbox.runCode('1 + 1')).text, '2')
})

await step('a server inside, at the address that getHost gives', async () => {
  const server = await sandbox.commands.run('python3 -m http.server 8000', { background: true, timeoutMs: 0 })
  server.wait().catch(() => undefined)
  const address = `https://${sandbox.getHost(8000)}`
  const response = await eventually('the server', async () => {
    const answer = await fetch(`${address}/a.txt`)
    return answer.status === 200 && answer
  })
  assert.equal(await response.text(), 'content')
  assert.equal((await fetch(`https://${sandbox.getHost(8001)}`)).status, 502)
})

await step('a signed address', async () => {
  const address = await sandbox.downloadUrl('a.txt')
  assert.match(address, /^https:\/\/49983-/)
  assert.equal(await (await fetch(address)).text(), 'content')
})

await step('gone, by name', async () => {
  await sandbox.kill()
  const response = await fetch(`https://${sandbox.getHost(8000)}`)
  assert.equal(response.status, 502)
  assert.equal((await response.json()).message, 'The sandbox was not found')
})

finish()
