import { expect } from 'vitest'
import type { Sandbox } from '../../client/index.ts'

/** Each language runs, and keeps its state. */
export async function eachLanguage(sandbox: Sandbox): Promise<void> {
  await sandbox.runCode('import numpy as np\na = np.arange(7)')
  expect((await sandbox.runCode('int(a.sum()) * 2')).text).toBe('42')
  await sandbox.runCode('let b = 6', { language: 'javascript' })
  expect((await sandbox.runCode('b * 7', { language: 'javascript' })).text).toBe('42')
  await sandbox.runCode('c=42', { language: 'bash' })
  expect((await sandbox.runCode('echo $c', { language: 'bash' })).stdout).toBe('42\n')
}
