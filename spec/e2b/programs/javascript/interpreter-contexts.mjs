import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'
import { NotFoundError, TimeoutError } from 'e2b'
import { eventually, finish, pause, step } from './steps.mjs'

const sandbox = await Sandbox.create({ timeoutMs: 180_000 })

await step('Python and JavaScript are there from the start', async () => {
  const languages = (await sandbox.listCodeContexts()).map((context) => context.language)
  assert.ok(languages.includes('python') && languages.includes('javascript'), String(languages))
})

await step('create: listed last, with its language and its directory', async () => {
  const plain = await sandbox.createCodeContext()
  assert.deepEqual((await sandbox.listCodeContexts()).at(-1), plain)
  assert.deepEqual([plain.language, plain.cwd], ['python', '/home/user'])
  const placed = await sandbox.createCodeContext({ language: 'python', cwd: '/tmp' })
  assert.equal((await sandbox.runCode('import os; os.getcwd()', { context: placed })).text, '/tmp')
  const script = await sandbox.createCodeContext({ language: 'js', cwd: '/home' })
  assert.equal((await sandbox.runCode('process.cwd()', { context: script })).text, '/home')
})

await step('contexts share nothing but the files', async () => {
  const [one, two] = [await sandbox.createCodeContext(), await sandbox.createCodeContext()]
  await sandbox.runCode('secret = 1', { context: one })
  assert.equal((await sandbox.runCode('secret', { context: two })).error.name, 'NameError')
  assert.equal((await sandbox.runCode('secret')).error.name, 'NameError')
  assert.equal((await sandbox.runCode('secret', { context: one })).text, '1')
})

await step('two contexts run side by side', async () => {
  const [one, two] = [await sandbox.createCodeContext(), await sandbox.createCodeContext()]
  const waits = sandbox.runCode('import time, os\nwhile not os.path.exists("/tmp/signal"): time.sleep(0.02)\n"seen"', { context: one })
  await sandbox.runCode('open("/tmp/signal", "w").close()', { context: two })
  assert.equal((await waits).text, 'seen')
})

await step('restart: the same context, without what it knew', async () => {
  const context = await sandbox.createCodeContext()
  await sandbox.runCode('x = 1', { context })
  await sandbox.restartCodeContext(context)
  assert.equal((await sandbox.runCode('x', { context })).error.value, "name 'x' is not defined")
  assert.ok((await sandbox.listCodeContexts()).some((one) => one.id === context.id))
  await sandbox.restartCodeContext(context.id)
})

await step('remove: gone from the list, and unknown from then on', async () => {
  const context = await sandbox.createCodeContext()
  await sandbox.removeCodeContext(context)
  assert.ok(!(await sandbox.listCodeContexts()).some((one) => one.id === context.id))
  await assert.rejects(sandbox.runCode('1', { context }), NotFoundError)
  await assert.rejects(sandbox.removeCodeContext(context.id), NotFoundError)
  await assert.rejects(sandbox.restartCodeContext('not-a-context'), (error) => {
    assert.ok(error instanceof NotFoundError)
    assert.match(error.message, /Context not-a-context not found/)
    return true
  })
})

await step('a time limit interrupts, and the next execution runs', async () => {
  await sandbox.runCode('kept = 7')
  await assert.rejects(sandbox.runCode('import time\nwhile True: time.sleep(0.1)', { timeoutMs: 1500 }))
  assert.equal((await sandbox.runCode('kept', { timeoutMs: 20_000 })).text, '7')
  await assert.rejects(sandbox.runCode('while (true) {}', { language: 'js', timeoutMs: 1500 }))
  assert.equal((await sandbox.runCode('1 + 1', { language: 'js', timeoutMs: 20_000 })).text, '2')
})

await step('a quiet execution is kept alive', async () => {
  assert.equal((await sandbox.runCode('import time; time.sleep(7); "awake"')).text, 'awake')
})

await step('what kills its own interpreter is told, and the context serves again', async () => {
  const execution = await sandbox.runCode('import os; os._exit(1)')
  assert.ok(execution.error, 'an error event')
  const after = await eventually('the context', async () => {
    const answer = await sandbox.runCode('1 + 1').catch(() => undefined)
    return answer?.text === '2' && answer
  })
  assert.equal(after.text, '2')
})

await step('contexts live through a pause', async () => {
  await sandbox.runCode('through = "pause"')
  await sandbox.pause()
  await assert.rejects(sandbox.runCode('1'), TimeoutError)
  const again = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 120_000 })
  assert.equal((await again.runCode('through')).text, 'pause')
})

await step('killed in the middle: an error that says so', async () => {
  const execution = sandbox.runCode('import time; time.sleep(60)')
  const told = assert.rejects(execution, (error) => {
    assert.ok(error instanceof TimeoutError, `${error.name}: ${error.message}`)
    assert.match(error.message, /sandbox was killed while the request was in progress/)
    return true
  })
  await pause(1)
  await sandbox.kill()
  await told
  await assert.rejects(sandbox.runCode('1'), TimeoutError)
})

finish()
