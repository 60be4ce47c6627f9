import { expect, test } from 'vitest'
import { ownRoot } from './doctor.ts'
import { readSettings } from './settings.ts'

const signal = new AbortController().signal

test('it says whether sandboxes have a root of their own here, and what they lack without', async () => {
  const settings = readSettings()
  expect(await ownRoot({ ...settings, uid: 1000 }, signal)).toMatchObject({ severity: 'degraded', detail: expect.stringContaining('pip') })
  expect(await ownRoot({ ...settings, uid: 0, templates: '/nonexistent' }, signal)).toMatchObject({
    severity: 'degraded',
    detail: expect.stringContaining('setup'),
  })
  if (settings.uid === 0) expect(await ownRoot(settings, signal)).toMatchObject({ severity: 'fine' })
})
