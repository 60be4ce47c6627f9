import { Fault, type Held, type Output, type Process, type ProcessExit, type StartRequest } from '@caisson/wire'
import { expect, test } from 'vitest'
import { Commands } from './commands.ts'

interface Script {
  output?: [Output['channel'], string | Uint8Array][]
  exit?: ProcessExit
  /** Lives until it gets a signal. */
  waits?: boolean
}

/** A sandbox whose every command does what the script says. */
function scripted(script: Script): { commands: Commands; started: StartRequest[]; did: unknown[] } {
  const started: StartRequest[] = []
  const did: unknown[] = []
  const start = async (request: StartRequest): Promise<Process> => {
    started.push(request)
    let end: (exit: ProcessExit) => void = () => undefined
    const exit = new Promise<ProcessExit>((resolve) => {
      end = resolve
    })
    async function* output(): AsyncGenerator<Output> {
      for (const [channel, piece] of script.output ?? [])
        yield { channel, bytes: typeof piece === 'string' ? Buffer.from(piece) : piece, atMs: 0 }
      if (!script.waits) end(script.exit ?? { exitCode: 0 })
      await exit
    }
    return {
      pid: 7,
      output: output(),
      exit,
      write: async (bytes) => void did.push(['write', Buffer.from(bytes).toString()]),
      closeStdin: async () => void did.push(['close']),
      signal: async (number) => {
        did.push(['signal', number])
        end({ exitCode: 128 + number, signal: number })
      },
      resize: async (size) => void did.push(['resize', size]),
    }
  }
  return { commands: new Commands({ start } as unknown as Held), started, did }
}

test('a string is a line for bash, an array is executed as it is', async () => {
  const { commands, started } = scripted({})
  await commands.run('ls | wc -l', { cwd: '/tmp', env: { A: '1' }, user: 'root', timeoutMs: 5 })
  await commands.run(['ls', '-l', '; rm -rf /'])
  expect(started).toEqual([
    { command: '/bin/bash', args: ['-l', '-c', 'ls | wc -l'], cwd: '/tmp', env: { A: '1' }, user: 'root', timeoutMs: 5, stdin: false },
    { command: 'ls', args: ['-l', '; rm -rf /'], stdin: false },
  ])
})

test('an exit code other than 0, a signal and a limit are results', async () => {
  const exit: ProcessExit = { exitCode: 137, signal: 9, limit: 'memory' }
  const { commands } = scripted({
    output: [
      ['stdout', 'a'],
      ['stderr', 'b'],
      ['stdout', 'c'],
    ],
    exit,
  })
  expect(await commands.run('x')).toEqual({ exitCode: 137, signal: 9, limit: 'memory', stdout: 'ac', stderr: 'b' })
})

test('a character cut in two by the pipe comes out whole', async () => {
  const [first, second] = [Buffer.from('ß').subarray(0, 1), Buffer.from('ß').subarray(1)]
  const { commands } = scripted({
    output: [
      ['stdout', first],
      ['stderr', '.'],
      ['stdout', second],
      ['stdout', Buffer.from([0xc3])],
    ],
  })
  const heard: string[] = []
  const { stdout } = await commands.run('x', { onStdout: (text) => heard.push(text) })
  expect(stdout).toBe('ß\ufffd')
  expect(heard).toEqual(['ß', '\ufffd'])
})

test('standard input is written and closed', async () => {
  const { commands, started, did } = scripted({})
  await commands.run('cat', { stdin: 'hello' })
  expect(started[0]?.stdin).toBe(true)
  expect(did).toEqual([['write', 'hello'], ['close']])
})

test('abort kills the command and says so', async () => {
  const { commands, did } = scripted({ waits: true })
  const abort = new AbortController()
  const running = commands.run('sleep 100', { signal: abort.signal })
  abort.abort(new Error('enough'))
  await expect(running).rejects.toMatchObject({ code: 'CANCELLED', cause: new Error('enough') })
  expect(did).toEqual([['signal', 9]])
})

test('output is taken by one reader', async () => {
  const { commands } = scripted({ output: [['stdout', 'a']] })
  const running = await commands.start('x')
  const pieces: string[] = []
  for await (const { bytes } of running.output) pieces.push(Buffer.from(bytes).toString())
  expect(pieces).toEqual(['a'])
  expect(() => running.output).toThrow(Fault)
  expect(await running.wait()).toEqual({ exitCode: 0, stdout: '', stderr: '' })
})

test('a started command takes input, signals and a new size', async () => {
  const { commands, did } = scripted({ waits: true })
  const running = await commands.start('x', { stdin: true, pty: { columns: 80, rows: 24 } })
  await running.sendStdin('y')
  await running.resize({ columns: 100, rows: 30 })
  await running.kill('SIGTERM')
  expect(await running.wait()).toMatchObject({ exitCode: 143, signal: 15 })
  expect(did).toEqual([
    ['write', 'y'],
    ['resize', { columns: 100, rows: 30 }],
    ['signal', 15],
  ])
})
