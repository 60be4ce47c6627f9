import { expect, test } from 'vitest'
import { unending } from '../lifetimes.ts'
import { Contexts, type ContextsParts } from './contexts.ts'

test('contexts whose processes have ended are remembered, and so there are only so many of them', async () => {
  const adopted = Array.from({ length: 256 }, (_, number) => ({
    ...{ id: `c${number}`, language: 'python', cwd: '/home/user', pid: null, isDefault: number === 0 },
  }))
  const parts = {
    ...{ adopted, kept: [], forked: [], renews: false, contextsChanged: () => undefined },
    template: { languages: ['python'] },
    plan: { zygote: null, cwd: null, user: { home: '/home/user' } },
  } as unknown as ContextsParts
  const contexts = new Contexts(parts)
  const another = () => contexts.create({ language: 'python' }, unending())
  await expect(another()).rejects.toMatchObject({ code: 'LIMIT_HIT', message: 'more than 256 contexts in one sandbox' })
  expect(contexts.list()).toHaveLength(256)
  await contexts.delete('c255', unending())
  // There is room for it, but nothing that could run it here.
  await expect(another()).rejects.not.toMatchObject({ code: 'LIMIT_HIT' })
})
