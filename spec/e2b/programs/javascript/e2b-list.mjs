import assert from 'node:assert/strict'
import { Sandbox } from 'e2b'
import { finish, step } from './steps.mjs'

const run = `list-${process.pid}-${Date.now()}`
const ids = (items) => items.map((one) => one.sandboxId)
const mine = { metadata: { run } }

const sandboxes = []
for (const which of ['first', 'second', 'third']) {
  sandboxes.push(await Sandbox.create({ timeoutMs: 120_000, metadata: { run, which, 'odd key & co': 'v=1&2 %25 ü' } }))
}
const [first, second, third] = sandboxes.map((one) => one.sandboxId)
await sandboxes[1].pause()

async function all(options) {
  const found = []
  const paginator = Sandbox.list(options)
  while (paginator.hasNext) found.push(...(await paginator.nextItems()))
  return found
}

await step('running and paused together, the newest first', async () => {
  const found = await all({ query: mine })
  assert.deepEqual(ids(found), [third, second, first])
  assert.deepEqual(
    found.map((one) => one.state),
    ['running', 'paused', 'running'],
  )
  assert.equal(found[0].metadata.which, 'third')
})

await step('the oldest first, where that was asked for', async () => {
  assert.deepEqual(ids(await all({ query: mine, order: 'asc' })), [first, second, third])
})

await step('by state', async () => {
  assert.deepEqual(ids(await all({ query: { ...mine, state: ['running'] } })), [third, first])
  assert.deepEqual(ids(await all({ query: { ...mine, state: ['paused'] } })), [second])
  assert.deepEqual(ids(await all({ query: { ...mine, state: ['running', 'paused'] } })), [third, second, first])
})

await step('by metadata: every pair must match, whatever is in it', async () => {
  assert.deepEqual(ids(await all({ query: { metadata: { run, which: 'first' } } })), [first])
  assert.deepEqual(ids(await all({ query: { metadata: { run, 'odd key & co': 'v=1&2 %25 ü' } } })), [third, second, first])
  assert.deepEqual(await all({ query: { metadata: { run, which: 'fourth' } } }), [])
  assert.deepEqual(await all({ query: { metadata: { run, 'odd key & co': 'v=1' } } }), [])
})

await step('by template, as the sandbox itself names it', async () => {
  const { templateId, name } = await sandboxes[0].getInfo()
  assert.equal(name, 'base')
  assert.deepEqual(ids(await all({ query: { ...mine, template: templateId } })), [third, second, first])
  assert.deepEqual(await all({ query: { ...mine, template: 'never-built' } }), [])
})

await step('by start', async () => {
  const { startedAt } = await sandboxes[1].getInfo()
  assert.deepEqual(ids(await all({ query: { ...mine, startedAfter: startedAt } })), [third, second])
  assert.deepEqual(await all({ query: { ...mine, startedAfter: new Date(Date.now() + 60_000) } }), [])
})

await step('page by page, one at a time, both ways, nothing twice and nothing left out', async () => {
  for (const [order, expected] of [
    ['desc', [third, second, first]],
    ['asc', [first, second, third]],
  ]) {
    const paginator = Sandbox.list({ query: mine, limit: 1, order })
    const pages = []
    while (paginator.hasNext) pages.push(ids(await paginator.nextItems()))
    assert.deepEqual(pages.flat(), expected)
    assert.ok(pages.every((page) => page.length <= 1))
    assert.equal(paginator.hasNext, false)
  }
})

await step('a page can be asked for again by its token', async () => {
  const paginator = Sandbox.list({ query: mine, limit: 2 })
  assert.deepEqual(ids(await paginator.nextItems()), [third, second])
  assert.deepEqual(ids(await Sandbox.list({ query: mine, limit: 2, nextToken: paginator.nextToken }).nextItems()), [first])
})

await step('what is no page size and no token is refused', async () => {
  await assert.rejects(Sandbox.list({ limit: 100_000 }).nextItems(), /400/)
  await assert.rejects(Sandbox.list({ nextToken: 'not-a-token' }).nextItems(), /400/)
})

await Promise.all(sandboxes.map((one) => one.kill()))
finish()
