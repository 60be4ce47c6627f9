import assert from 'node:assert/strict'
import { Sandbox } from 'e2b'
import { eventually, finish, step } from './steps.mjs'

const sandbox = await Sandbox.create({ envs: { FROM_CREATE: 'yes' }, timeoutMs: 120_000 })
const encode = (text) => new TextEncoder().encode(text)

/** A terminal whose output is kept. */
async function open(options = {}) {
  const decoder = new TextDecoder()
  const seen = { text: '' }
  const terminal = await sandbox.pty.create({
    cols: 80,
    rows: 24,
    onData: (data) => {
      seen.text += decoder.decode(data, { stream: true })
    },
    ...options,
  })
  return { terminal, seen, type: (text) => sandbox.pty.sendInput(terminal.pid, encode(text)) }
}

await step('create: environment, directory, user; what is typed is run', async () => {
  const { terminal, seen, type } = await open({ envs: { ABC: '123' }, cwd: '/tmp' })
  await type('echo $ABC $FROM_CREATE $TERM; pwd; whoami; tty | cut -c1-8\n')
  await type('exit\n')
  const result = await terminal.wait()
  assert.equal(result.exitCode, 0)
  assert.match(seen.text, /123 yes xterm-256color/)
  assert.match(seen.text, /^\/tmp\r?$/m)
  assert.match(seen.text, /^user\r?$/m)
  assert.match(seen.text, /\/dev\/pts/)
})

await step('root has a terminal too', async () => {
  const { terminal, seen, type } = await open({ user: 'root' })
  await type('id -u -n; exit\n')
  await terminal.wait()
  assert.match(seen.text, /^root\r?$/m)
})

await step('size: as created, and as resized', async () => {
  const { terminal, seen, type } = await open()
  await type('tput cols\n')
  await eventually('80 columns', () => /^80\r?$/m.test(seen.text))
  await sandbox.pty.resize(terminal.pid, { cols: 133, rows: 41 })
  await type('stty size\n')
  await eventually('the new size', () => /^41 133\r?$/m.test(seen.text))
  await type('exit\n')
  await terminal.wait()
})

await step('an interrupt typed ends what runs in front, not the shell', async () => {
  const { terminal, seen, type } = await open()
  await type('echo before; sleep 1000\n')
  await eventually('the sleep', () => /^before\r?$/m.test(seen.text))
  await type('\u0003')
  await type('echo after=$?\n')
  await eventually('the shell', () => /^after=130\r?$/m.test(seen.text))
  await type('exit 3\n')
  await assert.rejects(terminal.wait(), (error) => error.exitCode === 3)
})

await step('reconnect: a new reader gets what comes from then on', async () => {
  const { terminal, seen, type } = await open({ envs: { FOO: 'bar' } })
  await type('echo $FOO\n')
  await eventually('the first reader', () => /^bar\r?$/m.test(seen.text))
  await terminal.disconnect()
  let later = ''
  const again = await sandbox.pty.connect(terminal.pid, { onData: (data) => (later += new TextDecoder().decode(data)) })
  assert.equal(again.pid, terminal.pid)
  await type('echo "$FOO again"; exit\n')
  assert.equal((await again.wait()).exitCode, 0)
  assert.match(later, /^bar again\r?$/m)
})

await step('kill: the terminal and what it ran are gone; a second kill finds nothing', async () => {
  const { terminal, type, seen } = await open()
  await type('echo up; sleep 2000.5\n')
  await eventually('the sleep', () => /^up\r?$/m.test(seen.text))
  assert.ok((await sandbox.commands.list()).some((one) => one.pid === terminal.pid))
  assert.equal(await sandbox.pty.kill(terminal.pid), true)
  await assert.rejects(terminal.wait())
  assert.equal(await sandbox.pty.kill(terminal.pid), false)
})

await step('much output through a terminal arrives whole', async () => {
  const { terminal, seen, type } = await open()
  await type('stty -echo; for i in $(seq 1 5000); do echo "line $i"; done; exit\n')
  await terminal.wait()
  for (const line of [1, 2500, 5000]) assert.match(seen.text, new RegExp(`^line ${line}\\r?$`, 'm'))
})

await sandbox.kill()
finish()
