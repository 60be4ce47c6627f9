// The loop of an agent: a model proposes code, the sandbox runs it, and what came out goes back to the model.
//   node examples/agent-loop.mjs
import { Sandbox } from 'caisson'

// In the place of a model: three turns, the second of which mends the mistake of the first.
const proposals = [
  'total = sum(prices)',
  'prices = [19.9, 5.25, 7.0]\ntotal = sum(prices)\nprint(f"{len(prices)} prices")\ntotal',
  'import math\nmath.floor(total)',
]

const sandbox = await Sandbox.create({ profile: 'code-interpreter', timeoutMs: 60_000 })
try {
  await sandbox.files.write('/home/user/notes.txt', 'The prices are in EUR.\n')
  for (const [turn, code] of proposals.entries()) {
    const { text, stdout, error } = await sandbox.runCode(code, { timeoutMs: 10_000 })
    const observation = error === undefined ? { stdout, text } : { error: `${error.name}: ${error.value}` }
    console.log(`turn ${turn + 1}:`, JSON.stringify(observation))
  }
  const { stdout, exitCode } = await sandbox.commands.run('cat notes.txt; ls /root')
  console.log('shell:', JSON.stringify({ stdout, exitCode }))
} finally {
  // In TypeScript, and in Node from version 24: `await using sandbox = ...`.
  await sandbox.kill()
}
