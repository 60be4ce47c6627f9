import { expect, test } from 'vitest'
import { inotify, limits, sharedTables } from './shared-tables.ts'

test('where sandboxes share too few inotify instances, it is said how many one may take, and what mends it', () => {
  expect(inotify('128\n')).toMatchObject({ severity: 'degraded', detail: expect.stringMatching(/share 128 instances, .* take 64:/) })
  expect(inotify('1024\n').detail).toMatch(/share 1024 instances, .* take 128:/)
  expect(inotify('128\n').mend).toBe('sudo sysctl -w fs.inotify.max_user_instances=8192')
  expect(inotify('8192\n')).toEqual({ what: 'inotify', severity: 'fine', detail: '8192 instances for sandboxes of one template' })
  expect(inotify('')).toMatchObject({ severity: 'degraded' })
})

test('where root may not raise limits, it is said what sandboxes share besides', () => {
  const status = (uid: number, capabilities: string) => `Name:\tnode\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\nCapEff:\t${capabilities}\n`
  expect(limits(status(0, '000001fffeffffff'))).toMatchObject([{ what: 'limits of users', severity: 'degraded' }])
  expect(limits(status(0, '000001ffffffffff'))).toEqual([])
  expect(limits(status(1000, '0000000000000000'))).toEqual([])
})

test('this machine is looked at', async () => {
  expect((await sharedTables()).map(({ what }) => what)).toContain('inotify')
})
