// Types are stripped, not checked: run with `caisson run examples/hello.ts NAME`.
import { arch, hostname } from 'node:os'

interface Greeting {
  to: string
  from: string
}

const greeting: Greeting = { to: process.argv[2] ?? 'world', from: hostname() }
const settled = await Promise.resolve(greeting)

console.log(`Hello, ${settled.to}, from ${arch()} machine ${settled.from}.`)
