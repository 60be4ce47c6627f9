import { Sandbox } from 'caisson'
import type { Row } from './report.ts'
import { series, took } from './statistics.ts'

/** Round trips in a sandbox that is there already. */
export async function exec(rounds: number): Promise<Row[]> {
  await using sandbox = await Sandbox.create({ profile: 'code-interpreter', timeoutMs: null })
  const command = await series(rounds * 5, 10, () =>
    took(async () => {
      const { exitCode } = await sandbox.commands.run(['/bin/true'])
      if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`)
    }),
  )
  const code = await series(rounds * 5, 10, () =>
    took(async () => {
      const { text } = await sandbox.runCode('1+1')
      if (text !== '2') throw new Error(`1+1 was ${text}`)
    }),
  )
  return [
    { what: 'commands.run true', unit: 'ms', measured: command, aim: 4 },
    { what: "runCode '1+1'", unit: 'ms', measured: code, aim: 3 },
  ]
}
