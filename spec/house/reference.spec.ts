import { resolve } from 'node:path'
import { CATALOGUE } from '@caisson/wire'
import { file_agent } from '@caisson/wire/agent'
import { expect, test } from 'vitest'
import * as detectors from '../../policy/dlp/detectors/shelf.ts'
import { detectorsPage } from './detectors-page.ts'
import { errorsPage } from './errors-page.ts'
import { framesModule } from './frames.ts'

const page = resolve(import.meta.dirname, '../../docs/reference/errors.md')

test('docs/reference/errors.md says what wire/errors.ts says', async () => {
  await expect(errorsPage(CATALOGUE)).toMatchFileSnapshot(page)
})

test('docs/reference/detectors.md says what policy/dlp/detectors says', async () => {
  await expect(detectorsPage(detectors)).toMatchFileSnapshot(resolve(import.meta.dirname, '../../docs/reference/detectors.md'))
})

test('native/wire/src/frames.rs has the frames of wire/agent.proto', async () => {
  await expect(framesModule(file_agent)).toMatchFileSnapshot(resolve(import.meta.dirname, '../../native/wire/src/frames.rs'))
})

test.each(Object.entries(CATALOGUE))('%s: a title that fits into a sentence, and a hint that is one', (_, { title, hint }) => {
  expect(title).toMatch(/^[a-zA-Z].*[^.]$/s)
  expect(hint).toMatch(/^[A-Z`].*\.$/s)
})
