import assert from 'node:assert/strict'
import { CommandExitError, InvalidArgumentError, NotFoundError, Sandbox, TimeoutError } from 'e2b'
import { eventually, finish, pause, step } from './steps.mjs'

const sandbox = await Sandbox.create({ envs: { FROM_CREATE: 'everywhere', SHADOWED: 'create' }, timeoutMs: 120_000 })

await step('a command gives its output and its exit code', async () => {
  const result = await sandbox.commands.run('echo "Hello, World!"; echo problem >&2')
  assert.equal(result.exitCode, 0)
  assert.equal(result.stdout, 'Hello, World!\n')
  assert.equal(result.stderr, 'problem\n')
})

await step('special characters, several lines, and bytes that are no UTF-8', async () => {
  assert.equal((await sandbox.commands.run(`echo '!@#$%^&*()_+'`)).stdout, '!@#$%^&*()_+\n')
  assert.equal((await sandbox.commands.run('echo "Hello,\nWorld!"')).stdout, 'Hello,\nWorld!\n')
  assert.equal((await sandbox.commands.run('echo żółć 猫 🦀')).stdout, 'żółć 猫 🦀\n')
  const cut = `${'a'.repeat(8191)}\\xe2`
  assert.equal((await sandbox.commands.run(`printf '${cut}'`)).stdout, `${'a'.repeat(8191)}\uFFFD`)
})

await step('a failing command throws with its code and both outputs', async () => {
  await assert.rejects(sandbox.commands.run('echo out; echo err >&2; exit 42'), (error) => {
    assert.ok(error instanceof CommandExitError)
    assert.deepEqual([error.exitCode, error.stdout, error.stderr], [42, 'out\n', 'err\n'])
    assert.match(String(error.error), /exit status 42/)
    return true
  })
})

await step('output is streamed while the command runs', async () => {
  const order = []
  const result = await sandbox.commands.run('echo first; sleep 0.4; echo second; echo oops >&2', {
    onStdout: (text) => order.push(text.trim()),
    onStderr: (text) => order.push(text.trim()),
  })
  assert.equal(result.stdout, 'first\nsecond\n')
  assert.equal(order[0], 'first', 'the first line came on its own, before the command had ended')
  assert.deepEqual([...order].sort(), ['first', 'oops', 'second'])
})

await step('a megabyte of output arrives whole', async () => {
  const { stdout } = await sandbox.commands.run('head -c 1000000 /dev/zero | tr "\\0" x')
  assert.equal(stdout.length, 1_000_000)
  assert.match(stdout, /^x+$/)
})

await step('environment: of the sandbox, of the call, and never of the host', async () => {
  const run = async (text, options) => (await sandbox.commands.run(text, options)).stdout.trim()
  assert.equal(await run('echo $FROM_CREATE $SHADOWED'), 'everywhere create')
  assert.equal(await run('echo $FROM_CREATE $SHADOWED $MINE', { envs: { SHADOWED: 'call', MINE: '1' } }), 'everywhere call 1')
  assert.equal(await run('echo $SHADOWED $MINE'), 'create')
  assert.equal(await run('echo $E2B_SANDBOX $E2B_SANDBOX_ID'), `true ${sandbox.sandboxId}`)
  assert.equal(await run('echo $E2B_API_KEY'), '')
})

await step('working directory: the home, the one that was asked for, and one that is not there', async () => {
  assert.equal((await sandbox.commands.run('pwd')).stdout, '/home/user\n')
  assert.equal((await sandbox.commands.run('pwd', { cwd: '/tmp' })).stdout, '/tmp\n')
  await sandbox.files.makeDir('relative/place')
  assert.equal((await sandbox.commands.run('pwd', { cwd: 'relative/place' })).stdout, '/home/user/relative/place\n')
  await assert.rejects(sandbox.commands.run('pwd', { cwd: '/not/there' }), (error) => {
    assert.ok(error instanceof InvalidArgumentError)
    assert.match(error.message, /cwd '\/not\/there' does not exist/)
    return true
  })
})

await step('users: user, root, sudo without a password, and one that is not known', async () => {
  assert.equal((await sandbox.commands.run('whoami; echo $HOME')).stdout, 'user\n/home/user\n')
  assert.equal((await sandbox.commands.run('whoami; echo $HOME; pwd', { user: 'root' })).stdout, 'root\n/root\n/root\n')
  assert.equal((await sandbox.commands.run('sudo whoami')).stdout, 'root\n')
  const secret = await sandbox.commands.run('sudo env | grep -c CALL_SECRET || true', { envs: { CALL_SECRET: 'x' } })
  assert.equal(secret.stdout.trim(), '0')
  await sandbox.commands.run('touch /root/only-root && chmod 600 /root/only-root', { user: 'root' })
  await assert.rejects(sandbox.commands.run('cat /root/only-root'), CommandExitError)
  await assert.rejects(sandbox.commands.run('true', { user: 'nobody-here' }), (error) => {
    assert.match(error.message, /invalid username: 'nobody-here'/)
    return true
  })
})

await step('the tools that programs expect are there', async () => {
  await sandbox.commands.run('for tool in python python3 node git curl sudo tput ss pgrep bash; do command -v $tool || exit 1; done')
})

await step('standard input: sent in pieces, closed, and refused where there is none', async () => {
  const cat = await sandbox.commands.run('cat; echo the end', { background: true, stdin: true })
  await sandbox.commands.sendStdin(cat.pid, 'Hello, World!\n')
  await eventually('the echo', () => cat.stdout.includes('Hello, World!'))
  await sandbox.commands.sendStdin(cat.pid, new TextEncoder().encode('bytes\n'))
  await cat.sendStdin('!@#$%^&*()_+\n')
  await cat.closeStdin()
  assert.equal((await cat.wait()).stdout, 'Hello, World!\nbytes\n!@#$%^&*()_+\nthe end\n')
  const deaf = await sandbox.commands.run('sleep 100', { background: true })
  await assert.rejects(sandbox.commands.sendStdin(deaf.pid, 'x'))
  await assert.rejects(sandbox.commands.sendStdin(4_000_000, 'x'), NotFoundError)
  await deaf.kill()
})

await step('without asking for it, standard input is empty', async () => {
  assert.equal((await sandbox.commands.run('cat | wc -c')).stdout.trim(), '0')
})

await step('background: listed while it runs, gone when it has been killed', async () => {
  const sleeper = await sandbox.commands.run('sleep 300', { background: true, envs: { MARK: 'mine' }, cwd: '/tmp' })
  const listed = (await sandbox.commands.list()).find((one) => one.pid === sleeper.pid)
  assert.equal(listed.cmd, '/bin/bash')
  assert.deepEqual(listed.args, ['-l', '-c', 'sleep 300'])
  assert.equal(listed.envs.MARK, 'mine')
  assert.equal(listed.cwd, '/tmp')
  assert.equal(await sandbox.commands.kill(sleeper.pid), true)
  await assert.rejects(sleeper.wait(), CommandExitError)
  await eventually('the process leaves the list', async () => !(await sandbox.commands.list()).some((one) => one.pid === sleeper.pid))
  await assert.rejects(sandbox.commands.run(`kill -0 ${sleeper.pid}`), CommandExitError)
  assert.equal(await sandbox.commands.kill(sleeper.pid), false)
  assert.equal(await sandbox.commands.kill(999_999), false)
})

await step('connect: output from then on, from as many as like, and the end for all', async () => {
  const loop = await sandbox.commands.run('while read line; do echo "got $line"; done', { background: true, stdin: true })
  await loop.sendStdin('one\n')
  await eventually('the first answer', () => loop.stdout === 'got one\n')
  const seen = []
  const second = await sandbox.commands.connect(loop.pid, { onStdout: (text) => seen.push(text) })
  assert.equal(second.pid, loop.pid)
  await loop.sendStdin('two\n')
  await eventually('the second answer', () => seen.join('').includes('got two'))
  await loop.disconnect()
  await second.sendStdin('three\n')
  await second.closeStdin()
  const result = await second.wait()
  assert.equal(result.exitCode, 0)
  assert.equal(result.stdout, 'got two\ngot three\n', 'nothing of the past is told again')
  await assert.rejects(sandbox.commands.connect(4_000_000), NotFoundError)
})

await step('a command that is disconnected from goes on', async () => {
  const writer = await sandbox.commands.run('sleep 0.5; echo done > /tmp/written', { background: true })
  await writer.disconnect()
  await eventually('the file', () => sandbox.files.exists('/tmp/written'))
})

await step('the time limit of a command ends it', async () => {
  await assert.rejects(sandbox.commands.run('sleep 100.25', { timeoutMs: 1000 }), (error) => {
    assert.ok(error instanceof TimeoutError)
    return true
  })
  await eventually('nothing of it is left', async () => {
    const found = await sandbox.commands.run('pgrep -f "^sleep 100.25" || echo none')
    return found.stdout.trim() === 'none'
  })
})

await step('no limit where none is asked for; an abort ends the call', async () => {
  assert.equal((await sandbox.commands.run('sleep 0.2; echo free', { timeoutMs: 0 })).stdout, 'free\n')
  const controller = new AbortController()
  const call = sandbox.commands.run('sleep 50', { signal: controller.signal })
  const refused = assert.rejects(call)
  await pause(0.3)
  controller.abort()
  await refused
})

await step('many commands at once', async () => {
  const results = await Promise.all(Array.from({ length: 24 }, (_, index) => sandbox.commands.run(`echo ${index}`)))
  assert.deepEqual(
    results.map((result) => result.stdout.trim()),
    results.map((_, index) => String(index)),
  )
})

await step('a signal that ends a command is told', async () => {
  await assert.rejects(sandbox.commands.run('kill -9 $$'), (error) => {
    assert.ok(error instanceof CommandExitError)
    assert.notEqual(error.exitCode, 0)
    assert.match(String(error.error), /signal: killed/)
    return true
  })
})

await sandbox.kill()
finish()
