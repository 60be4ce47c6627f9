import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { SpecHost } from '../walls/home.ts'

// What a cell of Python prints.

let host: SpecHost
let sandbox: Sandbox
beforeAll(async () => {
  host = await SpecHost.open()
  sandbox = await Sandbox.create({ timeoutMs: null, door: host.door })
})
afterAll(async () => {
  await sandbox.kill()
  await host[Symbol.asyncDispose]()
})

test('output says when it came', async () => {
  const times: number[] = []
  const before = Date.now()
  let allowed = Number.POSITIVE_INFINITY
  const onStdout = async (_text: string, atMs: number) => {
    times.push(atMs)
    if (times.length > 1) return
    allowed = Date.now()
    await sandbox.files.write('/tmp/go', '')
  }
  await sandbox.runCode('import os, time\nprint(1)\nwhile not os.path.exists("/tmp/go"): time.sleep(0.01)\nprint(2)', { onStdout })
  expect(times).toEqual([...times].sort((a, b) => a - b))
  expect(times[0]).toBeGreaterThanOrEqual(before)
  // This clock shows whole milliseconds, theirs parts of them as well.
  expect(Math.floor(times[0] ?? Number.NaN)).toBeLessThanOrEqual(allowed)
  expect(times.at(-1)).toBeGreaterThanOrEqual(allowed)
})

test('output comes after a cell that closed or replaced its descriptors, and after a thread that did so between two cells', async () => {
  const own = await sandbox.contexts.create()
  const run = (code: string) => sandbox.runCode(code, { context: own })
  const both = 'print("out"); print("err", file=sys.stderr)'
  const through = { stdout: 'out\n', stderr: 'err\n' }
  for (const code of ['import os\nos.close(1); os.close(2)', 'os.dup2(os.open(os.devnull, os.O_WRONLY), 1)', 'sys.stdout.close()']) {
    await run(`import sys\n${code}`)
    expect(await run(both), code).toMatchObject(through)
  }
  const thread = 'lambda: (go.wait(), os.close(1), open("/tmp/closed", "w").close(), still.wait())'
  await run(`import threading\ngo, still = threading.Event(), threading.Event()\nthreading.Thread(target=${thread}).start()`)
  await run('threading.Timer(0.05, go.set).start()')
  await sandbox.commands.run('until [ -e /tmp/closed ]; do sleep 0.01; done')
  expect(await run(both)).toMatchObject(through)
  await run('still.set()')
  await run('ends = threading.Timer(0.05, lambda: (os.close(1), open("/tmp/ended", "w").close()))\nends.start()')
  await sandbox.commands.run('until [ -e /tmp/ended ]; do sleep 0.01; done; sleep 0.1')
  expect(await run(both)).toMatchObject(through)
  await run('buffer = sys.stdout.detach()')
  expect(await run(both)).toMatchObject(through)
  // One that is told to keep what is written gives it when the cell is over.
  expect(await run('sys.stdout.reconfigure(write_through=False)\nsys.stdout.write("kept")')).toMatchObject({ stdout: 'kept' })
  await sandbox.contexts.delete(own)
})

test('what was printed is not kept', async () => {
  await sandbox.runCode('print("of an earlier run")')
  expect((await sandbox.runCode('"of an earlier run" in repr(get_ipython().history_manager.outputs)')).text).toBe('False')
})
