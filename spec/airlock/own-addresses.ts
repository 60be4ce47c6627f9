import { execFile } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { hostAddresses } from '../../host/airlock/egress.ts'

const execute = promisify(execFile)
let taken = 0

/** Addresses of this process's own, on this machine's loopback, for servers: a sandbox has 127.0.0.1 for itself. Needs root. */
export class OwnAddresses implements AsyncDisposable {
  readonly v4: readonly string[]
  readonly v6: readonly string[]

  private constructor(count: number) {
    const { pid } = process
    const numbers = Array.from({ length: count }, () => (taken += 1))
    this.v4 = numbers.map((number) => `10.${200 + (number % 16)}.${pid & 255}.${(pid >> 8) & 255}`)
    this.v6 = numbers.map((number) => `fd15:cafe:${(pid & 0xffff).toString(16)}::${number.toString(16)}`)
  }

  static async open(count: number): Promise<OwnAddresses> {
    const own = new OwnAddresses(count)
    for (const address of own.#all())
      await execute(
        'ip',
        ['address', 'add', address, 'dev', 'lo', 'nodad'].filter((word) => word !== 'nodad' || address.includes(':')),
      )
    // What a host in this process knows may be a second old.
    while (![...own.v4, ...own.v6].every((address) => hostAddresses().includes(address))) await pause(50)
    return own
  }

  #all(): string[] {
    return [...this.v4.map((address) => `${address}/32`), ...this.v6.map((address) => `${address}/128`)]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const address of this.#all()) await execute('ip', ['address', 'del', address, 'dev', 'lo']).catch(() => undefined)
  }
}
