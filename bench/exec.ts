import { Sandbox } from 'caisson'
import type { Row } from './report.ts'
import { series, took } from './statistics.ts'

/** Round trips in a sandbox that is there already; and with code that was never seen, which is looked through before it runs. */
export async function exec(rounds: number): Promise<Row[]> {
  await using sandbox = await Sandbox.create({ profile: 'code-interpreter', wall: 'container', timeoutMs: null })
  const numbers = Array.from({ length: 2 * (rounds * 5 + 10) }, (_, index) => index).values()
  const next = () => numbers.next().value ?? 0
  const command = (...args: string[]) => {
    return took(async () => {
      const { exitCode } = await sandbox.commands.run(['/bin/true', ...args])
      if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`)
    })
  }
  const code = (other: number) => {
    return took(async () => {
      const { text } = await sandbox.runCode(`1+${other}`)
      if (text !== `${1 + other}`) throw new Error(`1+${other} was ${text}`)
    })
  }
  const measure = (run: () => Promise<number>) => series(rounds * 5, 10, run)
  return [
    { what: 'commands.run true', unit: 'ms', measured: await measure(() => command()), aim: 4 },
    { what: '  each with another argument', unit: 'ms', measured: await measure(() => command(`${next()}`)) },
    { what: "runCode '1+1'", unit: 'ms', measured: await measure(() => code(1)), aim: 3 },
    { what: '  each another sum', unit: 'ms', measured: await measure(() => code(next())) },
  ]
}
